//! One change of a unit of work, told to the noun it belongs to.

use super::{
    deliveries, events, fault::Fault, idempotency, jobs, notices, records, registrations, reviews, runs,
    schedules, tokens, writing::Writing,
};
use crate::Change;

/// Makes the change true within the open transaction, or says what it conflicts with.
pub(super) fn apply(writing: &mut Writing<'_>, change: &Change) -> Result<(), Fault> {
    match change {
        Change::InsertRun(run) => runs::insert(writing, run),
        Change::MoveRun { run, from, to, at, outcome } => {
            runs::r#move(writing, *run, *from, *to, *at, outcome.as_ref())
        }
        Change::RestRun { run, until } => runs::rest(writing, *run, *until),
        Change::AskCancel { run, asked } => runs::ask_cancel(writing, *run, asked),
        Change::AddDecision { run, seen, decision } => runs::add_decision(writing, *run, *seen, decision),
        Change::AppendEvent { run, at, kind } => events::append(writing, *run, *at, kind),
        Change::AppendRecord(record) => records::append(writing, &records::Leaf::of(record)?),
        Change::OpenReview(review) => reviews::open(writing, review),
        Change::CloseReview { run, closed } => reviews::close(writing, *run, closed),
        Change::InsertSchedule(schedule) => schedules::insert(writing, schedule),
        Change::ReplaceSchedule(schedule) => schedules::replace(writing, schedule),
        Change::DeleteSchedule { schedule, revision } => schedules::delete(writing, *schedule, *revision),
        Change::PutRegistration(registration) => registrations::put(writing, registration),
        Change::DeleteRegistration { provider, revision } => {
            registrations::delete(writing, provider, *revision)
        }
        Change::PruneRecords { before } => records::prune(writing, *before),
        Change::EnqueueJob(job) => jobs::enqueue(writing, job),
        Change::EnqueueNotice { job, notice } => notices::enqueue(writing, job, notice),
        Change::NoteTold(told) => notices::note_told(writing, told),
        Change::NoteAttempt { delivery, attempt } => deliveries::note_attempt(writing, *delivery, attempt),
        Change::EndDelivery { delivery, state, at } => deliveries::end(writing, *delivery, *state, *at),
        Change::ReplayDelivery { delivery, replays, at } => {
            deliveries::replay(writing, *delivery, *replays, *at)
        }
        Change::HastenDelivery { delivery, due } => deliveries::hasten(writing, *delivery, *due),
        Change::FinishJob { job, lease } => jobs::finish(writing, *job, lease),
        Change::HoldJob { job, lease } => jobs::hold(writing, *job, lease),
        Change::RetryJob { job, lease, due } => jobs::retry(writing, *job, lease, *due),
        Change::HastenJobs { run, kind, due } => jobs::hasten(writing, *run, *kind, *due),
        Change::DropJobs { run, kind } => jobs::drop_for(writing, *run, *kind),
        Change::InsertToken(token) => tokens::insert(writing, token),
        Change::RevokeToken { token, at } => tokens::revoke(writing, *token, *at),
        Change::TouchToken { token, at } => tokens::touch(writing, *token, *at),
        Change::InsertIdempotencyKey { principal, key, request, run, at } => {
            idempotency::insert(writing, principal, key, request, *run, *at)
        }
    }
}
