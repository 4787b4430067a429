//! Records asked of two sets of policies: those in force, and others that are only tried.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use guichet_admission::{Asked, World};
use guichet_contract::{
    Answer, CannotTell, Change, Changed, Example, Principal, PrincipalKind, Record, RecordVerdict,
    Simulation, Verb, code, record::LedgerRecord, redact,
};
use guichet_rules::{Condition, Decision, Foresight, Policies};
use jiff::Timestamp;
use serde_json::Value;

use crate::explain_policy::answer_of;

/// Rows that are told.
const ROWS: usize = 500;
/// Questions whose answers are remembered: some tens of megabytes at the most. Beyond it all are forgotten.
const REMEMBERED: usize = 50_000;
/// Longer questions, in bytes, are not remembered: they seldom come twice.
const LONGEST: usize = 1_000;

/// A call that was refused for its form, its token or a limit says nothing of policies; one that failed came past them.
fn is_about_policy(record: &Record) -> bool {
    if !matches!(record.verb, Verb::PerformRead | Verb::SubmitRun) {
        return false;
    }
    match record.verdict {
        RecordVerdict::Refused => record.problem.as_deref() == Some(code::REFUSED) && record.action.is_some(),
        RecordVerdict::Allowed | RecordVerdict::Failed | RecordVerdict::Unknown => true,
    }
}

/// What would change for whom: how, which action, and who (kind, name, agent).
type Row = (Change, String, PrincipalKind, String, Option<String>);

/// What came of a question.
#[derive(Debug, Clone)]
enum Judged {
    CannotTell(&'static str),
    Unchanged,
    Changed(Arc<Row>),
}

/// All that the two answers to a record depend on, so that the same question is thought about once. Compared in whole.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Question(String);

impl Question {
    /// None for a record that no question can be made of, and for a long one.
    fn of(world: &World, record: &Record) -> Option<Self> {
        let (action, principal, input) =
            (record.action.as_ref()?, record.principal.as_ref()?, record.input.as_ref()?);
        let calendar = world.registry.calendar();
        let on_call = calendar.on_call(&principal.name, record.at);
        let parts = (
            (action, principal.kind, &principal.name, &principal.agent),
            (&record.resource, &record.environment, record.surface, &record.reason),
            (on_call, calendar.is_office_hours(record.at)),
            input,
        );
        serde_json::to_string(&parts).ok().filter(|text| text.len() <= LONGEST).map(Self)
    }
}

/// Counts what would be answered otherwise.
#[derive(Default)]
pub(crate) struct Tally {
    judged: HashMap<Question, Judged>,
    replayed: u64,
    unchanged: u64,
    more: u64,
    rows: BTreeMap<Row, Changed>,
    cannot_tell: BTreeMap<&'static str, u64>,
}

impl Tally {
    /// Counts a record, when it tells of something that policies were asked.
    pub(crate) fn count(&mut self, world: &World, policies: &Policies, entry: &LedgerRecord) {
        if !is_about_policy(&entry.record) {
            return;
        }
        let question = Question::of(world, &entry.record);
        if let Some(judged) = question.as_ref().and_then(|question| self.judged.get(question)).cloned() {
            return self.add(&judged);
        }
        let judged = self.judge(world, policies, entry);
        if let Some(question) = question {
            if self.judged.len() >= REMEMBERED {
                self.judged.clear();
            }
            let _ = self.judged.insert(question, judged);
        }
    }

    /// The same again.
    fn add(&mut self, judged: &Judged) {
        match judged {
            Judged::CannotTell(why) => *self.cannot_tell.entry(why).or_default() += 1,
            Judged::Unchanged => (self.replayed, self.unchanged) = (self.replayed + 1, self.unchanged + 1),
            Judged::Changed(row) => {
                self.replayed += 1;
                match self.rows.get_mut(&**row) {
                    Some(changed) => changed.records += 1,
                    None => self.more += 1,
                }
            }
        }
    }

    fn judge(&mut self, world: &World, policies: &Policies, entry: &LedgerRecord) -> Judged {
        let replay = match replay(world, policies, &entry.record) {
            Ok(replay) => replay,
            Err(why) => {
                let judged = Judged::CannotTell(why);
                self.add(&judged);
                return judged;
            }
        };
        let Some(change) = replay.change() else {
            self.add(&Judged::Unchanged);
            return Judged::Unchanged;
        };
        let Replay { principal, action, resource, now, then } = replay;
        let row = (change, action, principal.kind, principal.name.clone(), principal.agent.clone());
        let judged = Judged::Changed(Arc::new(row.clone()));
        if self.rows.contains_key(&row) || self.rows.len() >= ROWS {
            self.add(&judged);
            return judged;
        }
        self.replayed += 1;
        let changed = Changed {
            change,
            action: guichet_contract::ActionId(row.1.clone()),
            principal: principal.name,
            kind: principal.kind,
            agent: principal.agent,
            now: answer_of(&now),
            then: answer_of(&then),
            records: 1,
            example: Example {
                index: entry.index,
                at: entry.record.at,
                resource,
                surface: entry.record.surface,
                because: because(&then),
                policies: policies.decided_by(&then).into_iter().map(|told| told.id).collect(),
            },
        };
        self.rows.insert(row, changed);
        judged
    }

    /// All of it, the most frequent changes first.
    pub(crate) fn told(
        self,
        since: Timestamp,
        until: Timestamp,
        world: &World,
        policies: &Policies,
    ) -> Simulation {
        let mut changes: Vec<Changed> = self.rows.into_values().collect();
        changes.sort_by_key(|changed| std::cmp::Reverse(changed.records));
        Simulation {
            since,
            until,
            now: world.policies.version().clone(),
            then: policies.version().clone(),
            replayed: self.replayed,
            unchanged: self.unchanged,
            changes,
            more: self.more,
            cannot_tell: self
                .cannot_tell
                .into_iter()
                .map(|(why, records)| CannotTell { why: why.to_owned(), records })
                .collect(),
            warnings: policies.warnings().iter().map(ToString::to_string).collect(),
        }
    }
}

/// One record, asked of both.
struct Replay {
    principal: Principal,
    action: String,
    resource: String,
    now: Decision,
    then: Decision,
}

impl Replay {
    fn change(&self) -> Option<Change> {
        match (answer_of(&self.now), answer_of(&self.then)) {
            (Answer::NeedsApproval, Answer::NeedsApproval) => {
                (asked_for(&self.now) != asked_for(&self.then)).then_some(Change::OtherApprovals)
            }
            (now, then) if now == then => None,
            (_, Answer::Allowed) => Some(Change::NewlyAllowed),
            (_, Answer::NeedsApproval) => Some(Change::NewlyNeedsApproval),
            (_, _) => Some(Change::NewlyRefused),
        }
    }
}

/// Whose approvals, and how many; by which policy does not matter to who waits.
fn asked_for(decision: &Decision) -> BTreeSet<(&[String], u8)> {
    let Decision::NeedsApproval { conditions, .. } = decision else { return BTreeSet::new() };
    conditions.iter().map(|one| (one.teams.as_slice(), one.count)).collect()
}

/// Asks both about a record, or says why nobody can tell. What was not recorded as it was is never guessed.
fn replay(world: &World, policies: &Policies, record: &Record) -> Result<Replay, &'static str> {
    let (Some(action), Some(principal)) = (&record.action, &record.principal) else {
        return Err("the record names no action or nobody who acted");
    };
    if world.catalogue.action(action.as_str()).is_none() {
        return Err("the action is not offered any more");
    }
    let input = record.input.as_ref().ok_or("the record has no input")?;
    if is_digest(input) {
        return Err("the input was too large to be recorded");
    }
    if is_redacted(input) {
        return Err("the input is redacted");
    }
    let thought = world
        .think(&Asked {
            action: action.as_str(),
            input: Some(input),
            resource: record.resource.as_deref(),
            environment: Some(&record.environment),
            surface: record.surface,
            reason: record.reason.as_deref(),
            // Records hold no plans.
            plan: None,
            now: record.at,
        })
        .map_err(|_| "the input does not fit the action as it is declared now")?;
    let principal = Principal { teams: world.registry.teams_of(&principal.name), ..principal.clone() };
    let ask = |policies: &Policies| match thought.ask(policies, &principal) {
        Foresight::Decided(decision) => Ok(decision),
        Foresight::Depends(_) => Err("the input does not say what it acts on"),
    };
    let (now, then) = (ask(&world.policies)?, ask(policies)?);
    let resource = thought.resource.clone().unwrap_or_default();
    Ok(Replay { action: action.to_string(), resource, now, then, principal })
}

/// What stands in a record for an input that is too large.
fn is_digest(input: &Value) -> bool {
    input.as_object().is_some_and(|members| {
        members.len() == 2
            && members.contains_key("bytes")
            && members.get("digest").and_then(Value::as_str).is_some_and(|text| text.starts_with("sha256:"))
    })
}

fn is_redacted(value: &Value) -> bool {
    match value {
        Value::String(text) => text == redact::REDACTED,
        Value::Array(items) => items.iter().any(is_redacted),
        Value::Object(members) => members.values().any(is_redacted),
        _ => false,
    }
}

fn because(decision: &Decision) -> String {
    match decision {
        Decision::Allowed { policies, .. } => format!("permitted by {}", policies.join(", ")),
        Decision::NeedsApproval { conditions, .. } => {
            conditions.iter().map(Condition::to_string).collect::<Vec<_>>().join("; ")
        }
        Decision::Refused { reasons } => {
            reasons.iter().map(|reason| reason.sentence.as_str()).collect::<Vec<_>>().join("; ")
        }
    }
}
