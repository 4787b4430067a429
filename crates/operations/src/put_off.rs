//! A queued run that cannot begin yet waits in its queue and is looked at again: for each reason so often, and each reason has
//! a count of its own. Who has waited long for its provider's document has all its tries left when the provider cannot be
//! called.
//!
//! Nothing keeps these counts: the run's events tell them.

use guichet_contract::{EventKind, Outcome, Problem, Run, RunId, RunState};
use guichet_lifecycle::{BackOff, Event};
use guichet_store::{CommitError, StoreError, UnitOfWork};
use jiff::SignedDuration;

use crate::{
    execute_run::Held,
    platform::Platform,
    record_outcome::{WithoutLease, record_outcome},
};

/// The pauses between two tries of one run.
pub(crate) const PAUSES: BackOff = BackOff::seconds(1, 60);
/// How many events are read at once.
const BATCH: usize = 500;

/// What a run lacks that could begin otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lacks {
    /// The document of its provider, which could not be read since this gateway started.
    Document,
    /// A provider that says whether the plan is still the same.
    Plan,
    /// A provider that takes the call.
    Answer,
}

impl Lacks {
    /// How often is looked before the run fails: about seven minutes for a document, about half a minute for the others.
    pub(crate) fn tries(self) -> u32 {
        match self {
            Self::Document => 13,
            Self::Plan | Self::Answer => 6,
        }
    }

    /// What is done again after the pause. It ends the line that tells of it, and the lines are counted by it.
    fn again(self) -> &'static str {
        match self {
            Self::Document => "looked for it again in",
            Self::Plan => "asked for the plan again in",
            Self::Answer => "tried again in",
        }
    }

    /// The line that tells of a pause.
    pub(crate) fn line(self, problem: &Problem, pause: SignedDuration) -> String {
        format!("{}; {} {:.1} s", problem.detail, self.again(), pause.as_secs_f64())
    }

    /// Whether this event tells of one try. A run that is put off was never called for, so that no line of it is its provider's.
    fn is_told_by(self, event: &EventKind) -> bool {
        match (self, event) {
            // Each try to call it begins with its intent.
            (Self::Answer, EventKind::State { state, .. }) => *state == RunState::Running,
            (Self::Document | Self::Plan, EventKind::Log { line }) => {
                line.rsplit_once("; ").is_some_and(|(_, end)| end.starts_with(self.again()))
            }
            _ => false,
        }
    }

    /// How often this was tried so far.
    pub(crate) async fn tried(self, platform: &Platform, run: RunId) -> Result<u32, StoreError> {
        let (mut after, mut tried) = (0, 0_u32);
        loop {
            let events = platform.store.events(run, after, BATCH).await?;
            let Some(last) = events.last() else { return Ok(tried) };
            after = last.seq;
            let told = events.iter().filter(|event| self.is_told_by(&event.kind)).count();
            tried = tried.saturating_add(u32::try_from(told).unwrap_or(u32::MAX));
        }
    }
}

/// The run stays queued and is looked at again after a pause; after the last try it has failed.
///
/// # Errors
/// The store's; the job is tried again, and that is no try of the run's.
pub(crate) async fn put_off(
    platform: &Platform,
    run: &Run,
    lacks: Lacks,
    problem: Problem,
    held: &Held<'_>,
) -> Result<(), CommitError> {
    let tried = lacks.tried(platform, run.id).await.map_err(CommitError::Store)?.saturating_add(1);
    if tried >= lacks.tries() {
        return record_outcome(
            platform,
            run,
            Event::Failed,
            Outcome::failed(problem),
            held,
            WithoutLease::Leave,
        )
        .await;
    }
    wait(platform, run, lacks, &problem, pause_of(run.id, tried), held).await
}

/// Tells why it waits, and has it looked at again.
///
/// # Errors
/// The store's; the job is tried again.
pub(crate) async fn wait(
    platform: &Platform,
    run: &Run,
    lacks: Lacks,
    problem: &Problem,
    pause: SignedDuration,
    held: &Held<'_>,
) -> Result<(), CommitError> {
    let now = platform.clock.now();
    let line = EventKind::Log { line: lacks.line(problem, pause) };
    let work = UnitOfWork::new().append_event(run.id, now, line).with(held.retry(now + pause));
    match platform.store.commit(work).await {
        Err(CommitError::Conflict { .. }) => Ok(()), // cancelled meanwhile
        other => other,
    }
}

/// The pause after so many tries, by the run's id a little longer or shorter than that of others.
pub(crate) fn pause_of(run: RunId, tries: u32) -> SignedDuration {
    PAUSES.apart(tries, run.0.as_bytes()[15])
}

#[cfg(test)]
mod tests {
    use guichet_contract::code;

    use super::*;

    fn told(lacks: Lacks) -> EventKind {
        let problem = Problem::new(code::PROVIDER_UNREACHABLE, "provider a cannot be reached: no; not now");
        EventKind::Log { line: lacks.line(&problem, SignedDuration::from_millis(2_345)) }
    }

    #[test]
    fn each_reason_counts_its_own_tries_and_nobody_elses() {
        let events = [
            EventKind::State { state: RunState::Queued, because: None },
            told(Lacks::Document),
            told(Lacks::Document),
            told(Lacks::Plan),
            EventKind::State { state: RunState::Running, because: None },
            EventKind::State {
                state: RunState::Queued,
                because: Some("provider a cannot be reached; tried again in 1.0 s".to_owned()),
            },
            told(Lacks::Document),
            EventKind::State { state: RunState::Running, because: None },
            EventKind::Log {
                line: "waits behind run 1: one run at a time for asked for the plan again in".to_owned(),
            },
        ];
        let tried = |lacks: Lacks| events.iter().filter(|event| lacks.is_told_by(event)).count();
        assert_eq!([Lacks::Document, Lacks::Plan, Lacks::Answer].map(tried), [3, 1, 2]);
    }

    #[test]
    fn a_document_is_waited_for_about_seven_minutes_and_the_rest_about_half_a_minute() {
        let waited =
            |lacks: Lacks| (1..lacks.tries()).map(|tries| PAUSES.after(tries).as_secs()).sum::<i64>();
        assert_eq!([Lacks::Document, Lacks::Plan, Lacks::Answer].map(waited), [423, 31, 31]);
    }
}
