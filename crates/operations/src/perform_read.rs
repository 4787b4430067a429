//! A read takes the short way: admitted, performed, recorded, without a job and without waiting for the disk.

use std::{
    pin::Pin,
    sync::Arc,
    task::{self, Poll},
    time::Duration,
};

use async_trait::async_trait;
use guichet_admission::{ActionCall, Admitted, Attempt, Purpose, Refusal, door};
use guichet_contract::{Effect, Problem, RecordVerdict, Verb, code};
use serde_json::Value;
use tokio::runtime::Handle;
use tracing::Instrument as _;

use crate::{
    platform::{Platform, store_problem},
    providers::{Forwarded, ProviderCall, ProviderError, Reporter, Told},
};

/// Whether this may be performed at once: a read for which nobody needs to be asked. Any other call becomes a run.
pub fn is_free(admitted: &Admitted<ActionCall>) -> bool {
    let wanted = admitted.wanted();
    wanted.action().effect == Effect::Read
        && wanted.conditions().is_empty()
        && wanted.cool_down_seconds() == 0
}

/// What cannot be performed at once is refused here, whoever forgot to look.
async fn check_free(platform: &Platform, admitted: &Admitted<ActionCall>, verb: Verb) -> Result<(), Refusal> {
    if is_free(admitted) {
        return Ok(());
    }
    let wanted = admitted.wanted();
    let policies = wanted.conditions().iter().map(|condition| condition.policy.clone()).collect();
    let mut record = platform.door.record_of(admitted.caller(), verb, RecordVerdict::Refused);
    door::describe(&mut record, wanted);
    let problem = Problem::new(
        code::REFUSED,
        format!("{} needs an approval, so it cannot be answered at once", wanted.action().id),
    )
    .policies(policies)
    .next(format!("submit it as a run: `guichet {}`", wanted.action().command.join(" ")));
    Err(platform.door.refuse(record, problem).await)
}

/// Performs an admitted read and gives its result. Goes on, and is recorded, also when the caller hangs up.
///
/// # Errors
/// A read that needs approval; the provider's refusal or failure; a store that takes no records.
pub async fn perform_admitted(
    platform: &Arc<Platform>,
    admitted: Admitted<ActionCall>,
    verb: Verb,
) -> Result<Value, Refusal> {
    check_free(platform, &admitted, verb).await?;
    let platform = Arc::clone(platform);
    to_its_end(async move {
        let started = platform.clock.now();
        let answer = platform.providers.perform(&call_of(&admitted), &NobodyListens).await;
        finish(&platform, &admitted, verb, started, answer.as_ref().err()).await?;
        answer.map_err(|error| Refusal::recorded(error.into_problem()))
    })
    .await
}

/// Performs an admitted read and passes the answer on as it comes. The record tells the time to its head.
///
/// # Errors
/// A read that needs approval; the provider's failure; a store that takes no records. A refusal the provider words
/// itself is passed on.
pub async fn forward_admitted(
    platform: &Arc<Platform>,
    admitted: Admitted<ActionCall>,
) -> Result<Forwarded, Refusal> {
    check_free(platform, &admitted, Verb::PerformRead).await?;
    let platform = Arc::clone(platform);
    to_its_end(async move {
        let started = platform.clock.now();
        match platform.providers.forward(&call_of(&admitted)).await {
            Ok(forwarded) => {
                let mut record = record_of(&platform, &admitted, Verb::PerformRead, started);
                if forwarded.status >= 400 {
                    record.verdict = RecordVerdict::Failed;
                    record.detail = Some(format!("status {}", forwarded.status));
                }
                append(&platform, record).await?;
                Ok(forwarded)
            }
            Err(error) => {
                finish(&platform, &admitted, Verb::PerformRead, started, Some(&error)).await?;
                Err(Refusal::recorded(error.into_problem()))
            }
        }
    })
    .await
}

/// A caller who hangs up drops the request's own future. What was begun for them goes on beside it then, so that what
/// was done is recorded. Until then it costs no task of its own.
struct ToItsEnd<T: Send + 'static>(Option<Work<T>>);

type Work<T> = Pin<Box<dyn Future<Output = Result<T, Refusal>> + Send>>;

fn to_its_end<T: Send>(work: impl Future<Output = Result<T, Refusal>> + Send + 'static) -> ToItsEnd<T> {
    ToItsEnd(Some(Box::pin(work)))
}

impl<T: Send> Future for ToItsEnd<T> {
    type Output = Result<T, Refusal>;

    fn poll(mut self: Pin<&mut Self>, context: &mut task::Context<'_>) -> Poll<Self::Output> {
        let Some(work) = &mut self.0 else { return Poll::Pending };
        let done = task::ready!(work.as_mut().poll(context));
        self.0 = None;
        Poll::Ready(done)
    }
}

impl<T: Send> Drop for ToItsEnd<T> {
    fn drop(&mut self) {
        // While the runtime itself is torn down there is nothing left to go on in.
        if let Some(work) = self.0.take()
            && let Ok(runtime) = Handle::try_current()
            && !std::thread::panicking()
        {
            drop(runtime.spawn(work.in_current_span()));
        }
    }
}

/// Identify, admit and perform in one.
///
/// # Errors
/// As the door and [`perform_admitted`].
pub async fn perform_read(
    platform: &Arc<Platform>,
    caller: guichet_admission::Caller,
    attempt: Attempt,
    verb: Verb,
) -> Result<Value, Refusal> {
    let admitted = platform.door.admit_action(caller, attempt, Purpose::Perform).await?;
    perform_admitted(platform, admitted, verb).await
}

fn call_of(admitted: &Admitted<ActionCall>) -> ProviderCall<'_> {
    let (caller, wanted) = (admitted.caller(), admitted.wanted());
    ProviderCall {
        traceparent: caller.traceparent.as_deref(),
        timeout: Duration::from_secs(u64::from(wanted.timeout_seconds())),
        ..ProviderCall::of(wanted.action(), wanted.input(), &caller.principal, wanted.environment())
    }
}

fn record_of(
    platform: &Platform,
    admitted: &Admitted<ActionCall>,
    verb: Verb,
    started: jiff::Timestamp,
) -> guichet_contract::Record {
    let mut record = platform.door.record_of(admitted.caller(), verb, RecordVerdict::Allowed);
    door::describe(&mut record, admitted.wanted());
    record.duration_ms = u64::try_from(record.at.duration_since(started).as_millis()).ok();
    record
}

async fn finish(
    platform: &Platform,
    admitted: &Admitted<ActionCall>,
    verb: Verb,
    started: jiff::Timestamp,
    error: Option<&ProviderError>,
) -> Result<(), Refusal> {
    let mut record = record_of(platform, admitted, verb, started);
    if let Some(error) = error {
        record.verdict = RecordVerdict::Failed;
        record.problem = Some(error.problem().code.clone());
        record.detail = Some(error.problem().detail.chars().take(500).collect());
    }
    append(platform, record).await
}

/// What cannot be recorded is not answered.
async fn append(platform: &Platform, record: guichet_contract::Record) -> Result<(), Refusal> {
    platform.store.append_soon(record).await.map_err(|error| store_problem(&error).into())
}

/// A read's progress interests nobody.
struct NobodyListens;

#[async_trait]
impl Reporter for NobodyListens {
    async fn tell(&self, _: Told) {}
}
