//! One change of a unit of work, told to the noun it belongs to.

use guichet_contract::{EventKind, RunId};
use jiff::Timestamp;

use super::{
    deliveries, events, fault::Fault, idempotency, jobs, notices, records, registrations, reviews, runs,
    schedules, tokens, unit::Unit,
};
use crate::Change;

/// All changes as statements, in their order; records stand behind them.
pub(super) fn unit_of(changes: &[Change]) -> Result<Unit, Fault> {
    let mut unit = Unit::default();
    let mut rest = changes;
    while let Some(change) = rest.first() {
        let taken = match change {
            Change::AppendEvent { run, .. } => {
                let events: Vec<_> = rest.iter().map_while(|change| event_of(change, *run)).collect();
                events::append(&mut unit, *run, &events)?;
                events.len()
            }
            change => {
                add(&mut unit, change)?;
                1
            }
        };
        rest = rest.get(taken..).unwrap_or_default();
    }
    Ok(unit)
}

/// What this change appends to the run, if that is what it does. Those that follow each other are one statement.
fn event_of(change: &Change, of: RunId) -> Option<(Timestamp, &EventKind)> {
    match change {
        Change::AppendEvent { run, at, kind } if *run == of => Some((*at, kind)),
        _ => None,
    }
}

fn add(unit: &mut Unit, change: &Change) -> Result<(), Fault> {
    match change {
        Change::InsertRun(run) => runs::insert(unit, run)?,
        Change::MoveRun { run, from, to, at, outcome } => {
            runs::r#move(unit, *run, *from, *to, *at, outcome.as_ref())?;
        }
        Change::RestRun { run, until } => runs::rest(unit, *run, *until),
        Change::AskCancel { run, asked } => runs::ask_cancel(unit, *run, asked)?,
        Change::AddDecision { run, seen, decision } => runs::add_decision(unit, *run, *seen, decision)?,
        Change::AppendEvent { run, at, kind } => events::append(unit, *run, &[(*at, kind)])?,
        Change::AppendRecord(record) => records::append(unit, record)?,
        Change::OpenReview(review) => reviews::open(unit, review),
        Change::CloseReview { run, closed } => reviews::close(unit, *run, closed),
        Change::InsertSchedule(schedule) => schedules::insert(unit, schedule)?,
        Change::ReplaceSchedule(schedule) => schedules::replace(unit, schedule)?,
        Change::DeleteSchedule { schedule, revision } => schedules::delete(unit, *schedule, *revision),
        Change::PutRegistration(registration) => registrations::put(unit, registration)?,
        Change::DeleteRegistration { provider, revision } => {
            registrations::delete(unit, provider, *revision);
        }
        Change::PruneRecords { before } => records::prune(unit, *before),
        Change::EnqueueJob(job) => jobs::enqueue(unit, job),
        Change::EnqueueNotice { job, notice } => notices::enqueue(unit, job, notice)?,
        Change::NoteTold(told) => notices::note_told(unit, told),
        Change::NoteAttempt { delivery, attempt } => deliveries::note_attempt(unit, *delivery, attempt)?,
        Change::EndDelivery { delivery, state, at } => deliveries::end(unit, *delivery, *state, *at),
        Change::ReplayDelivery { delivery, replays, at } => {
            deliveries::replay(unit, *delivery, *replays, *at);
        }
        Change::HastenDelivery { delivery, due } => deliveries::hasten(unit, *delivery, *due),
        Change::FinishJob { job, lease } => jobs::finish(unit, *job, lease),
        Change::HoldJob { job, lease } => jobs::hold(unit, *job, lease),
        Change::RetryJob { job, lease, due } => jobs::retry(unit, *job, lease, *due),
        Change::HastenJobs { run, kind, due } => jobs::hasten(unit, *run, *kind, *due),
        Change::DropJobs { run, kind } => jobs::drop_for(unit, *run, *kind),
        Change::InsertToken(token) => tokens::insert(unit, token)?,
        Change::RevokeToken { token, at } => tokens::revoke(unit, *token, *at),
        Change::TouchToken { token, at } => tokens::touch(unit, *token, *at),
        Change::InsertIdempotencyKey { principal, key, request, run, at } => {
            idempotency::insert(unit, principal, key, request, *run, *at);
        }
    }
    Ok(())
}
