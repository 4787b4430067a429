//! Somebody else looks at a run that broke the glass, and says what they found.

use std::sync::Arc;

use guichet_admission::{Call, Refusal, door};
use guichet_contract::{EventKind, Problem, RecordVerdict, Review, ReviewClosed, Run, Verb, code};
use guichet_store::{Change, CommitError, UnitOfWork};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    platform::{Platform, store_problem},
    read_runs,
};

/// The longest finding, characters.
pub const WORDS_MAX: usize = 2_000;
/// At most so many open reviews are told at once.
const LISTED: usize = 500;
/// So many are looked at at a time.
pub const AT_A_TIME: usize = 100;

/// A run that broke the glass, and its review.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Reviewed {
    /// The review.
    pub review: Review,
    /// Whether it is open longer than it should be.
    pub overdue: bool,
    /// The run.
    pub run: Run,
}

/// Reviews that are open and whose runs the caller may see, the most urgent first, 500 at most.
///
/// # Errors
/// Not signed in; the store.
pub async fn list_reviews(
    platform: &Arc<Platform>,
    call: &Call,
    only_overdue: bool,
) -> Result<Vec<Reviewed>, Refusal> {
    let caller = read_runs::reader(platform, call).await?;
    let now = platform.clock.now();
    let before = if only_overdue { now } else { Timestamp::MAX };
    let mut found = Vec::new();
    let mut after = None;
    // The limit is of what is shown: those of others never hide one's own.
    loop {
        let open = platform.store.open_reviews(before, after, AT_A_TIME).await;
        let open = open.map_err(|error| Refusal::from(store_problem(&error)))?;
        after = open.last().map(|review| (review.due_at, review.run));
        let is_last = open.len() < AT_A_TIME;
        for review in open {
            let run = read_runs::reload(platform, review.run).await?;
            if platform.door.may_see(&caller.principal, &run) {
                let run = platform.shown(run, &caller.principal);
                found.push(Reviewed { overdue: review.due_at <= now, review, run });
            }
        }
        if is_last || found.len() >= LISTED {
            break;
        }
    }
    found.truncate(LISTED);
    platform.note_shown(&caller, Verb::ReadRuns, |record| record.detail = Some("reviews".to_owned())).await;
    Ok(found)
}

/// The review of one run, open or closed.
///
/// # Errors
/// Unknown run, or one without a review.
pub async fn read_review(platform: &Arc<Platform>, call: &Call, run: &str) -> Result<Reviewed, Refusal> {
    let caller = read_runs::reader(platform, call).await?;
    let run = read_runs::find(platform, &caller, run, Verb::ReadRuns).await?;
    let found = platform.store.review(run.id).await.map_err(|error| Refusal::from(store_problem(&error)))?;
    if let Some(review) = found {
        platform.note_shown(&caller, Verb::ReadRuns, |record| door::describe_run(record, &run)).await;
        let overdue = review.closed.is_none() && review.due_at <= platform.clock.now();
        return Ok(Reviewed { overdue, review, run: platform.shown(run, &caller.principal) });
    }
    let mut record = platform.door.record_of(&caller, Verb::ReadRuns, RecordVerdict::Refused);
    door::describe_run(&mut record, &run);
    Err(platform.door.refuse(record, none_open(&run)).await)
}

/// Closes a review. Whoever asked for the run never does; who does could have lifted one of the conditions it skipped or,
/// where these name nobody because the resource has no owner, may audit.
///
/// # Errors
/// Unknown run, no open review, no words, one's own run, or nobody who could have approved it.
pub async fn close_review(
    platform: &Arc<Platform>,
    call: &Call,
    run: &str,
    words: &str,
) -> Result<Reviewed, Refusal> {
    let caller = platform.door.identify(call).await?;
    let run = read_runs::find(platform, &caller, run, Verb::CloseReview).await?;
    let mut record = platform.door.record_of(&caller, Verb::CloseReview, RecordVerdict::Refused);
    door::describe_run(&mut record, &run);
    let words = words.trim();
    if words.is_empty() || words.chars().count() > WORDS_MAX {
        let problem = Problem::new(code::INVALID_INPUT, format!("a finding has 1 to {WORDS_MAX} characters"))
            .next("say what you looked at and what you found: `--reason \"…\"`");
        return Err(platform.door.refuse(record, problem).await);
    }
    let Some(glass) = &run.broken_glass else {
        let problem = none_open(&run);
        return Err(platform.door.refuse(record, problem).await);
    };
    platform.door.admit_review(&caller, &run, glass).await?;
    let now = platform.clock.now();
    let closed = ReviewClosed { by: caller.principal.name.clone(), at: now, words: words.to_owned() };
    record.verdict = RecordVerdict::Allowed;
    record.reason = Some(words.to_owned());
    let comment = EventKind::Comment { by: closed.by.clone(), asks: false, text: format!("review: {words}") };
    let work = UnitOfWork::new()
        .with(Change::CloseReview { run: run.id, closed })
        .append_record(record.clone())
        .append_event(run.id, now, comment);
    match platform.store.commit(work).await {
        Ok(()) => read_review(platform, call, &run.id.to_string()).await,
        Err(CommitError::Conflict { .. }) => {
            record.verdict = RecordVerdict::Refused;
            Err(platform.door.refuse(record, none_open(&run)).await)
        }
        Err(error) => {
            record.verdict = RecordVerdict::Refused;
            Err(platform.store_refusal(record, error).await)
        }
    }
}

fn none_open(run: &Run) -> Problem {
    Problem::new(code::NO_REVIEW, format!("run {} has no open review", run.id.short()))
        .next("`guichet reviews list` shows those that are open")
}
