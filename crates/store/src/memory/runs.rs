//! Runs and what people decided about them.

use async_trait::async_trait;
use guichet_contract::{CancelAsked, Decision, Outcome, PrincipalKind, Run, RunId, RunState};
use guichet_lifecycle::{Event, next};
use jiff::Timestamp;

use super::{
    MemoryStore,
    state::State,
    writing::{Writing, conflict},
};
use crate::{CommitError, Page, PageRequest, Runs, RunsFilter, StoreError, cursor};

const OPEN: [RunState; 3] = [RunState::AwaitingApproval, RunState::Queued, RunState::Running];

/// A new run. Conflict when its id or its requester's idempotency key exists, or when the run that it undoes is undone
/// already.
pub(super) fn insert(writing: &mut Writing<'_>, run: Run) -> Result<(), CommitError> {
    if let Some(undone) = run.undoes
        && let Some(by) = undone_by(writing.state, undone)
    {
        return Err(conflict(format!("run {undone} (run {by} undoes it already)")));
    }
    let same_key = |other: &Run| {
        other.idempotency_key == run.idempotency_key
            && other.requested_by.kind == run.requested_by.kind
            && other.requested_by.name == run.requested_by.name
    };
    if let Some(key) = &run.idempotency_key
        && writing.state.runs.values().any(same_key)
    {
        let requester = &run.requested_by;
        return Err(conflict(format!(
            "run {} (its id or the idempotency key `{key}` of {requester} exists)",
            run.id
        )));
    }
    if writing.state.runs.contains_key(&run.id) {
        return Err(conflict(format!("run {} (its id exists)", run.id)));
    }
    writing.put(|state| &mut state.runs, run.id, Some(Run { undone_by: None, ..run }));
    Ok(())
}

/// Which run undoes this one: the second time around it may undo what others have built upon; one that came to nothing
/// does not count.
fn undone_by(state: &State, undone: RunId) -> Option<RunId> {
    let counts = |run: &&Run| OPEN.contains(&run.state) || run.state == RunState::Succeeded;
    state.runs.values().filter(|run| run.undoes == Some(undone)).find(counts).map(|run| run.id)
}

/// The run, if it is in the state that was expected.
fn in_state(writing: &Writing<'_>, run: RunId, expected: RunState) -> Result<Run, CommitError> {
    match writing.state.runs.get(&run) {
        Some(found) if found.state == expected => Ok(found.clone()),
        found => {
            let found = found.map_or("no such run", |run| run.state.as_str());
            Err(conflict(format!("run {run} (expected {expected}, found {found})")))
        }
    }
}

/// Moves a run that is in `from`. Conflict when it is not, or when no run moves so.
pub(super) fn r#move(
    writing: &mut Writing<'_>,
    run: RunId,
    from: RunState,
    to: RunState,
    at: Timestamp,
    outcome: Option<Outcome>,
) -> Result<(), CommitError> {
    let mut found = in_state(writing, run, from)?;
    if !Event::ALL.into_iter().any(|event| next(from, event) == Ok(to)) {
        return Err(conflict(format!("run {run} (no run moves from {from} to {to})")));
    }
    found.state = to;
    match to {
        RunState::Running => found.started_at = Some(at),
        // It has not started after all.
        RunState::Queued => found.started_at = None,
        _ => {}
    }
    if to.is_final() {
        found.finished_at = Some(at);
    }
    found.outcome = outcome.or(found.outcome);
    found.waits_until = None;
    writing.put(|state| &mut state.runs, run, Some(found));
    Ok(())
}

/// A run under way waits, or no longer does. Conflict when it is not under way, or, to begin waiting, shall be stopped.
pub(super) fn rest(
    writing: &mut Writing<'_>,
    run: RunId,
    until: Option<Timestamp>,
) -> Result<(), CommitError> {
    let mut found = in_state(writing, run, RunState::Running)?;
    if until.is_some() && found.cancel_asked.is_some() {
        return Err(conflict(format!("run {run} (not running, or somebody asked that it be stopped)")));
    }
    found.waits_until = until;
    writing.put(|state| &mut state.runs, run, Some(found));
    Ok(())
}

/// A run under way shall be stopped. Conflict when it is not under way, or was asked already.
pub(super) fn ask_cancel(
    writing: &mut Writing<'_>,
    run: RunId,
    asked: CancelAsked,
) -> Result<(), CommitError> {
    let mut found = in_state(writing, run, RunState::Running)?;
    if found.cancel_asked.is_some() {
        return Err(conflict(format!("run {run} (not running, or asked already)")));
    }
    found.cancel_asked = Some(asked);
    writing.put(|state| &mut state.runs, run, Some(found));
    Ok(())
}

/// Adds a decision to a waiting run that has exactly `seen` of them. Conflict otherwise, and when the person has decided
/// already.
pub(super) fn add_decision(
    writing: &mut Writing<'_>,
    run: RunId,
    seen: usize,
    decision: Decision,
) -> Result<(), CommitError> {
    let mut found = in_state(writing, run, RunState::AwaitingApproval)?;
    let there = found.decisions.len();
    if there != seen {
        return Err(conflict(format!("run {run} (expected {seen} decisions, found {there})")));
    }
    if found.decisions.iter().any(|other| other.by == decision.by) {
        return Err(conflict(format!("run {run} ({} has decided already)", decision.by)));
    }
    found.decisions.push(decision);
    writing.put(|state| &mut state.runs, run, Some(found));
    Ok(())
}

fn told(state: &State, run: &Run) -> Run {
    Run { undone_by: undone_by(state, run.id), ..run.clone() }
}

fn place_of(run: &Run) -> (i64, RunId) {
    (run.created_at.as_microsecond(), run.id)
}

#[async_trait]
impl Runs for MemoryStore {
    async fn run(&self, id: RunId) -> Result<Option<Run>, StoreError> {
        self.read(|state| Ok(state.runs.get(&id).map(|run| told(state, run))))
    }

    async fn runs_by_short_id(&self, short: &str) -> Result<Vec<RunId>, StoreError> {
        let short = short.to_ascii_lowercase();
        self.read(|state| {
            Ok(state.runs.keys().rev().filter(|id| id.short() == short).take(10).copied().collect())
        })
    }

    async fn runs(&self, filter: &RunsFilter, page: &PageRequest) -> Result<Page<Run>, StoreError> {
        let before = page.cursor.as_deref().map(cursor::read_run).transpose()?;
        let limit = cursor::limit(page);
        let wanted = |run: &&Run| {
            (filter.states.is_empty() || filter.states.contains(&run.state))
                && filter.action.as_ref().is_none_or(|action| *action == run.action)
                && filter.requested_by.as_ref().is_none_or(|name| *name == run.requested_by.name)
                && before.is_none_or(|before| place_of(run) < before)
        };
        self.read(|state| {
            let mut found: Vec<&Run> = state.runs.values().filter(wanted).collect();
            found.sort_by_key(|run| std::cmp::Reverse(place_of(run)));
            let more = found.len() > limit;
            found.truncate(limit);
            let next = found.last().filter(|_| more).map(|last| {
                let (at, id) = place_of(last);
                cursor::of_run(at, id)
            });
            Ok(Page { items: found.into_iter().map(|run| told(state, run)).collect(), next })
        })
    }

    async fn open_runs(&self) -> Result<Vec<(RunState, u64)>, StoreError> {
        self.read(|state| {
            let count = |open| state.runs.values().filter(|run| run.state == open).count();
            Ok(OPEN.map(|open| (open, count(open) as u64)).to_vec())
        })
    }

    async fn open_runs_of(&self, kind: PrincipalKind, name: &str) -> Result<u64, StoreError> {
        self.read(|state| {
            let is_theirs = |run: &&Run| {
                run.requested_by.kind == kind && run.requested_by.name == name && OPEN.contains(&run.state)
            };
            Ok(state.runs.values().filter(is_theirs).count() as u64)
        })
    }
}
