//! Somebody asks about a run, or answers. It decides nothing.

use std::sync::Arc;

use guichet_admission::{Call, Refusal, door};
use guichet_contract::{EventKind, Problem, RecordVerdict, Run, Verb, code};
use guichet_store::UnitOfWork;

use crate::{
    notices::{self, Happened},
    platform::{Platform, store_problem},
    read_runs,
};

/// The longest comment, characters.
pub const COMMENT_MAX: usize = 2_000;

/// Says something about a run that the caller may see. What others than its requester say while it waits is a question;
/// the rest answers.
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
    if asks {
        let asked = Happened::Asked { by: &caller.principal.name, because: text };
        work.changes.extend(notices::of(platform, &run, asked, run.state, now));
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
