//! One transaction for many units: all statements on their way at once, one commit.
//!
//! First all together, what units do alike as one statement ([`super::merge`]): whoever is right pays for two round trips
//! and one commit. When one statement does not hold, the
//! transaction is taken back and the units are applied one by one, each behind a savepoint, so that only the one that
//! conflicts is refused.

use std::{
    collections::{HashMap, HashSet},
    future::{Future, poll_fn},
    pin::Pin,
    task::Poll,
    time::Duration,
};

use tokio::{task::AbortHandle, time};
use tokio_postgres::{Client, Error, Statement, types::ToSql};
use uuid::Uuid;

use super::{
    columns::{Value, as_sql, integer, values, word},
    fault::{self, Fault, Meaning, meaning},
    listen,
    merge::merge,
    records::{APPEND, Leaf},
    unit::{Step, Unit, Wants, Woken},
};
use crate::{CommitError, StoreError};

/// What became of each unit of a batch, in order, and whom to wake.
pub(super) struct Done {
    pub(super) answers: Vec<Result<(), CommitError>>,
    pub(super) woken: Woken,
}

/// How long the server may say nothing: longer than anybody waits for a lock. Then the connection leads nowhere.
const ANSWERED_WITHIN: Duration = Duration::from_secs(15);

/// Why there is no [`Done`].
pub(super) enum Undone {
    /// The connection broke before the commit: nothing became true, and another connection may do.
    Lost(StoreError),
    /// The connection broke while the commit was on its way: [`became_true`] tells.
    Unknown(Done, StoreError),
    /// Two transactions stood in each other's way: nothing became true, smaller ones may do.
    Crossed(StoreError),
    /// Somebody kept the ledger locked for too long: nothing became true, and the same again may do.
    Late(StoreError),
    /// Nothing became true, and nothing will.
    Refused(StoreError),
}

impl From<Error> for Undone {
    fn from(error: Error) -> Self {
        let told = fault::told(&error);
        match meaning(&error) {
            Meaning::Lost => Self::Lost(told),
            Meaning::Crossed => Self::Crossed(told),
            Meaning::Late => Self::Late(told),
            Meaning::Conflict | Meaning::Other => Self::Refused(told),
        }
    }
}

/// A writer's connection, and what is prepared on it.
pub(super) struct Line {
    client: Client,
    /// Drives the connection; without it, all that waits is told that the connection is closed.
    driving: AbortHandle,
    statements: HashMap<&'static str, Statement>,
    /// A transaction has begun that nothing belongs to yet.
    begun: bool,
}

impl Drop for Line {
    fn drop(&mut self) {
        // It would wait until what was sent has gone, and on a connection that leads nowhere that is never.
        self.driving.abort();
    }
}

/// What one statement answered.
enum Said {
    Rows(u64),
    /// Of each row, the kind of a job if somebody is to be woken for it.
    Kinds(Vec<Option<String>>),
}

type Flight<'a> = Pin<Box<dyn Future<Output = Result<Said, Error>> + Send + 'a>>;

// How many rows a statement takes is not known to its plan: planned once, not anew for each number.
const PLANS: &str = "SET plan_cache_mode = force_generic_plan";
const NOTE_COMMIT: &str = "INSERT INTO commits (id) VALUES ($1)";
// Waits for whoever is inserting the same, and keeps it out for ever when it comes first.
const FORESTALL: &str = "INSERT INTO commits (id) VALUES ($1) ON CONFLICT DO NOTHING";
const SWEEP: &str = "DELETE FROM commits WHERE at < now() - interval '1 hour'";
const NOTIFY: &str = "SELECT pg_notify($1, $2)";

impl Line {
    pub(super) fn new(client: Client, driving: AbortHandle) -> Self {
        Self { client, driving, statements: HashMap::new(), begun: false }
    }

    /// What the server answers. When it says nothing the connection is cut, and then the answer is that it broke: so
    /// whoever asks learns in the same words at which point that was.
    async fn answer<T>(&self, asking: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        tokio::pin!(asking);
        if let Ok(answer) = time::timeout(ANSWERED_WITHIN, &mut asking).await {
            return answer;
        }
        tracing::warn!("PostgreSQL said nothing for {} s; connecting again", ANSWERED_WITHIN.as_secs());
        self.driving.abort();
        asking.await
    }

    async fn run(&self, sql: &str) -> Result<(), Error> {
        self.answer(self.client.batch_execute(sql)).await
    }

    /// Statements are planned when they are prepared, and never anew.
    pub(super) async fn plan_once(&self) -> Result<(), Error> {
        self.run(PLANS).await
    }

    /// Begins the next transaction while nobody waits for it: a round trip less for who comes next. It sees nothing and holds
    /// nothing until then.
    pub(super) async fn begin_ahead(&mut self) -> Result<(), Error> {
        if !self.begun {
            self.run("BEGIN").await?;
            self.begun = true;
        }
        Ok(())
    }

    /// Ends it again: nobody came.
    pub(super) async fn end_ahead(&mut self) -> Result<(), Error> {
        if std::mem::take(&mut self.begun) {
            self.run("ROLLBACK").await?;
        }
        Ok(())
    }

    /// Awaited: what follows must never run outside the transaction.
    async fn begin(&mut self) -> Result<(), Error> {
        self.begin_ahead().await?;
        self.begun = false;
        Ok(())
    }

    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Whether the transaction of this id became true. When it did not, it never will.
    pub(super) async fn became_true(&self, commit: Uuid) -> Result<bool, Error> {
        Ok(self.answer(self.client.execute(FORESTALL, &[&commit])).await? == 0)
    }

    /// Forgets what nobody will ask about any more.
    pub(super) async fn sweep(&self) -> Result<(), Error> {
        self.run(SWEEP).await
    }

    /// Prepares what is not yet, so that sending needs no answer in between.
    async fn prepare(&mut self, units: &[&Unit]) -> Result<(), Error> {
        let needed: HashSet<&'static str> = units
            .iter()
            .flat_map(|unit| unit.steps.iter().map(|step| step.sql))
            .chain([APPEND, NOTE_COMMIT, NOTIFY])
            .filter(|sql| !self.statements.contains_key(sql))
            .collect();
        for sql in needed {
            let statement = self.answer(self.client.prepare(sql)).await?;
            self.statements.insert(sql, statement);
        }
        Ok(())
    }

    /// Sends it when it is first polled.
    fn fly<'a>(&'a self, sql: &'static str, values: Vec<&'a (dyn ToSql + Sync)>, wants: Wants) -> Flight<'a> {
        Box::pin(async move {
            let Some(statement) = self.statements.get(sql) else {
                return self.client.execute(sql, &values).await.map(Said::Rows);
            };
            if !matches!(wants, Wants::Kinds(_) | Wants::AnyKinds) {
                return self.client.execute(statement, &values).await.map(Said::Rows);
            }
            let rows = self.client.query(statement, &values).await?;
            rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>().map(Said::Kinds)
        })
    }

    fn step<'a>(&'a self, step: &'a Step) -> Flight<'a> {
        self.fly(step.sql, step.values.as_sql(), step.wants)
    }

    /// Makes the units true, each or not at all.
    pub(super) async fn write(
        &mut self,
        units: &[&Unit],
        commit: Uuid,
        sender: Uuid,
    ) -> Result<Done, Undone> {
        match self.prepare(units).await {
            Ok(()) => match self.all_together(units, commit, sender).await? {
                Together::Done(done) => return Ok(done),
                Together::NotAll => {}
            },
            Err(error) if meaning(&error) == Meaning::Lost => return Err(error.into()),
            // A table that somebody keeps locked, perhaps: whose unit it is finds out alone, in another transaction.
            Err(_) => self.end_ahead().await?,
        }
        self.one_by_one(units, commit, sender).await
    }

    async fn all_together(
        &mut self,
        units: &[&Unit],
        commit: Uuid,
        sender: Uuid,
    ) -> Result<Together, Undone> {
        self.begin().await?;
        // Of some it is not known yet whom they wake.
        let mut told = Woken::default();
        for unit in units {
            told.add(&unit.woken);
        }
        let last = Last::of(units.iter().copied(), &told, commit, sender);
        let statements = merge(units);
        let flights = statements.iter().map(|one| self.fly(one.step.sql, one.values(), one.wants));
        let said = in_order(self, flights.chain(last.flights(self)).collect()).await;
        if let Some(lost) = said.iter().filter_map(|said| said.as_ref().err()).find(|error| {
            // What follows the first failure only says that there was one.
            matches!(meaning(error), Meaning::Lost | Meaning::Crossed)
        }) {
            let undone = Undone::Lost(fault::told(lost));
            let crossed = Undone::Crossed(fault::told(lost));
            if meaning(lost) == Meaning::Lost {
                return Err(undone);
            }
            self.run("ROLLBACK").await?;
            return Err(crossed);
        }
        let mut woken = told.clone();
        let mut said = said.into_iter();
        let mut holds = true;
        for one in &statements {
            match said.next() {
                Some(Ok(said)) => holds &= holds_for(one.step, one.wants, said, &mut woken).is_ok(),
                _ => holds = false,
            }
        }
        let rest: Vec<_> = said.collect();
        if !holds {
            self.run("ROLLBACK").await?;
            return Ok(Together::NotAll);
        }
        if let Some(Err(error)) = rest.into_iter().find(Result::is_err) {
            self.run("ROLLBACK").await?;
            return Err(error.into());
        }
        if let Some(payload) = listen::payload(sender, &woken.beyond(&told)) {
            self.answer(self.client.execute(NOTIFY, &[&listen::CHANNEL, &payload])).await?;
        }
        let answers = units.iter().map(|_| Ok(())).collect();
        self.commit(Done { answers, woken }).await.map(Together::Done)
    }

    async fn one_by_one(&mut self, units: &[&Unit], commit: Uuid, sender: Uuid) -> Result<Done, Undone> {
        self.begin().await?;
        let mut answers = Vec::with_capacity(units.len());
        let mut woken = Woken::default();
        let mut kept = Vec::with_capacity(units.len());
        for unit in units {
            match self.one(unit).await? {
                Ok(its) => {
                    woken.add(&its);
                    kept.push(*unit);
                    answers.push(Ok(()));
                }
                Err(error) => answers.push(Err(error)),
            }
        }
        let last = Last::of(kept.into_iter(), &woken, commit, sender);
        for said in in_order(self, last.flights(self).collect()).await {
            if let Err(error) = said {
                if meaning(&error) != Meaning::Lost {
                    self.run("ROLLBACK").await?;
                }
                return Err(error.into());
            }
        }
        self.commit(Done { answers, woken }).await
    }

    /// One unit behind a savepoint; taken back alone when it does not hold.
    async fn one(&mut self, unit: &Unit) -> Result<Result<Woken, CommitError>, Undone> {
        let mut woken = unit.woken.clone();
        if unit.steps.is_empty() {
            return Ok(Ok(woken));
        }
        self.run("SAVEPOINT unit").await?;
        if let Err(error) = self.prepare(&[unit]).await {
            if meaning(&error) == Meaning::Lost {
                return Err(error.into());
            }
            self.run("ROLLBACK TO unit; RELEASE unit").await?;
            return Ok(Err(fault::told(&error).into()));
        }
        let said = in_order(self, unit.steps.iter().map(|step| self.step(step)).collect()).await;
        let mut failed = None;
        for (step, said) in unit.steps.iter().zip(said) {
            let held = match said {
                Ok(said) => holds_for(step, step.wants, said, &mut woken),
                Err(error) => match meaning(&error) {
                    Meaning::Lost => return Err(error.into()),
                    Meaning::Crossed => {
                        self.run("ROLLBACK").await?;
                        return Err(error.into());
                    }
                    Meaning::Conflict => Err(CommitError::Conflict { what: step.conflict.clone() }),
                    Meaning::Late | Meaning::Other => Err(fault::told(&error).into()),
                },
            };
            if let Err(error) = held {
                failed = Some((step, error));
                break;
            }
        }
        let Some((step, error)) = failed else {
            self.run("RELEASE unit").await?;
            return Ok(Ok(woken));
        };
        self.run("ROLLBACK TO unit; RELEASE unit").await?;
        match (error, step.look) {
            (CommitError::Conflict { what }, Some((look, run))) => {
                let found = self.answer(self.client.query_opt(look, &[&run.0])).await?;
                let found: Option<String> = found.map(|row| row.try_get(0)).transpose()?;
                let found = found.as_deref().unwrap_or("no such run");
                Ok(Err(CommitError::Conflict { what: format!("{what}, found {found})") }))
            }
            (error, _) => Ok(Err(error)),
        }
    }

    async fn commit(&self, done: Done) -> Result<Done, Undone> {
        match self.run("COMMIT").await {
            Ok(()) => Ok(done),
            Err(error) if meaning(&error) == Meaning::Lost => Err(Undone::Unknown(done, fault::told(&error))),
            // The server said that it did not.
            Err(error) => Err(error.into()),
        }
    }
}

enum Together {
    Done(Done),
    /// At least one unit does not hold; nothing became true.
    NotAll,
}

fn holds_for(step: &Step, wants: Wants, said: Said, woken: &mut Woken) -> Result<(), CommitError> {
    match (wants, said) {
        (Wants::Any, _) => Ok(()),
        (Wants::Rows(wanted), Said::Rows(rows)) if rows == wanted => Ok(()),
        (Wants::Kinds(wanted), Said::Kinds(kinds)) if kinds.len() as u64 != wanted => {
            Err(CommitError::Conflict { what: step.conflict.clone() })
        }
        (_, Said::Kinds(kinds)) => {
            for kind in kinds.into_iter().flatten() {
                woken.jobs(word(&kind).map_err(Fault::into_commit_error)?);
            }
            Ok(())
        }
        _ => Err(CommitError::Conflict { what: step.conflict.clone() }),
    }
}

/// What stands at the end of each transaction: its records, its note, its wakes for other replicas. Last, because whoever
/// appends records keeps others from it until the commit.
struct Last {
    records: Option<Vec<Value>>,
    note: Vec<Value>,
    notify: Option<Vec<Value>>,
}

impl Last {
    fn of<'a>(units: impl Iterator<Item = &'a Unit>, woken: &Woken, commit: Uuid, sender: Uuid) -> Self {
        let leaves: Vec<&Leaf> = units.flat_map(|unit| &unit.leaves).collect();
        let records = (!leaves.is_empty()).then(|| {
            let at: Vec<i64> = leaves.iter().map(|leaf| leaf.at).collect();
            let bodies: Vec<String> = leaves.iter().map(|leaf| leaf.body.clone()).collect();
            values![integer(leaves.len()), at, bodies]
        });
        let payload = listen::payload(sender, woken);
        let notify = payload.map(|payload| values![listen::CHANNEL, payload]);
        Self { records, note: values![commit], notify }
    }

    fn flights<'a>(&'a self, line: &'a Line) -> impl Iterator<Item = Flight<'a>> {
        let fly = |sql, values| line.fly(sql, as_sql(values), Wants::Any);
        let records = self.records.iter().map(move |values| fly(APPEND, values));
        let notify = self.notify.iter().map(move |values| fly(NOTIFY, values));
        records.chain([fly(NOTE_COMMIT, &self.note)]).chain(notify)
    }
}

/// Sends all in this order, then takes the answers in this order.
async fn in_order(line: &Line, mut flights: Vec<Flight<'_>>) -> Vec<Result<Said, Error>> {
    let mut said: Vec<Option<Result<Said, Error>>> = flights.iter().map(|_| None).collect();
    poll_fn(|context| {
        for (flight, said) in flights.iter_mut().zip(&mut said) {
            if let Poll::Ready(answer) = flight.as_mut().poll(context) {
                *said = Some(answer);
            }
        }
        Poll::Ready(())
    })
    .await;
    let mut answers = Vec::with_capacity(flights.len());
    for (flight, said) in flights.into_iter().zip(said) {
        answers.push(match said {
            Some(answer) => answer,
            None => line.answer(flight).await,
        });
    }
    answers
}
