//! One unit of work while it is being applied: what it has changed can be taken back, and whom it will wake.

use std::collections::{BTreeMap, BTreeSet};

use guichet_contract::RunId;

use super::{
    checkpoints, deliveries, events, idempotency, jobs, notices, records, registrations, reviews, runs,
    schedules, state::State, tokens,
};
use crate::{Change, CommitError, JobKind, Wake};

/// Makes one change as it was before.
type TakeBack = Box<dyn FnOnce(&mut State)>;

/// An open unit.
pub(super) struct Writing<'a> {
    pub(super) state: &'a mut State,
    changed: Vec<TakeBack>,
    pub(super) woken: Woken,
}

/// Whom the unit will wake.
#[derive(Default)]
pub(super) struct Woken {
    job: bool,
    notice: bool,
    record: bool,
    registration: bool,
    runs: BTreeSet<RunId>,
}

impl Woken {
    /// Each once, in an order that is always the same.
    pub(super) fn into_wakes(self) -> Vec<Wake> {
        let job = self.job.then_some(Wake::Job);
        let notice = self.notice.then_some(Wake::Notice);
        let record = self.record.then_some(Wake::Record);
        let registration = self.registration.then_some(Wake::Registration);
        let ours = job.into_iter().chain(notice).chain(record).chain(registration);
        ours.chain(self.runs.into_iter().map(Wake::Run)).collect()
    }
}

impl<'a> Writing<'a> {
    pub(super) fn of(state: &'a mut State) -> Self {
        Self { state, changed: Vec::new(), woken: Woken::default() }
    }

    /// Everything that this unit has changed is as it was before, the last first.
    pub(super) fn take_back(self) {
        for back in self.changed.into_iter().rev() {
            back(self.state);
        }
    }

    /// Puts a row, or removes it.
    pub(super) fn put<K: Ord + Clone + 'static, V: 'static>(
        &mut self,
        table: fn(&mut State) -> &mut BTreeMap<K, V>,
        key: K,
        row: Option<V>,
    ) {
        let rows = table(self.state);
        let before = match row {
            Some(row) => rows.insert(key.clone(), row),
            None => rows.remove(&key),
        };
        self.changed.push(Box::new(move |state| {
            match before {
                Some(row) => table(state).insert(key, row),
                None => table(state).remove(&key),
            };
        }));
    }

    /// The index of the next record: dense, because what is taken back gives its indexes back.
    pub(super) fn next_index(&mut self) -> u64 {
        let index = self.state.record_count;
        self.state.record_count += 1;
        self.changed.push(Box::new(move |state| state.record_count = index));
        self.woken.record = true;
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
        self.woken.runs.insert(run);
    }

    /// Makes the change true, or says what it conflicts with.
    pub(super) fn apply(&mut self, change: Change) -> Result<(), CommitError> {
        match change {
            Change::InsertRun(run) => runs::insert(self, *run),
            Change::MoveRun { run, from, to, at, outcome } => runs::r#move(self, run, from, to, at, outcome),
            Change::AddDecision { run, seen, decision } => runs::add_decision(self, run, seen, decision),
            Change::AppendEvent { run, at, kind } => events::append(self, run, at, kind),
            Change::AppendRecord(record) => records::append(self, &record),
            Change::OpenReview(review) => reviews::open(self, review),
            Change::CloseReview { run, closed } => reviews::close(self, run, closed),
            Change::RestRun { run, until } => runs::rest(self, run, until),
            Change::AskCancel { run, asked } => runs::ask_cancel(self, run, asked),
            Change::InsertSchedule(schedule) => schedules::insert(self, *schedule),
            Change::ReplaceSchedule(schedule) => schedules::replace(self, *schedule),
            Change::DeleteSchedule { schedule, revision } => schedules::delete(self, schedule, revision),
            Change::PutRegistration(registration) => registrations::put(self, *registration),
            Change::DeleteRegistration { provider, revision } => {
                registrations::delete(self, provider, revision)
            }
            Change::PruneRecords { before } => records::prune(self, before),
            Change::EnqueueJob(job) => jobs::enqueue(self, job),
            Change::EnqueueNotice { job, notice } => notices::enqueue(self, &job, notice),
            Change::NoteTold(told) => notices::note_told(self, told),
            Change::NoteAttempt { delivery, attempt } => {
                deliveries::note_attempt(self, delivery, attempt);
                Ok(())
            }
            Change::EndDelivery { delivery, state, at } => {
                deliveries::end(self, delivery, state, at);
                Ok(())
            }
            Change::ReplayDelivery { delivery, replays, at } => {
                deliveries::replay(self, delivery, replays, at)
            }
            Change::HastenDelivery { delivery, due } => deliveries::hasten(self, delivery, due),
            Change::FinishJob { job, lease } => jobs::finish(self, job, &lease),
            Change::HoldJob { job, lease } => jobs::held(self, job, &lease).map(|_| ()),
            Change::HastenJobs { run, kind, due } => {
                jobs::hasten(self, run, kind, due);
                Ok(())
            }
            Change::RetryJob { job, lease, due } => jobs::retry(self, job, &lease, due),
            Change::DropJobs { run, kind } => {
                jobs::drop_for(self, run, kind);
                Ok(())
            }
            Change::InsertToken(token) => tokens::insert(self, token),
            Change::RevokeToken { token, at } => tokens::revoke(self, token, at),
            Change::TouchToken { token, at } => {
                tokens::touch(self, token, at);
                Ok(())
            }
            Change::InsertIdempotencyKey { principal, key, request, run, at: _ } => {
                idempotency::insert(self, principal, key, request, run)
            }
        }
    }

    /// Seals: see [`checkpoints::seal`].
    pub(super) fn seal(
        &mut self,
        size: u64,
        note: &str,
        tiles: &[(u8, u64, Vec<u8>)],
    ) -> Result<(), CommitError> {
        checkpoints::seal(self, size, note, tiles)
    }
}

/// What the unit conflicts with.
pub(super) fn conflict(what: String) -> CommitError {
    CommitError::Conflict { what }
}
