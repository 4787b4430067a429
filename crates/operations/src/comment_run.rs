//! Somebody asks about a run, or answers. It decides nothing.

use std::{collections::BTreeSet, sync::Arc};

use guichet_admission::{Call, Refusal, door};
use guichet_contract::{EventKind, Principal, Problem, RecordVerdict, Run, RunId, Verb, code};
use guichet_store::{StoreError, UnitOfWork};

use crate::{
    notices::{self, Happened},
    platform::{Platform, store_problem},
    read_runs,
};

/// The longest comment, characters.
pub const COMMENT_MAX: usize = 2_000;

/// Says something about a run that the caller may see. What others than its requester say while it waits is a question;
/// the rest answers: what its requester says after a question is told to those who asked, and to who is to decide.
///
/// # Errors
/// Unknown run, no words or too many, a store that cannot record.
pub async fn comment_run(
    platform: &Arc<Platform>,
    call: &Call,
    run: &str,
    text: &str,
) -> Result<Run, Refusal> {
    let caller = read_runs::reader(platform, call).await?;
    let run = read_runs::find(platform, &caller, run, Verb::CommentRun).await?;
    let text = text.trim();
    let mut record = platform.door.record_of(&caller, Verb::CommentRun, RecordVerdict::Allowed);
    door::describe_run(&mut record, &run);
    if text.is_empty() || text.chars().count() > COMMENT_MAX {
        record.verdict = RecordVerdict::Refused;
        let problem =
            Problem::new(code::INVALID_INPUT, format!("a comment has 1 to {COMMENT_MAX} characters"))
                .next("say it shorter, and link to the rest");
        return Err(platform.door.refuse(record, problem).await);
    }
    record.reason = Some(text.to_owned());
    let asks = !run.state.is_final() && !run.requested_by.is_same_actor(&caller.principal);
    let comment = EventKind::Comment { by: caller.principal.to_string(), asks, text: text.to_owned() };
    let now = platform.clock.now();
    let mut work = UnitOfWork::new().append_record(record).append_event(run.id, now, comment);
    let by = caller.principal.name.as_str();
    if asks {
        let asked = Happened::Asked { by, because: text };
        work.changes.extend(notices::of(platform, &run, asked, run.state, now));
    } else if run.requested_by.is_same_actor(&caller.principal) {
        let asked =
            who_asked(platform, run.id).await.map_err(|error| Refusal::from(store_problem(&error)))?;
        if !asked.is_empty() {
            let answered = Happened::Answered { by, because: text, asked: &asked };
            work.changes.extend(notices::of(platform, &run, answered, run.state, now));
        }
    }
    match platform.store.commit(work).await {
        Ok(()) => Ok(platform.shown(run, &caller.principal)),
        Err(guichet_store::CommitError::Store(error)) => Err(store_problem(&error).into()),
        Err(error) => {
            let mut record = platform.door.record_of(&caller, Verb::CommentRun, RecordVerdict::Refused);
            door::describe_run(&mut record, &run);
            Err(platform.store_refusal(record, error).await)
        }
    }
}

/// Names of those who asked about a run so far. Nobody is looked for where nobody would be told.
async fn who_asked(platform: &Platform, run: RunId) -> Result<BTreeSet<String>, StoreError> {
    const AT_A_TIME: usize = 500;
    let mut asked = BTreeSet::new();
    if platform.messages.messenger.channels().is_empty() {
        return Ok(asked);
    }
    let mut after = 0;
    loop {
        let events = platform.store.events(run, after, AT_A_TIME).await?;
        after = events.last().map_or(after, |event| event.seq);
        let is_last = events.len() < AT_A_TIME;
        asked.extend(events.into_iter().filter_map(|event| match event.kind {
            EventKind::Comment { by, asks: true, .. } => Some(Principal::name_in(&by).to_owned()),
            _ => None,
        }));
        if is_last {
            return Ok(asked);
        }
    }
}
