//! A unit of work as statements: values that can be sent together, and sent again.

use guichet_contract::{RunId, RunState};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::{
    columns::{Column, Value, as_sql},
    records::Leaf,
    runs,
};
use crate::{JobKind, Wake};

/// What must come of a statement for its unit to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wants {
    /// Exactly so many rows were changed, found or written.
    Rows(u64),
    /// Whatever number of rows.
    Any,
    /// Exactly so many rows, each of which tells the kind of a job when whoever takes such jobs is to be woken.
    Kinds(u64),
    /// Any number of such rows.
    AnyKinds,
}

impl Wants {
    /// What two of a kind want together; nothing when they are of different kinds.
    pub(super) fn and(self, other: Self) -> Option<Self> {
        match (self, other) {
            (Self::Rows(one), Self::Rows(other)) => Some(Self::Rows(one + other)),
            (Self::Kinds(one), Self::Kinds(other)) => Some(Self::Kinds(one + other)),
            _ => None,
        }
    }
}

/// Statements that several units have in common, in the order in which they are sent when one stands for all of them: what
/// locks comes before what relies on the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Turn {
    HoldJob,
    InsertRun,
    MoveRun,
    InsertKey,
    EnqueueJob,
    AppendEvents,
    FinishJob,
}

/// What a statement is given.
pub(super) enum Values {
    Alone(Vec<Value>),
    /// A row, or some, as columns: those of other units can stand behind them.
    Rows(Turn, Vec<Box<dyn Column>>),
}

impl Values {
    pub(super) fn as_sql(&self) -> Vec<&(dyn ToSql + Sync)> {
        match self {
            Self::Alone(values) => as_sql(values),
            Self::Rows(_, columns) => columns.iter().map(|column| column.value()).collect(),
        }
    }

    pub(super) fn turn(&self) -> Option<Turn> {
        match self {
            Self::Alone(_) => None,
            Self::Rows(turn, _) => Some(*turn),
        }
    }
}

/// One statement.
pub(super) struct Step {
    pub(super) sql: &'static str,
    pub(super) values: Values,
    pub(super) wants: Wants,
    /// What is told when it does not hold.
    pub(super) conflict: String,
    /// What is looked at then, for the words `found …`: a statement that reads one text, and the run it is about.
    pub(super) look: Option<(&'static str, RunId)>,
}

/// Whom a transaction will wake.
#[derive(Default, Clone)]
pub(super) struct Woken {
    pub(super) job: bool,
    pub(super) notice: bool,
    pub(super) record: bool,
    pub(super) registration: bool,
    pub(super) runs: Vec<RunId>,
}

/// A unit: statements in their order, then its records.
#[derive(Default)]
pub(super) struct Unit {
    pub(super) steps: Vec<Step>,
    pub(super) leaves: Vec<Leaf>,
    pub(super) woken: Woken,
    /// The runs whose rows its statements so far have written or locked: they stay so until the commit.
    pub(super) locked: Vec<RunId>,
    /// The runs and jobs that its statements are about, as far as those can be merged with others'.
    pub(super) about: Vec<Uuid>,
}

impl Unit {
    /// Adds a statement that takes rows as columns, and must hold for all of them.
    pub(super) fn alike(
        &mut self,
        (turn, sql, wants): (Turn, &'static str, Wants),
        columns: Vec<Box<dyn Column>>,
        about: Uuid,
        conflict: String,
    ) {
        self.about.push(about);
        self.steps.push(Step { sql, values: Values::Rows(turn, columns), wants, conflict, look: None });
    }

    /// Adds a statement that must change exactly one row.
    pub(super) fn one(&mut self, sql: &'static str, values: Vec<Value>, conflict: String) {
        self.rows(sql, values, 1, conflict);
    }

    /// The same for so many rows.
    pub(super) fn rows(&mut self, sql: &'static str, values: Vec<Value>, rows: u64, conflict: String) {
        self.steps.push(Step {
            sql,
            values: Values::Alone(values),
            wants: Wants::Rows(rows),
            conflict,
            look: None,
        });
    }

    /// The same about a run that must be in this state.
    pub(super) fn one_of_run(
        &mut self,
        sql: &'static str,
        values: Vec<Value>,
        run: RunId,
        expected: RunState,
    ) {
        let (values, conflict) = (Values::Alone(values), format!("run {run} (expected {expected}"));
        let look = Some((runs::STATE, run));
        self.steps.push(Step { sql, values, wants: Wants::Rows(1), conflict, look });
    }

    /// The same, of a statement that takes rows as columns.
    pub(super) fn alike_of_run(
        &mut self,
        statement: (Turn, &'static str, Wants),
        columns: Vec<Box<dyn Column>>,
        run: RunId,
        expected: RunState,
    ) {
        self.alike(statement, columns, run.0, format!("run {run} (expected {expected}"));
        if let Some(step) = self.steps.last_mut() {
            step.look = Some((runs::STATE, run));
        }
    }

    /// A statement that must find one row: none of a run's others may stand in its way. `look` reads which one does.
    pub(super) fn one_unless(
        &mut self,
        (sql, look): (&'static str, &'static str),
        run: RunId,
        conflict: String,
    ) {
        let values = vec![Box::new(run.0) as Value];
        self.steps.push(Step {
            sql,
            values: Values::Alone(values),
            wants: Wants::Rows(1),
            conflict,
            look: Some((look, run)),
        });
    }

    /// Adds a statement that may change any number of rows.
    pub(super) fn any(&mut self, sql: &'static str, values: Vec<Value>) {
        self.steps.push(Step {
            sql,
            values: Values::Alone(values),
            wants: Wants::Any,
            conflict: String::new(),
            look: None,
        });
    }

    /// Adds a statement about one job that gives back its kind, or nothing, for [`Wants::Kinds`].
    pub(super) fn job_kind(&mut self, sql: &'static str, values: Vec<Value>, conflict: String) {
        self.steps.push(Step {
            sql,
            values: Values::Alone(values),
            wants: Wants::Kinds(1),
            conflict,
            look: None,
        });
    }

    /// The same for any number of jobs.
    pub(super) fn job_kinds(&mut self, sql: &'static str, values: Vec<Value>) {
        self.steps.push(Step {
            sql,
            values: Values::Alone(values),
            wants: Wants::AnyKinds,
            conflict: String::new(),
            look: None,
        });
    }

    /// Bytes of its values, about: what a batch is measured by.
    pub(super) fn weight(&self) -> usize {
        let leaves: usize = self.leaves.iter().map(Leaf::weight).sum();
        leaves + self.steps.len() * 1024
    }
}

impl Woken {
    pub(super) fn jobs(&mut self, kind: JobKind) {
        match kind {
            JobKind::DeliverNotice => self.notice = true,
            _ => self.job = true,
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.job |= other.job;
        self.notice |= other.notice;
        self.record |= other.record;
        self.registration |= other.registration;
        self.runs.extend(&other.runs);
    }

    /// Whom `told` leaves out, apart from runs.
    pub(super) fn beyond(&self, told: &Self) -> Self {
        Self { job: self.job && !told.job, notice: self.notice && !told.notice, ..Self::default() }
    }

    /// Each once, however many units asked for it.
    pub(super) fn wakes(mut self) -> Vec<Wake> {
        self.runs.sort_unstable();
        self.runs.dedup();
        let job = self.job.then_some(Wake::Job);
        let notice = self.notice.then_some(Wake::Notice);
        let record = self.record.then_some(Wake::Record);
        let registration = self.registration.then_some(Wake::Registration);
        let ours = job.into_iter().chain(notice).chain(record).chain(registration);
        ours.chain(self.runs.into_iter().map(Wake::Run)).collect()
    }
}
