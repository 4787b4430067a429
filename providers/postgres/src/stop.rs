//! `rds cancel-query` and `rds terminate-backend`: stop what was planned, and look whether it stopped.

use std::time::Duration;

use guichet_provider_sdk::{ActionError, Context, Plan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use crate::{
    endpoint::Endpoint,
    instances::Instances,
    plan,
    target::{Bound, Target},
};

/// How long the effect is waited for.
const STOPS_WITHIN: Duration = Duration::from_secs(5);

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct Stop {
    /// The instance or replica.
    identifier: String,
    /// Process id of the session, as `rds activity` shows it.
    #[schemars(range(min = 1))]
    pid: i32,
}

/// Which signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// The query ends with an error, the session stays.
    Cancel,
    /// The session ends, its transaction is rolled back.
    Terminate,
}

/// What came of it.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Stopped {
    pid: i32,
    /// The query was cancelled. Absent for a termination.
    #[serde(skip_serializing_if = "Option::is_none")]
    cancelled: Option<bool>,
    /// The session was terminated. Absent for a cancellation.
    #[serde(skip_serializing_if = "Option::is_none")]
    terminated: Option<bool>,
    /// PostgreSQL has sent the signal.
    signal_sent: bool,
    /// Whether it was seen to be gone; absent when nobody could look.
    gone: Option<bool>,
    waited_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

pub(crate) async fn plan_cancel(instances: Instances, _: Context, stop: Stop) -> Result<Plan, ActionError> {
    make_plan(&instances, &stop, How::Cancel).await
}

pub(crate) async fn plan_terminate(
    instances: Instances,
    _: Context,
    stop: Stop,
) -> Result<Plan, ActionError> {
    make_plan(&instances, &stop, How::Terminate).await
}

pub(crate) async fn cancel(
    instances: Instances,
    context: Context,
    stop: Stop,
) -> Result<Stopped, ActionError> {
    perform(&instances, &context, &stop, How::Cancel).await
}

pub(crate) async fn terminate(
    instances: Instances,
    context: Context,
    stop: Stop,
) -> Result<Stopped, ActionError> {
    perform(&instances, &context, &stop, How::Terminate).await
}

async fn make_plan(instances: &Instances, stop: &Stop, how: How) -> Result<Plan, ActionError> {
    let endpoint = instances.find(&stop.identifier)?;
    let target = stoppable(endpoint, stop.pid, how).await?;
    plan::of(endpoint, &target, how).await
}

async fn stoppable(endpoint: &Endpoint, pid: i32, how: How) -> Result<Target, ActionError> {
    let target = Target::find(endpoint, pid).await?;
    if how == How::Cancel && target.state != "active" {
        let error =
            ActionError::conflict(format!("session {pid} runs no query to cancel; it {}", target.doing()));
        return Err(error.next("to end its transaction as well, use `rds terminate-backend`"));
    }
    Ok(target)
}

async fn perform(
    instances: &Instances,
    context: &Context,
    stop: &Stop,
    how: How,
) -> Result<Stopped, ActionError> {
    let endpoint = instances.find(&stop.identifier)?;
    let bound = match context.planned::<Bound>()? {
        Some(bound) if bound.pid == stop.pid && bound.identifier == stop.identifier => bound,
        Some(bound) => {
            let what = format!("the plan is about session {} of `{}`", bound.pid, bound.identifier);
            return Err(ActionError::conflict(what).next("run the command again to plan anew"));
        }
        // Called without a plan: what it is now is what is meant.
        None => stoppable(endpoint, stop.pid, how).await?.bound(&stop.identifier),
    };
    signal(endpoint, &bound, how).await?;
    tracing::info!(
        instance = stop.identifier,
        pid = stop.pid,
        run = context.run(),
        principal = context.principal().name,
        ?how,
        "signal sent"
    );
    Ok(watch(endpoint, &bound, how).await)
}

/// Looks and signals in one statement. Between its look and its signal lie microseconds in the server; before,
/// they were minutes in which people decided.
async fn signal(endpoint: &Endpoint, bound: &Bound, how: How) -> Result<(), ActionError> {
    let function = match how {
        How::Cancel => "pg_cancel_backend",
        How::Terminate => "pg_terminate_backend",
    };
    let sql = format!(
        "SELECT {function}(a.pid) AS sent FROM pg_stat_activity a
         WHERE a.pid = $1 AND a.backend_start = $2 AND a.query_start IS NOT DISTINCT FROM $3 AND a.state = $4
           AND a.backend_type = 'client backend' AND a.pid <> pg_backend_pid()
           AND NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = a.usesysid AND r.rolsuper)"
    );
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
        [&bound.pid, &bound.backend_start, &bound.query_start, &bound.state];
    let rows = endpoint.ask(&sql, &parameters).await?;
    if let Some(row) = rows.first()
        && row.try_get("sent")?
    {
        return Ok(());
    }
    let now = match Target::find(endpoint, bound.pid).await {
        Ok(target) => target.doing(),
        Err(error) if error.problem().status == 404 => "is gone".to_owned(),
        Err(error) => return Err(error),
    };
    let nothing = match how {
        How::Cancel => "cancelled",
        How::Terminate => "terminated",
    };
    Err(ActionError::conflict(format!(
        "session {} no longer runs the query that was planned; it now {now}; nothing was {nothing}",
        bound.pid
    ))
    .next("run the command again to plan anew"))
}

/// Looks until it is gone. Nothing here is an error: the signal is sent, and «failed» would say «not done».
async fn watch(endpoint: &Endpoint, bound: &Bound, how: How) -> Stopped {
    let begun = Instant::now();
    let mut pause = Duration::from_millis(10);
    let (gone, note) = loop {
        match is_gone(endpoint, bound, how).await {
            Ok(true) => break (Some(true), None),
            Ok(false) if begun.elapsed() >= STOPS_WITHIN => {
                let what = if how == How::Cancel { "query" } else { "session" };
                let note = format!(
                    "the signal is sent, but the {what} has not stopped within {} s: PostgreSQL stops at its next \
                     safe point; look again with `rds activity`",
                    STOPS_WITHIN.as_secs()
                );
                break (Some(false), Some(note));
            }
            Ok(false) => sleep(pause).await,
            Err(error) => {
                let why = &error.problem().detail;
                break (
                    None,
                    Some(format!("the signal is sent, but nobody could look whether it stopped: {why}")),
                );
            }
        }
        pause = (pause * 2).min(Duration::from_millis(250));
    };
    let done = Some(gone == Some(true));
    Stopped {
        pid: bound.pid,
        cancelled: done.filter(|_| how == How::Cancel),
        terminated: done.filter(|_| how == How::Terminate),
        signal_sent: true,
        gone,
        waited_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        note,
    }
}

async fn is_gone(endpoint: &Endpoint, bound: &Bound, how: How) -> Result<bool, ActionError> {
    let sql = "SELECT 1 FROM pg_stat_activity
               WHERE pid = $1 AND backend_start = $2
                 AND ($3 OR (query_start IS NOT DISTINCT FROM $4 AND state = 'active'))";
    let whole_session = how == How::Terminate;
    let rows =
        endpoint.ask(sql, &[&bound.pid, &bound.backend_start, &whole_session, &bound.query_start]).await?;
    Ok(rows.is_empty())
}
