//! All that waits for people: runs, and schedules, which are decided once for each of their runs.

use std::sync::Arc;

use guichet_admission::{Call, Refusal};
use guichet_contract::{Approvals, Run, RunState, Schedule, ScheduleState, Verb};
use guichet_rules::Waiting;
use guichet_store::{PageRequest, RunsFilter};

use crate::{
    platform::{Platform, store_problem},
    read_runs::{reader, visible},
    read_schedules,
};

/// What waits for people and this caller may see; with `mine`, what they could decide on and have not. Schedules stand on
/// the first page only, all of them.
///
/// # Errors
/// A cursor that is not ours; the store.
pub async fn list_approvals(
    platform: &Arc<Platform>,
    call: &Call,
    mine: bool,
    page: &PageRequest,
) -> Result<Approvals, Refusal> {
    let caller = reader(platform, call).await?;
    platform.note_shown(&caller, Verb::ReadRuns, |record| record.detail = Some("approvals".to_owned())).await;
    let world = platform.door.world();
    let counts = |run: &Run| {
        !mine
            || (world.policies.can_lift(&caller.principal, &Waiting::of(run), platform.clock.now()).is_ok()
                && !run.decisions.iter().any(|decision| decision.by == caller.principal.name))
    };
    let filter = RunsFilter { states: vec![RunState::AwaitingApproval], ..RunsFilter::default() };
    let runs = visible(platform, &caller, &filter, page, counts).await?;
    let mut schedules = Vec::new();
    if page.cursor.is_none() {
        let all =
            read_schedules::all(platform).await.map_err(|error| Refusal::from(store_problem(&error)))?;
        let waits = |schedule: &Schedule| {
            schedule.state == ScheduleState::AwaitingApproval
                && platform.door.may_see_schedule(&caller.principal, schedule)
                && counts(&schedule.as_run())
        };
        schedules.extend(
            all.into_iter()
                .filter(waits)
                .map(|schedule| read_schedules::shown(platform, schedule, &caller.principal)),
        );
    }
    Ok(Approvals { items: runs.items, schedules, next: runs.next })
}
