//! What several units of a batch do alike, as one statement for all of them: a statement costs PostgreSQL more than a row.
//!
//! Units that are about different runs and jobs can be done in any order, also step by step in turns. Of those, what is in
//! front of each is compared again and again; the first by [`Turn`] is taken from all that have it. The order within a
//! unit stays. Units that are about the same, or have a statement of their own kind, come after them, one after the other.

use std::collections::HashSet;

use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::{
    columns::{Column, Value, as_sql},
    unit::{Step, Turn, Unit, Values, Wants},
};

/// A statement of one unit, or of several.
pub(super) struct Statement<'a> {
    /// The step, or the first of those it stands for.
    pub(super) step: &'a Step,
    /// What must come of it for all of them.
    pub(super) wants: Wants,
    /// The rows of all, when there are several.
    joined: Option<Vec<Value>>,
}

impl<'a> Statement<'a> {
    fn of(step: &'a Step) -> Self {
        Self { step, wants: step.wants, joined: None }
    }

    /// One for all of these, if they are of one kind; otherwise each its own.
    fn of_all(steps: &[&'a Step]) -> Vec<Self> {
        let alone = || steps.iter().map(|step| Self::of(step)).collect();
        let [first, others @ ..] = steps else { return Vec::new() };
        if others.is_empty() {
            return alone();
        }
        let wants = others.iter().try_fold(first.wants, |sum, step| sum.and(step.wants));
        match (wants, joined(first, others)) {
            (Some(wants), Some(values)) => vec![Self { step: first, wants, joined: Some(values) }],
            _ => alone(),
        }
    }

    pub(super) fn values(&self) -> Vec<&(dyn ToSql + Sync)> {
        match &self.joined {
            Some(values) => as_sql(values),
            None => self.step.values.as_sql(),
        }
    }
}

fn joined(first: &Step, others: &[&Step]) -> Option<Vec<Value>> {
    let mine = columns(first)?;
    let others: Vec<&[Box<dyn Column>]> = others.iter().map(|step| columns(step)).collect::<Option<_>>()?;
    let join = |(place, column): (usize, &dyn Column)| {
        let rest: Vec<&dyn Column> =
            others.iter().map(|row| row.get(place).map(|column| &**column)).collect::<Option<_>>()?;
        column.and(&rest)
    };
    mine.iter().map(|column| &**column).enumerate().map(join).collect()
}

/// The statements of these units, in an order that is as good as one unit after the other.
pub(super) fn merge<'a>(units: &[&'a Unit]) -> Vec<Statement<'a>> {
    let mut about: HashSet<Uuid> = HashSet::new();
    let (mut alike, mut rest) = (Vec::new(), Vec::new());
    for unit in units {
        let merges = unit.steps.iter().all(|step| step.values.turn().is_some());
        if merges && unit.about.iter().all(|id| !about.contains(id)) {
            about.extend(unit.about.iter().copied());
            alike.push(unit.steps.as_slice());
        } else {
            rest.push(*unit);
        }
    }
    let mut statements = Vec::new();
    while let Some(turn) = alike.iter().filter_map(|steps| turn_of(steps)).min() {
        let mut taken = Vec::with_capacity(alike.len());
        for steps in &mut alike {
            if let [first, behind @ ..] = *steps
                && first.values.turn() == Some(turn)
            {
                taken.push(first);
                *steps = behind;
            }
        }
        statements.extend(Statement::of_all(&taken));
    }
    statements.extend(rest.iter().flat_map(|unit| &unit.steps).map(Statement::of));
    statements
}

/// Whose turn it is at the front.
fn turn_of(steps: &[Step]) -> Option<Turn> {
    steps.first().and_then(|step| step.values.turn())
}

fn columns(step: &Step) -> Option<&[Box<dyn Column>]> {
    match &step.values {
        Values::Alone(_) => None,
        Values::Rows(_, columns) => Some(columns),
    }
}

#[cfg(test)]
mod tests {
    use guichet_contract::{EventKind, Run, RunState};

    use super::{super::change::unit_of, *};
    use crate::{Change, Job, UnitOfWork, conformance::fixtures::*};

    /// Which statements go out, and how many rows each of them is to touch.
    fn sent(units: &[UnitOfWork]) -> Vec<(Option<Turn>, u64)> {
        let units: Vec<Unit> = units.iter().map(|unit| unit_of(&unit.changes).unwrap()).collect();
        let rows = |wants| match wants {
            Wants::Rows(rows) | Wants::Kinds(rows) => rows,
            Wants::Any | Wants::AnyKinds => 0,
        };
        merge(&units.iter().collect::<Vec<_>>())
            .iter()
            .map(|statement| (statement.step.values.turn(), rows(statement.wants)))
            .collect()
    }

    fn submitted(run: &Run, job: &Job) -> UnitOfWork {
        UnitOfWork::new()
            .insert_run(run.clone())
            .append_event(run.id, second(0), said())
            .enqueue_job(job.clone())
    }

    fn ended(run: &Run, job: &Job) -> UnitOfWork {
        unit(moved(run.id, RunState::Running, RunState::Succeeded))
            .append_event(run.id, second(1), said())
            .append_event(run.id, second(1), said())
            .with(Change::FinishJob { job: job.id, lease: "held".to_owned() })
    }

    fn said() -> EventKind {
        EventKind::Log { line: "x".into() }
    }

    #[test]
    fn what_units_do_alike_is_one_statement() {
        let new = run_in(RunState::Queued);
        let done = [run_in(RunState::Running), run_in(RunState::Running)];
        let job = |run: &Run| Job { run: run.id, ..job_due(second(0)) };
        let units =
            [submitted(&new, &job(&new)), ended(&done[0], &job(&done[0])), ended(&done[1], &job(&done[1]))];
        assert_eq!(
            sent(&units),
            [
                (Some(Turn::InsertRun), 1),
                (Some(Turn::MoveRun), 2),
                (Some(Turn::AppendEvents), 5),
                (Some(Turn::EnqueueJob), 1),
                (Some(Turn::FinishJob), 2),
            ]
        );
    }

    #[test]
    fn what_is_about_the_same_run_or_of_its_own_kind_stands_apart_and_in_its_order() {
        let run = run_in(RunState::Running);
        let job = Job { run: run.id, ..job_due(second(0)) };
        let again = ended(&run, &job);
        let other = run_in(RunState::Queued);
        let rare = unit(Change::RestRun { run: other.id, until: None });
        let alone = [(Some(Turn::MoveRun), 1), (Some(Turn::AppendEvents), 2), (Some(Turn::FinishJob), 1)];
        let both: Vec<_> = alone.into_iter().chain([(None, 1)]).chain(alone).collect();
        assert_eq!(sent(&[ended(&run, &job), rare, again]), both);
    }
}
