//! A run that waits, people, moments.

use guichet_contract::{
    ActionId, Approval, Approvers, Digest, Effect, Principal, Run, RunId, RunState, Surface,
};
use jiff::Timestamp;
use uuid::Uuid;

/// So many seconds after the run was submitted.
pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

/// A binding.
pub(crate) fn binding(of: &str) -> Digest {
    Digest::of_bytes(of.as_bytes())
}

/// A person.
pub(crate) fn person(name: &str) -> Principal {
    Principal::person(name)
}

/// Anna's run, which waits until second 100 for these policies, so many people each; its binding is that of `shown`.
pub(crate) fn run(policies: &[(&str, u8)]) -> Run {
    let approvals = policies.iter().map(|(policy, count)| Approval {
        policy: (*policy).to_owned(),
        because: "destroying data".to_owned(),
        by: Approvers::Team("data".to_owned()),
        teams: vec!["data".to_owned()],
        count: *count,
        expires_at: at(100),
    });
    Run {
        id: RunId(Uuid::from_u128(7)),
        action: ActionId::new("kafka", "delete-topic"),
        action_version: binding("declaration"),
        command: vec!["kafka".to_owned(), "topics".to_owned(), "delete".to_owned()],
        title: "Delete a topic".to_owned(),
        effect: Effect::Destroy,
        environment: "production".to_owned(),
        state: RunState::AwaitingApproval,
        requested_by: person("anna"),
        surface: Surface::Cli,
        reason: None,
        input: serde_json::json!({"topic": "invoices"}),
        resource: "kafka/default/topics/invoices".to_owned(),
        owner: Some("data".to_owned()),
        plan: None,
        policy_version: binding("policies"),
        salt: None,
        binding: binding("shown"),
        approvals: approvals.collect(),
        decisions: Vec::new(),
        broken_glass: None,
        cool_down_seconds: 0,
        timeout_seconds: None,
        undoes: None,
        undone_by: None,
        undo: None,
        concurrency: None,
        behind: None,
        schedule: None,
        starts_at: None,
        waits_until: None,
        cancel_asked: None,
        created_at: at(0),
        expires_at: Some(at(100)),
        started_at: None,
        finished_at: None,
        outcome: None,
        trace_id: None,
        idempotency_key: None,
    }
}
