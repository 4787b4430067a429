//! Submitting once, however often it must be sent.

use std::time::Duration;

use guichet_client::{Client, Submission, Submitted};
use guichet_contract::{Clock as _, Effect, SystemClock};
use serde_json::Value;

use crate::{commands::perform::Attempt, failure::Failure};

/// How often a change is sent before the network is believed.
const ATTEMPTS: u32 = 4;
/// What a read may take beyond the action's own time-out.
const MARGIN: Duration = Duration::from_secs(15);

/// Submits. A change carries one `Idempotency-Key` for all attempts, so that an answer lost on the way cannot
/// make two runs; a read is sent once.
pub(super) async fn submit(
    attempt: &Attempt<'_>,
    client: &Client,
    input: &Value,
    reason: Option<&str>,
) -> Result<Submitted, Failure> {
    let action = attempt.action;
    let is_read = action.effect == Effect::Read;
    let key = (!is_read).then(|| SystemClock.new_uuid().to_string());
    let within = is_read.then(|| Duration::from_secs(action.timeout_seconds.into()) + MARGIN);
    let mut pause = Duration::from_millis(300);
    for sent in 1.. {
        let submission = Submission {
            action: &action.id,
            input,
            reason,
            idempotency_key: key.as_deref(),
            break_glass: !is_read && attempt.matches.get_flag("break-glass"),
            within,
        };
        match client.submit_run(submission).await {
            Err(error) if !is_read && error.is_passing() && sent < ATTEMPTS => {
                attempt.printer.detail(&format!("sent {sent} times, once more with the same key: {error}"));
                tokio::time::sleep(pause).await;
                pause *= 3;
            }
            Err(error) => {
                let failure = Failure::from(error);
                return Err(if is_read { failure } else { uncertain(failure) });
            }
            Ok(submitted) => return Ok(submitted),
        }
    }
    Err(Failure::usage("nothing was sent"))
}

/// The last answer never came: the run may exist.
fn uncertain(failure: Failure) -> Failure {
    match &failure {
        Failure::Problem(crate::exit::Exit::Unreachable, _) => failure.next(
            "it may have been received all the same: look with `guichet runs list` before you try again",
        ),
        _ => failure,
    }
}
