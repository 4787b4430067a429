//! Runs and what people decided about them. The drawing of the states stands in `schema/0001_runs.sql`.

use async_trait::async_trait;
use guichet_contract::{CancelAsked, Decision, Outcome, PrincipalKind, Run, RunId, RunState};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, params, params_from_iter, types::Value};

use super::{
    SqliteStore,
    columns::{count, integer, micros, moment_if_any, word},
    cursor,
    fault::{Fault, OrConflict as _},
    writing::Writing,
};
use crate::{Page, PageRequest, Runs, RunsFilter, StoreError};

const INSERT: &str = "
    INSERT INTO runs (id, short_id, state, action, requested_by_kind, requested_by, idempotency_key,
                      created_at, started_at, finished_at, outcome, body, waits_until, cancel_asked)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";

// The second time around it may undo what others have built upon; one that came to nothing does not count.
const UNDONE_BY: &str = "
    SELECT id FROM runs WHERE undoes IS NOT NULL AND undoes = ?1
    AND state IN ('awaiting_approval', 'queued', 'running', 'succeeded')";

/// A new run. Conflict when its id or its requester's idempotency key exists, or when the run that it undoes is undone
/// already.
pub(super) fn insert(writing: &mut Writing<'_>, run: &Run) -> Result<(), Fault> {
    let requester = &run.requested_by;
    let kind = serde_json::to_value(requester.kind)?;
    let body = serde_json::to_string(&Run { decisions: Vec::new(), undone_by: None, ..run.clone() })?;
    let connection = writing.connection();
    if let Some(undone) = run.undoes {
        // Read and write are one step: this thread alone writes.
        let mut statement = connection.prepare_cached(UNDONE_BY)?;
        let by: Option<String> = statement.query_row([undone.to_string()], |row| row.get(0)).optional()?;
        if let Some(by) = by {
            return Err(Fault::Conflict(format!("run {undone} (run {by} undoes it already)")));
        }
    }
    connection
        .prepare_cached(INSERT)?
        .execute(params![
            run.id.to_string(),
            run.id.short(),
            run.state.as_str(),
            run.action.as_str(),
            kind.as_str(),
            requester.name,
            run.idempotency_key,
            micros(run.created_at),
            run.started_at.map(micros),
            run.finished_at.map(micros),
            outcome_text(run.outcome.as_ref())?,
            body,
            run.waits_until.map(micros),
            run.cancel_asked.as_ref().map(serde_json::to_string).transpose()?,
        ])
        .or_conflict(|| match &run.idempotency_key {
            Some(key) => {
                format!("run {} (its id or the idempotency key `{key}` of {requester} exists)", run.id)
            }
            None => format!("run {} (its id exists)", run.id),
        })?;
    for (position, decision) in run.decisions.iter().enumerate() {
        insert_decision(connection, run.id, position, decision)?;
    }
    Ok(())
}

const MOVE: &str = "
    UPDATE runs
    SET state = ?3,
        started_at  = CASE WHEN ?4 THEN ?6 WHEN ?3 = 'queued' THEN NULL ELSE started_at END,
        finished_at = CASE WHEN ?5 THEN ?6 ELSE finished_at END,
        outcome     = coalesce(?7, outcome),
        waits_until = NULL
    WHERE id = ?1 AND state = ?2";

/// Moves a run that is in `from`. Conflict when it is not, or when it has ended.
pub(super) fn r#move(
    writing: &mut Writing<'_>,
    run: RunId,
    from: RunState,
    to: RunState,
    at: Timestamp,
    outcome: Option<&Outcome>,
) -> Result<(), Fault> {
    let moved = writing
        .connection()
        .prepare_cached(MOVE)?
        .execute(params![
            run.to_string(),
            from.as_str(),
            to.as_str(),
            to == RunState::Running,
            to.is_final(),
            micros(at),
            outcome_text(outcome)?,
        ])
        .or_conflict(|| format!("run {run} (no run moves from {from} to {to})"))?;
    if moved == 1 { Ok(()) } else { Err(not_as_expected(writing.connection(), run, from)?) }
}

// Who begins to wait must not sleep through a cancel.
const REST: &str = "
    UPDATE runs SET waits_until = ?2
    WHERE id = ?1 AND state = 'running' AND (?2 IS NULL OR cancel_asked IS NULL)";

/// A run under way waits, or no longer does. Conflict when it is not under way, or shall be stopped.
pub(super) fn rest(writing: &mut Writing<'_>, run: RunId, until: Option<Timestamp>) -> Result<(), Fault> {
    let connection = writing.connection();
    let changed = connection.prepare_cached(REST)?.execute(params![run.to_string(), until.map(micros)])?;
    if changed == 1 {
        return Ok(());
    }
    Err(Fault::Conflict(format!("run {run} (not running, or somebody asked that it be stopped)")))
}

const ASK_CANCEL: &str = "
    UPDATE runs SET cancel_asked = ?2 WHERE id = ?1 AND state = 'running' AND cancel_asked IS NULL";

/// A run under way shall be stopped. Conflict when it is not under way, or was asked already.
pub(super) fn ask_cancel(writing: &mut Writing<'_>, run: RunId, asked: &CancelAsked) -> Result<(), Fault> {
    let asked = serde_json::to_string(asked)?;
    let changed =
        writing.connection().prepare_cached(ASK_CANCEL)?.execute(params![run.to_string(), asked])?;
    if changed == 1 {
        return Ok(());
    }
    Err(Fault::Conflict(format!("run {run} (not running, or asked already)")))
}

const WAITING_WITH_DECISIONS: &str = "
    SELECT (SELECT count(*) FROM decisions WHERE run = runs.id)
    FROM runs WHERE id = ?1 AND state = 'awaiting_approval'";

/// Adds a decision to a waiting run that has exactly `seen` of them. Conflict otherwise, and when the person
/// has decided already.
pub(super) fn add_decision(
    writing: &mut Writing<'_>,
    run: RunId,
    seen: usize,
    decision: &Decision,
) -> Result<(), Fault> {
    // Read and write are one step: this thread alone writes.
    let connection = writing.connection();
    let there: Option<i64> = connection
        .prepare_cached(WAITING_WITH_DECISIONS)?
        .query_row([run.to_string()], |row| row.get(0))
        .optional()?;
    match there {
        None => Err(not_as_expected(connection, run, RunState::AwaitingApproval)?),
        Some(there) if there != integer(seen) => {
            Err(Fault::Conflict(format!("run {run} (expected {seen} decisions, found {there})")))
        }
        Some(_) => insert_decision(connection, run, seen, decision),
    }
}

const INSERT_DECISION: &str =
    "INSERT INTO decisions (run, decided_by, position, body) VALUES (?1, ?2, ?3, ?4)";

fn insert_decision(
    connection: &Connection,
    run: RunId,
    position: usize,
    decision: &Decision,
) -> Result<(), Fault> {
    connection
        .prepare_cached(INSERT_DECISION)?
        .execute(params![run.to_string(), decision.by, integer(position), serde_json::to_string(decision)?])
        .or_conflict(|| format!("run {run} ({} has decided already)", decision.by))?;
    Ok(())
}

/// What a run is instead of what the caller believed.
fn not_as_expected(connection: &Connection, run: RunId, expected: RunState) -> Result<Fault, Fault> {
    let found: Option<String> = connection
        .prepare_cached("SELECT state FROM runs WHERE id = ?1")?
        .query_row([run.to_string()], |row| row.get(0))
        .optional()?;
    let found = found.as_deref().unwrap_or("no such run");
    Ok(Fault::Conflict(format!("run {run} (expected {expected}, found {found})")))
}

fn outcome_text(outcome: Option<&Outcome>) -> Result<Option<String>, serde_json::Error> {
    outcome.map(serde_json::to_string).transpose()
}

/// The columns that [`read_row`] reads.
const SELECT: &str = "
    SELECT body, state, started_at, finished_at, outcome,
           (SELECT json_group_array(json(decisions.body) ORDER BY position) FROM decisions WHERE run = runs.id),
           created_at,
           (SELECT undoing.id FROM runs AS undoing
            WHERE undoing.undoes IS NOT NULL AND undoing.undoes = runs.id
              AND undoing.state IN ('awaiting_approval', 'queued', 'running', 'succeeded') LIMIT 1),
           waits_until, cancel_asked
    FROM runs";

/// A run as it stands: as submitted, with what has changed since.
fn read_row(row: &Row<'_>) -> Result<(Run, i64), Fault> {
    let mut run: Run = serde_json::from_str(row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?)?;
    run.state = word(row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?)?;
    run.started_at = moment_if_any(row.get(2)?)?;
    run.finished_at = moment_if_any(row.get(3)?)?;
    run.outcome = row.get::<_, Option<String>>(4)?.map(|text| serde_json::from_str(&text)).transpose()?;
    run.decisions = serde_json::from_str(row.get_ref(5)?.as_str().map_err(rusqlite::Error::from)?)?;
    run.undone_by = row.get::<_, Option<String>>(7)?.map(|id| word(&id)).transpose()?;
    run.waits_until = moment_if_any(row.get(8)?)?;
    run.cancel_asked =
        row.get::<_, Option<String>>(9)?.map(|text| serde_json::from_str(&text)).transpose()?;
    Ok((run, row.get(6)?))
}

// The states stand as in the partial index, so that it is used.
const OPEN_OF: &str = "
    SELECT count(*) FROM runs
    WHERE requested_by_kind = ?1 AND requested_by = ?2 AND state IN ('awaiting_approval', 'queued', 'running')";

#[async_trait]
impl Runs for SqliteStore {
    async fn run(&self, id: RunId) -> Result<Option<Run>, StoreError> {
        self.look(move |connection| {
            let mut statement = connection.prepare_cached(&format!("{SELECT} WHERE id = ?1"))?;
            let mut rows = statement.query([id.to_string()])?;
            rows.next()?.map(|row| Ok(read_row(row)?.0)).transpose()
        })
        .await
    }

    async fn runs_by_short_id(&self, short: &str) -> Result<Vec<RunId>, StoreError> {
        let short = short.to_ascii_lowercase();
        self.read(move |connection| {
            let mut statement = connection
                .prepare_cached("SELECT id FROM runs WHERE short_id = ?1 ORDER BY id DESC LIMIT 10")?;
            let ids = statement.query_map([short], |row| row.get::<_, String>(0))?;
            ids.map(|id| word(&id?)).collect()
        })
        .await
    }

    async fn runs(&self, filter: &RunsFilter, page: &PageRequest) -> Result<Page<Run>, StoreError> {
        let (filter, page) = (filter.clone(), page.clone());
        self.read(move |connection| list(connection, &filter, &page)).await
    }

    async fn open_runs_of(&self, kind: PrincipalKind, name: &str) -> Result<u64, StoreError> {
        let name = name.to_owned();
        self.look(move |connection| {
            let kind = serde_json::to_value(kind)?;
            let rows = connection
                .prepare_cached(OPEN_OF)?
                .query_row(params![kind.as_str(), name], |row| row.get(0))?;
            Ok(count(rows)?)
        })
        .await
    }

    async fn open_runs(&self) -> Result<Vec<(RunState, u64)>, StoreError> {
        self.read(|connection| {
            [RunState::AwaitingApproval, RunState::Queued, RunState::Running]
                .into_iter()
                .map(|state| {
                    let rows = connection
                        .prepare_cached("SELECT count(*) FROM runs WHERE state = ?1")?
                        .query_row([state.as_str()], |row| row.get(0))?;
                    Ok((state, count(rows)?))
                })
                .collect()
        })
        .await
    }
}

/// Newest first. The conditions differ per call, so the text is put together; the values never stand in it.
fn list(connection: &Connection, filter: &RunsFilter, page: &PageRequest) -> Result<Page<Run>, Fault> {
    let mut text = format!("{SELECT} WHERE true");
    let mut values: Vec<Value> = Vec::new();
    if !filter.states.is_empty() {
        let places = vec!["?"; filter.states.len()].join(", ");
        text.extend([" AND state IN (", &places, ")"]);
        values.extend(filter.states.iter().map(|state| state.as_str().to_owned().into()));
    }
    if let Some(action) = &filter.action {
        text.push_str(" AND action = ?");
        values.push(action.as_str().to_owned().into());
    }
    if let Some(name) = &filter.requested_by {
        text.push_str(" AND requested_by = ?");
        values.push(name.clone().into());
    }
    if let Some(text_of_cursor) = &page.cursor {
        let (created_at, id) = cursor::read_run(text_of_cursor)?;
        text.push_str(" AND (created_at, id) < (?, ?)");
        values.extend([created_at.into(), id.to_string().into()]);
    }
    text.push_str(" ORDER BY created_at DESC, id DESC LIMIT ?");
    values.push(cursor::rows_to_read(page).into());

    let mut statement = connection.prepare_cached(&text)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let mut items = Vec::new();
    let mut last = None;
    while let Some(row) = rows.next()? {
        if items.len() == cursor::limit(page) {
            return Ok(Page { items, next: last });
        }
        let (run, created_at) = read_row(row)?;
        last = Some(cursor::of_run(created_at, run.id));
        items.push(run);
    }
    Ok(Page { items, next: None })
}
