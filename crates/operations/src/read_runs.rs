//! Runs, for those who may see them.

use std::sync::Arc;

use guichet_admission::{
    Call, Caller, Refusal,
    door::{GatewayVerb, describe_run},
};
use guichet_contract::{Problem, RecordVerdict, Run, RunId, Verb, code};
use guichet_store::{Page, PageRequest, RunsFilter};

use crate::{
    line::{self, Lines},
    platform::{Platform, store_problem},
};

/// One run.
///
/// # Errors
/// Unknown, or not for this caller's eyes, which reads the same.
pub async fn read_run(platform: &Arc<Platform>, call: &Call, run: &str) -> Result<Run, Refusal> {
    let caller = reader(platform, call).await?;
    let run = find(platform, &caller, run, Verb::ReadRuns).await?;
    platform.note_shown(&caller, Verb::ReadRuns, |record| describe_run(record, &run)).await;
    Ok(line::told(platform, platform.shown(run, &caller.principal)).await)
}

/// Someone whose token may read runs.
pub(crate) async fn reader(platform: &Platform, call: &Call) -> Result<Caller, Refusal> {
    let caller = platform.door.identify(call).await?;
    platform.door.admit_gateway(caller, GatewayVerb::ReadRuns).await.map(|admitted| admitted.caller().clone())
}

/// A page of runs, newest first; those the caller may not see are left out, so a page can be short.
///
/// # Errors
/// A cursor that is not ours; the store.
pub async fn list_runs(
    platform: &Arc<Platform>,
    call: &Call,
    filter: &RunsFilter,
    page: &PageRequest,
) -> Result<Page<Run>, Refusal> {
    let caller = reader(platform, call).await?;
    platform.note_shown(&caller, Verb::ReadRuns, |record| record.detail = Some("list".to_owned())).await;
    visible(platform, &caller, filter, page, |_| true).await
}

/// A page of those runs that this caller may see, and of which this holds too.
pub(crate) async fn visible(
    platform: &Arc<Platform>,
    caller: &Caller,
    filter: &RunsFilter,
    page: &PageRequest,
    also: impl Fn(&Run) -> bool,
) -> Result<Page<Run>, Refusal> {
    let found =
        platform.store.runs(filter, page).await.map_err(|error| Refusal::from(store_problem(&error)))?;
    let (mut items, mut lines) = (Vec::new(), Lines::default());
    for run in found.items {
        if platform.door.may_see(&caller.principal, &run) && also(&run) {
            items.push(lines.told(platform, platform.shown(run, &caller.principal)).await);
        }
    }
    Ok(Page { items, next: found.next })
}

/// The run of this full or short id, with its true input. One the caller may not see is answered like one that is not.
pub(crate) async fn find(platform: &Platform, caller: &Caller, id: &str, verb: Verb) -> Result<Run, Refusal> {
    let problem = match look_up(platform, id).await {
        Ok(run) if platform.door.may_see(&caller.principal, &run) => return Ok(run),
        Ok(_) => unknown(id),
        Err(problem) => problem,
    };
    let mut record = platform.door.record_of(caller, verb, RecordVerdict::Refused);
    record.detail = Some(format!("run {}", id.chars().take(64).collect::<String>()));
    Err(platform.door.refuse(record, problem).await)
}

async fn look_up(platform: &Platform, id: &str) -> Result<Run, Problem> {
    let id = if let Ok(full) = id.parse::<RunId>() {
        full
    } else {
        let short = id.to_ascii_lowercase();
        if short.len() != 8 || !short.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Problem::new(
                code::UNKNOWN_RUN,
                "a run has an id like 0192f0c1-…, or its last eight digits",
            )
            .next("`guichet runs list` shows the ids"));
        }
        let found = platform.store.runs_by_short_id(&short).await.map_err(|error| store_problem(&error))?;
        match found.as_slice() {
            [one] => *one,
            [] => return Err(unknown(id)),
            // Which ones is not told: the caller may not see them all.
            several => {
                let problem = Problem::new(code::AMBIGUOUS_ID, format!("{} runs end in {id}", several.len()));
                return Err(problem.next("use the whole id: `guichet runs list --output json` has it"));
            }
        }
    };
    match platform.store.run(id).await {
        Ok(Some(run)) => Ok(run),
        Ok(None) => Err(unknown(&id.to_string())),
        Err(error) => Err(store_problem(&error)),
    }
}

fn unknown(id: &str) -> Problem {
    Problem::new(code::UNKNOWN_RUN, format!("there is no run {id} that you may see"))
        .next("`guichet runs list` shows the ids")
}

pub(crate) async fn reload(platform: &Platform, id: RunId) -> Result<Run, Refusal> {
    match platform.store.run(id).await {
        Ok(Some(run)) => Ok(run),
        Ok(None) => Err(unknown(&id.to_string()).into()),
        Err(error) => Err(store_problem(&error).into()),
    }
}
