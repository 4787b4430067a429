//! The open transaction, as the nouns see it.

use guichet_contract::RunId;
use rusqlite::Connection;

use super::{columns::count, fault::Fault, records};
use crate::{
    JobKind,
    wakes::{Wake, Waking},
};

/// An open transaction.
pub(super) struct Writing<'a> {
    connection: &'a Connection,
    next_index: u64,
    woken: Woken,
}

/// Whom the transaction will wake.
#[derive(Default)]
pub(super) struct Woken {
    job: bool,
    notice: bool,
    record: bool,
    registration: bool,
    runs: Vec<RunId>,
}

impl<'a> Writing<'a> {
    pub(super) fn connection(&self) -> &'a Connection {
        self.connection
    }

    /// The index of the next record: dense, because what is taken back gives its indexes back.
    pub(super) fn next_index(&mut self) -> u64 {
        self.woken.record = true;
        let index = self.next_index;
        self.next_index += 1;
        index
    }

    pub(super) fn wake_jobs(&mut self, kind: JobKind) {
        match kind {
            JobKind::DeliverNotice => self.woken.notice = true,
            _ => self.woken.job = true,
        }
    }

    pub(super) fn wake_registration(&mut self) {
        self.woken.registration = true;
    }

    pub(super) fn wake_run(&mut self, run: RunId) {
        self.woken.runs.push(run);
    }

    /// Does the work in a savepoint, and takes it back when it answers false. An error means that the transaction
    /// cannot go on.
    pub(super) fn in_savepoint(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<bool, Fault>,
    ) -> Result<(), Fault> {
        self.connection.prepare_cached("SAVEPOINT unit")?.execute([])?;
        let (next_index, record, runs) = (self.next_index, self.woken.record, self.woken.runs.len());
        let (job, notice, registration) = (self.woken.job, self.woken.notice, self.woken.registration);
        if !work(self)? {
            self.connection.prepare_cached("ROLLBACK TO unit")?.execute([])?;
            self.next_index = next_index;
            self.woken.record = record;
            (self.woken.job, self.woken.notice, self.woken.registration) = (job, notice, registration);
            self.woken.runs.truncate(runs);
        }
        self.connection.prepare_cached("RELEASE unit")?.execute([])?;
        Ok(())
    }
}

/// All of the work becomes durable, or nothing of it. Says whom to wake.
pub(super) fn in_transaction(
    connection: &Connection,
    work: impl FnOnce(&mut Writing<'_>) -> Result<(), Fault>,
) -> Result<Woken, Fault> {
    let written = begin(connection).and_then(|mut writing| {
        work(&mut writing)?;
        connection.prepare_cached("COMMIT")?.execute([])?;
        Ok(writing.woken)
    });
    if written.is_err() && !connection.is_autocommit() {
        // If even this fails, the next BEGIN says so.
        let _ = connection.execute_batch("ROLLBACK");
    }
    written
}

fn begin(connection: &Connection) -> Result<Writing<'_>, Fault> {
    connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    let next_index = count(records::next_index(connection)?)?;
    Ok(Writing { connection, next_index, woken: Woken::default() })
}

impl Woken {
    /// Each once, however many units asked for it.
    pub(super) fn wake(mut self, wakes: &Waking) {
        self.runs.sort_unstable();
        self.runs.dedup();
        let job = self.job.then_some(Wake::Job);
        let notice = self.notice.then_some(Wake::Notice);
        let record = self.record.then_some(Wake::Record);
        let registration = self.registration.then_some(Wake::Registration);
        let ours = job.into_iter().chain(notice).chain(record).chain(registration);
        for wake in ours.chain(self.runs.into_iter().map(Wake::Run)) {
            wakes.wake(wake);
        }
    }
}
