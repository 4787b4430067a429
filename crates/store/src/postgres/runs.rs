//! Runs and what people decided about them. The drawing of the states stands in `schema/0001_runs.sql`.

use async_trait::async_trait;
use guichet_contract::{CancelAsked, Decision, Outcome, PrincipalKind, Run, RunId, RunState};
use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{
    PostgresStore,
    columns::{Value, count, integer, micros, moment_if_any, row, values, word},
    cursor,
    fault::Fault,
    unit::{Turn, Unit, Wants},
};
use crate::{Page, PageRequest, Runs, RunsFilter, StoreError};

const INSERT: &str = "
    INSERT INTO runs (id, short_id, state, action, requested_by_kind, requested_by, idempotency_key,
                      created_at, started_at, finished_at, outcome, body, undoes,
                      waits_until, cancel_asked)
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
                         $8::bigint[], $9::bigint[], $10::bigint[], $11::text[], $12::text[], $13::uuid[],
                         $14::bigint[], $15::text[])";

// Locked first, so that two who would undo it, at two replicas, come one after the other.
const LOCK: &str = "SELECT 1 FROM runs WHERE id = $1 FOR NO KEY UPDATE";

// The second time around it may undo what others have built upon; one that came to nothing does not count.
const NOT_UNDONE: &str = "
    SELECT 1 WHERE NOT EXISTS (
        SELECT 1 FROM runs
        WHERE undoes = $1 AND state IN ('awaiting_approval', 'queued', 'running', 'succeeded'))";
const UNDONE_BY: &str = "
    SELECT 'run ' || id FROM runs
    WHERE undoes = $1 AND state IN ('awaiting_approval', 'queued', 'running', 'succeeded') LIMIT 1";

/// A new run. Conflict when its id or its requester's idempotency key exists, or when the run that it undoes is undone
/// already.
pub(super) fn insert(unit: &mut Unit, run: &Run) -> Result<(), Fault> {
    let requester = &run.requested_by;
    let conflict = match &run.idempotency_key {
        Some(key) => format!("run {} (its id or the idempotency key `{key}` of {requester} exists)", run.id),
        None => format!("run {} (its id exists)", run.id),
    };
    let columns = row![
        run.id.0,
        run.id.short(),
        run.state.as_str(),
        run.action.as_str().to_owned(),
        kind_word(requester.kind)?,
        requester.name.clone(),
        run.idempotency_key.clone(),
        micros(run.created_at),
        run.started_at.map(micros),
        run.finished_at.map(micros),
        outcome_text(run.outcome.as_ref())?,
        serde_json::to_string(&Run { decisions: Vec::new(), undone_by: None, ..run.clone() })?,
        run.undoes.map(|undone| undone.0),
        run.waits_until.map(micros),
        run.cancel_asked.as_ref().map(serde_json::to_string).transpose()?,
    ];
    if let Some(undone) = run.undoes {
        unit.any(LOCK, values![undone.0]);
        unit.one_unless(
            (NOT_UNDONE, UNDONE_BY),
            undone,
            format!("run {undone} (expected that no other undoes it"),
        );
    }
    unit.alike((Turn::InsertRun, INSERT, Wants::Rows(1)), columns, run.id.0, conflict);
    unit.locked.push(run.id);
    for (position, decision) in run.decisions.iter().enumerate() {
        insert_decision(unit, run.id, position, decision)?;
    }
    Ok(())
}

fn kind_word(kind: PrincipalKind) -> Result<String, Fault> {
    let kind = serde_json::to_value(kind)?;
    kind.as_str()
        .map(str::to_owned)
        .ok_or_else(|| Fault::Corrupt("a kind of principal without a word".to_owned()))
}

// Compared so that no index does it: the one by state would be read from end to end where it seems short.
pub(super) const MOVE: &str = "
    UPDATE runs
    SET state = next.state,
        started_at  = CASE WHEN begins THEN at WHEN next.state = 'queued' THEN NULL ELSE started_at END,
        finished_at = CASE WHEN ends THEN at ELSE finished_at END,
        outcome     = coalesce(next.outcome, runs.outcome),
        waits_until = NULL
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::boolean[], $5::boolean[], $6::bigint[], $7::text[])
         AS next (id, expected, state, begins, ends, at, outcome)
    WHERE runs.id = next.id AND runs.state IS NOT DISTINCT FROM next.expected";

/// Moves a run that is in `from`. Conflict when it is not, or when it has ended.
pub(super) fn r#move(
    unit: &mut Unit,
    run: RunId,
    from: RunState,
    to: RunState,
    at: Timestamp,
    outcome: Option<&Outcome>,
) -> Result<(), Fault> {
    let columns = row![
        run.0,
        from.as_str(),
        to.as_str(),
        to == RunState::Running,
        to.is_final(),
        micros(at),
        outcome_text(outcome)?,
    ];
    unit.alike_of_run((Turn::MoveRun, MOVE, Wants::Rows(1)), columns, run, from);
    unit.locked.push(run);
    Ok(())
}

// Who begins to wait must not sleep through a cancel.
const REST: &str = "
    UPDATE runs SET waits_until = $2
    WHERE id = $1 AND state IS NOT DISTINCT FROM 'running' AND ($2::bigint IS NULL OR cancel_asked IS NULL)";

/// A run under way waits, or no longer does. Conflict when it is not under way, or shall be stopped.
pub(super) fn rest(unit: &mut Unit, run: RunId, until: Option<Timestamp>) {
    let conflict = format!("run {run} (not running, or somebody asked that it be stopped)");
    unit.one(REST, values![run.0, until.map(micros)], conflict);
}

const ASK_CANCEL: &str = "
    UPDATE runs SET cancel_asked = $2 WHERE id = $1 AND state IS NOT DISTINCT FROM 'running' AND cancel_asked IS NULL";

/// A run under way shall be stopped. Conflict when it is not under way, or was asked already.
pub(super) fn ask_cancel(unit: &mut Unit, run: RunId, asked: &CancelAsked) -> Result<(), Fault> {
    let asked = serde_json::to_string(asked)?;
    unit.one(ASK_CANCEL, values![run.0, asked], format!("run {run} (not running, or asked already)"));
    Ok(())
}

// Locked first, so that what is counted next stays so until the commit.
const LOCK_WAITING: &str =
    "SELECT 1 FROM runs WHERE id = $1 AND state IS NOT DISTINCT FROM 'awaiting_approval' FOR NO KEY UPDATE";

const ADD_DECISION: &str = "
    INSERT INTO decisions (run, decided_by, position, body)
    SELECT $1, $2, $3, $4 WHERE (SELECT count(*) FROM decisions WHERE run = $1) = $3";

/// Adds a decision to a waiting run that has exactly `seen` of them. Conflict otherwise, and when the person
/// has decided already.
pub(super) fn add_decision(
    unit: &mut Unit,
    run: RunId,
    seen: usize,
    decision: &Decision,
) -> Result<(), Fault> {
    unit.one_of_run(LOCK_WAITING, values![run.0], run, RunState::AwaitingApproval);
    let conflict = format!("run {run} (expected {seen} decisions, and none by {})", decision.by);
    let values = values![run.0, decision.by.clone(), integer(seen), serde_json::to_string(decision)?];
    unit.one(ADD_DECISION, values, conflict);
    Ok(())
}

const INSERT_DECISION: &str =
    "INSERT INTO decisions (run, decided_by, position, body) VALUES ($1, $2, $3, $4)";

fn insert_decision(unit: &mut Unit, run: RunId, position: usize, decision: &Decision) -> Result<(), Fault> {
    let conflict = format!("run {run} ({} has decided already)", decision.by);
    let values = values![run.0, decision.by.clone(), integer(position), serde_json::to_string(decision)?];
    unit.one(INSERT_DECISION, values, conflict);
    Ok(())
}

/// The state of a run, for the words of a conflict.
pub(super) const STATE: &str = "SELECT state FROM runs WHERE id = $1";

fn outcome_text(outcome: Option<&Outcome>) -> Result<Option<String>, serde_json::Error> {
    outcome.map(serde_json::to_string).transpose()
}

/// The columns that [`read_row`] reads. None of them may take the name of one that lists are ordered by.
const SELECT: &str = "
    SELECT body, state, started_at, finished_at, outcome,
           coalesce((SELECT array_agg(d.body ORDER BY d.position) FROM decisions d WHERE d.run = runs.id), '{}'),
           created_at,
           (SELECT undoing.id FROM runs undoing
            WHERE undoing.undoes = runs.id
              AND undoing.state IN ('awaiting_approval', 'queued', 'running', 'succeeded') LIMIT 1)
               AS undone_by,
           waits_until, cancel_asked
    FROM runs";

/// A run as it stands: as submitted, with what has changed since.
fn read_row(row: &Row) -> Result<(Run, i64), Fault> {
    let mut run: Run = serde_json::from_str(row.try_get(0)?)?;
    run.state = word(row.try_get(1)?)?;
    run.started_at = moment_if_any(row.try_get(2)?)?;
    run.finished_at = moment_if_any(row.try_get(3)?)?;
    run.outcome = row.try_get::<_, Option<&str>>(4)?.map(serde_json::from_str).transpose()?;
    let decisions: Vec<&str> = row.try_get(5)?;
    run.decisions = decisions.into_iter().map(serde_json::from_str).collect::<Result<_, _>>()?;
    run.undone_by = row.try_get::<_, Option<Uuid>>(7)?.map(RunId);
    run.waits_until = moment_if_any(row.try_get(8)?)?;
    run.cancel_asked = row.try_get::<_, Option<&str>>(9)?.map(serde_json::from_str).transpose()?;
    Ok((run, row.try_get(6)?))
}

const OPEN_OF: &str = "
    SELECT count(*) FROM runs
    WHERE requested_by_kind = $1 AND requested_by = $2 AND state IN ('awaiting_approval', 'queued', 'running')";

const OPEN: &str = "
    SELECT state, count(*) FROM runs WHERE state IN ('awaiting_approval', 'queued', 'running') GROUP BY state";

#[async_trait]
impl Runs for PostgresStore {
    async fn run(&self, id: RunId) -> Result<Option<Run>, StoreError> {
        let rows = self.rows(&format!("{SELECT} WHERE id = $1"), &[&id.0]).await?;
        self.first(&rows, |row| Ok(read_row(row)?.0))
    }

    async fn runs_by_short_id(&self, short: &str) -> Result<Vec<RunId>, StoreError> {
        let short = short.to_ascii_lowercase().replace('\0', "");
        let rows =
            self.rows("SELECT id FROM runs WHERE short_id = $1 ORDER BY id DESC LIMIT 10", &[&short]).await?;
        self.each(&rows, |row| Ok(RunId(row.try_get::<_, Uuid>(0)?)))
    }

    async fn runs(&self, filter: &RunsFilter, page: &PageRequest) -> Result<Page<Run>, StoreError> {
        let (text, values) = list(filter, page).map_err(Fault::into_store_error)?;
        let values: Vec<_> = values.iter().map(|value| &**value as _).collect();
        let rows = self.rows(&text, &values).await?;
        let most = cursor::limit(page);
        let read = self.each(rows.get(..most).unwrap_or(&rows), read_row)?;
        let next = read.last().filter(|_| rows.len() > most).map(|(run, at)| cursor::of_run(*at, run.id));
        Ok(Page { items: read.into_iter().map(|(run, _)| run).collect(), next })
    }

    async fn open_runs_of(&self, kind: PrincipalKind, name: &str) -> Result<u64, StoreError> {
        let kind = kind_word(kind).map_err(Fault::into_store_error)?;
        let rows = self.rows(OPEN_OF, &[&kind, &name]).await?;
        Ok(self.first(&rows, |row| Ok(count(row.try_get(0)?)?))?.unwrap_or_default())
    }

    async fn open_runs(&self) -> Result<Vec<(RunState, u64)>, StoreError> {
        let rows = self.rows(OPEN, &[]).await?;
        let found: Vec<(RunState, u64)> =
            self.each(&rows, |row| Ok((word(row.try_get(0)?)?, count(row.try_get(1)?)?)))?;
        let of = |state| found.iter().find(|(of, _)| *of == state).map_or(0, |(_, count)| *count);
        let open = [RunState::AwaitingApproval, RunState::Queued, RunState::Running];
        Ok(open.map(|state| (state, of(state))).to_vec())
    }
}

/// Newest first. The conditions differ per call, so the text is put together; the values never stand in it.
fn list(filter: &RunsFilter, page: &PageRequest) -> Result<(String, Vec<Value>), Fault> {
    let mut text = format!("{SELECT} WHERE true");
    let mut values: Vec<Value> = Vec::new();
    let mut add = |text: &mut String, condition: &str, value: Value| {
        values.push(value);
        text.push_str(&condition.replace('?', &format!("${}", values.len())));
    };
    if !filter.states.is_empty() {
        let states: Vec<&'static str> = filter.states.iter().map(|state| state.as_str()).collect();
        add(&mut text, " AND state = ANY(?)", Box::new(states));
    }
    if let Some(action) = &filter.action {
        add(&mut text, " AND action = ?", Box::new(action.as_str().to_owned()));
    }
    if let Some(name) = &filter.requested_by {
        add(&mut text, " AND requested_by = ?", Box::new(name.replace('\0', "\u{FFFD}")));
    }
    if let Some(cursor) = &page.cursor {
        let (created_at, id) = cursor::read_run(cursor)?;
        add(&mut text, " AND (created_at, id) < (?, ", Box::new(created_at));
        add(&mut text, "?)", Box::new(id.0));
    }
    add(&mut text, " ORDER BY created_at DESC, id DESC LIMIT ?", Box::new(cursor::rows_to_read(page)));
    Ok((text, values))
}
