//! Submitting once, however often it must be sent.
//!
//! A reason that is missing is asked for on a terminal.

use std::time::Duration;

use guichet_client::{Client, Error, Submission, Submitted};
use guichet_contract::{Clock as _, Effect, SystemClock, code};
use serde_json::Value;

use crate::{commands::perform::Attempt, exit::Exit, failure::Failure, printer::Printer, prompt};

/// How often a change is sent before the network is believed.
const ATTEMPTS: u32 = 4;
/// What a read may take beyond the action's own time-out.
const MARGIN: Duration = Duration::from_secs(15);

/// Submits. It carries one `Idempotency-Key` for all attempts, so that an answer lost on the way cannot make two runs. A
/// read is sent once: its answer may take as long as its time-out.
pub(super) async fn submit(
    attempt: &Attempt<'_>,
    client: &Client,
    input: &Value,
    reason: Option<&str>,
) -> Result<Submitted, Failure> {
    let action = attempt.action;
    let is_read = action.effect == Effect::Read;
    let send = async |key: &str| {
        let submission = Submission {
            action: &action.id,
            input,
            reason,
            idempotency_key: Some(key),
            break_glass: attempt.breaks_glass(),
            within: is_read.then(|| Duration::from_secs(action.timeout_seconds.into()) + MARGIN),
        };
        client.submit_run(submission).await
    };
    if is_read {
        return Ok(send(&new_key()).await?);
    }
    once(attempt.printer, send).await
}

fn new_key() -> String {
    SystemClock.new_uuid().to_string()
}

/// Sends what makes a run, with a key of its own, up to four times while the network fails.
pub(crate) async fn once<T>(
    printer: &Printer,
    send: impl AsyncFn(&str) -> Result<T, Error>,
) -> Result<T, Failure> {
    let key = new_key();
    let mut pause = Duration::from_millis(300);
    let mut sent = 1;
    loop {
        match send(&key).await {
            Err(error) if error.is_passing() && sent < ATTEMPTS => {
                printer.detail(&format!("sent {sent} times, once more with the same key: {error}"));
                tokio::time::sleep(pause).await;
                pause *= 3;
                sent += 1;
            }
            Err(error) => return Err(uncertain(error.into())),
            Ok(answer) => return Ok(answer),
        }
    }
}

/// Does it with this reason; where the gateway wants another one, asks for it on a terminal and does it again.
pub(crate) async fn with_reason<T>(
    printer: &Printer,
    given: Option<String>,
    mut attempt: impl AsyncFnMut(Option<&str>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let mut reason = given;
    loop {
        match attempt(reason.as_deref()).await {
            Err(Failure::Problem(_, problem))
                if problem.code == code::REASON_REQUIRED
                    && printer.is_for_people()
                    && prompt::is_possible() =>
            {
                printer.note(&problem.detail);
                reason = Some(prompt::ask_reason("Reason:", problem.next.as_deref())?);
            }
            other => return other,
        }
    }
}

/// The last answer never came: the run may exist.
fn uncertain(failure: Failure) -> Failure {
    match &failure {
        Failure::Problem(Exit::Unreachable, _) => failure.next(
            "it may have been received all the same: look with `guichet runs list` before you try again",
        ),
        _ => failure,
    }
}
