//! What stopping a session would do, in the words an approver reads.

use std::collections::BTreeSet;

use guichet_provider_sdk::{ActionError, Plan};
use serde_json::json;

use crate::{
    activity::{self, Session},
    endpoint::Endpoint,
    session::{how_long, one_line, shorten},
    stop::How,
    target::Target,
};

const QUERY_LENGTH: usize = 2_000;
/// Waiters that are named; the count is always whole.
const NAMED_WAITERS: usize = 20;

/// The plan for this target.
pub(crate) async fn of(endpoint: &Endpoint, target: &Target, how: How) -> Result<Plan, ActionError> {
    let identifier = endpoint.identifier();
    let waiters = waiters(&activity::sessions(endpoint).await?, target.pid);
    let named: Vec<String> = waiters.iter().take(NAMED_WAITERS).map(describe).collect();
    let application = target.application.as_deref().unwrap_or("none");
    let who = format!("user {}, application {application}", target.user);
    let query = one_line(&target.query, 120);
    let sentence = match how {
        How::Cancel => {
            format!("Cancel the query of session {} ({who}) on {identifier}: '{query}'", target.pid)
        }
        How::Terminate => {
            format!("Terminate session {} ({who}) on {identifier}, {}: '{query}'", target.pid, target.state)
        }
    };
    let time = |moment: Option<jiff::Timestamp>| {
        moment.map_or_else(|| "none".to_owned(), |moment| moment.to_string())
    };
    let mut plan = Plan::new(sentence)
        .fact("query", shorten(&target.query, QUERY_LENGTH))
        .fact("user", target.user.as_str())
        .fact("application", application)
        .fact("client address", target.client.as_deref().unwrap_or("local"))
        .fact("database", target.database.as_deref().unwrap_or("none"))
        .fact("state", target.state.as_str())
        .fact("query started", time(target.query_start))
        .fact("transaction since", time(target.transaction_start));
    let state_for = if target.state == "active" { "running for" } else { "in this state for" };
    plan = plan
        .moving_fact(state_for, how_long(target.state_seconds))
        .moving_fact("blocked sessions", waiters.len())
        .moving_fact("who is blocked", named)
        .on(format!("postgres/{identifier}/applications/{}", path_word(application)));
    Ok(plan.bound_to(json!(target.bound(identifier))))
}

/// Everyone who waits for this session, directly or through others.
fn waiters(sessions: &[Session], pid: i32) -> Vec<Session> {
    let mut blockers = BTreeSet::from([pid]);
    loop {
        let more: Vec<i32> = sessions
            .iter()
            .filter(|session| !blockers.contains(&session.pid))
            .filter(|session| session.blocked_by.iter().any(|by| blockers.contains(by)))
            .map(|session| session.pid)
            .collect();
        if more.is_empty() {
            break;
        }
        blockers.extend(more);
    }
    sessions.iter().filter(|session| session.pid != pid && blockers.contains(&session.pid)).cloned().collect()
}

fn describe(waiter: &Session) -> String {
    let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "none".to_owned());
    let waiting = waiter.query_seconds.map(how_long).unwrap_or_default();
    format!(
        "session {} (user {}, application {}) for {waiting}: {}",
        waiter.pid,
        text(&waiter.user),
        text(&waiter.application),
        shorten(&waiter.query, 100)
    )
}

/// A text that a client chose, as one word of a resource: what could reach beyond its segment becomes `-`.
fn path_word(text: &str) -> String {
    let word: String = text
        .chars()
        .take(64)
        .map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' })
        .collect();
    if word.trim_matches(['.', '-']).is_empty() { "none".to_owned() } else { word }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_applications_name_cannot_leave_its_segment() {
        for (name, word) in [
            ("checkout", "checkout"),
            ("psql 15", "psql-15"),
            ("../../other", "..-..-other"),
            ("a/b*c", "a-b-c"),
            ("..", "none"),
            ("é", "none"),
            ("none", "none"),
        ] {
            assert_eq!(path_word(name), word);
        }
    }
}
