//! What other policies would have answered to what was recorded: every read and every submission of some days is asked of
//! the policies in force and of the others, with the catalogue and the registry of this moment. Nothing is put in force.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use guichet_admission::{Asked, Call, Refusal, World, door::GatewayVerb};
use guichet_contract::{
    Answer, CannotTell, Change, Changed, Example, FieldError, Principal, PrincipalKind, Problem, Record,
    RecordVerdict, Simulation, Verb, code, record::LedgerRecord, redact,
};
use guichet_rules::{Condition, Decision, Foresight, Policies};
use guichet_store::{PageRequest, RecordsFilter};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::{
    explain_policy::answer_of,
    platform::{Platform, store_problem},
};

/// Records that are read at a time.
const PAGE: usize = 500;
/// Rows that are told.
const ROWS: usize = 500;
/// At once, in a process: each is as much work as thousands of calls.
static ROOM: Semaphore = Semaphore::const_new(1);

/// Tries these policy files `(name, text)` on the records of the last days (1–366).
///
/// # Errors
/// No right to audit; policies that cannot be in force; another simulation under way; the store.
pub async fn simulate_policy(
    platform: &Arc<Platform>,
    call: &Call,
    files: &[(String, String)],
    days: u16,
) -> Result<Simulation, Refusal> {
    let door = &platform.door;
    let caller = door.identify(call).await?;
    let admitted = door.admit_gateway(caller, GatewayVerb::AskPolicies(Verb::SimulatePolicy)).await?;
    let (caller, world) = (admitted.caller(), door.world());
    // Held to the end. Whoever finds no room has cost nothing: reading the policies is dear, too.
    let room = ROOM.try_acquire().map_err(|_| {
        Problem::new(code::TOO_MANY_REQUESTS, "another simulation is under way on this gateway")
            .next("try again when it has ended")
    });
    let tried = match room {
        Ok(room) => load(platform, &world, files).await.map(|policies| (policies, room)),
        Err(problem) => Err(problem),
    };
    let (policies, _room) = match tried {
        Ok(tried) => tried,
        Err(problem) => {
            let record = door.record_of(caller, Verb::SimulatePolicy, RecordVerdict::Refused);
            return Err(door.refuse(record, problem).await);
        }
    };
    let until = platform.clock.now();
    let since = until.checked_sub(SignedDuration::from_hours(24 * i64::from(days))).unwrap_or(Timestamp::MIN);
    let mut record = door.record_of(caller, Verb::SimulatePolicy, RecordVerdict::Allowed);
    record.policy_version = Some(world.policies.version().clone());
    record.detail = Some(format!("{days} days, policies {}", policies.version().short()));
    platform.store.append_soon(record).await.map_err(|error| Refusal::from(store_problem(&error)))?;

    let mut tally = Tally::default();
    for verb in [Verb::PerformRead, Verb::SubmitRun] {
        let filter = RecordsFilter {
            verb: Some(verb.as_str().to_owned()),
            since: Some(since),
            until: Some(until),
            ..RecordsFilter::default()
        };
        let mut cursor = None;
        loop {
            let request = PageRequest { limit: PAGE, cursor };
            let page = platform.store.records(&filter, &request).await;
            let page = page.map_err(|error| Refusal::from(store_problem(&error)))?;
            tally = hold(&world, &policies, tally, page.items).await?;
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
    }
    Ok(tally.told(since, until, &world, &policies))
}

/// As a reload would read them, on a thread that serves nobody else.
async fn load(
    platform: &Platform,
    world: &Arc<World>,
    files: &[(String, String)],
) -> Result<Arc<Policies>, Problem> {
    let offered: BTreeSet<&str> =
        world.catalogue.published.actions.iter().map(|action| action.provider.as_str()).collect();
    let absent = platform.providers.status().into_iter().map(|provider| provider.name);
    let absent: BTreeSet<String> = absent.filter(|name| !offered.contains(name.as_str())).collect();
    let (world, files) = (Arc::clone(world), files.to_vec());
    let read = tokio::task::spawn_blocking(move || {
        let (catalogue, defaults) = (&world.catalogue.published, world.policies.defaults());
        Policies::load_without(&absent, &files, catalogue, &world.registry, defaults)
    });
    let read = read.await.map_err(|error| {
        Problem::new(code::INTERNAL, format!("the policies could not be read: {error}"))
            .next("tell those who run the gateway; its log has the fault")
    })?;
    read.map(Arc::new).map_err(|faults| {
        let told = faults.iter().take(20).map(|fault| FieldError {
            pointer: "/policies".to_owned(),
            flag: Some(format!("{}:{}:{}", fault.file, fault.line, fault.column)),
            message: fault.message.clone(),
        });
        Problem::new(
            code::INVALID_INPUT,
            format!("these policies cannot be in force ({} wrong)", faults.len()),
        )
        .errors(told.collect())
        .next("mend them; `guichetd check` and `guichetd policy test` tell the same")
    })
}

/// A page of records against both. Not on a thread that serves others.
async fn hold(
    world: &Arc<World>,
    policies: &Arc<Policies>,
    mut tally: Tally,
    page: Vec<LedgerRecord>,
) -> Result<Tally, Refusal> {
    let (world, policies) = (Arc::clone(world), Arc::clone(policies));
    let held = tokio::task::spawn_blocking(move || {
        for entry in page.iter().filter(|entry| is_about_policy(&entry.record)) {
            tally.count(&world, &policies, entry);
        }
        tally
    });
    held.await.map_err(|error| {
        Problem::new(code::INTERNAL, format!("the records could not be gone through: {error}")).into()
    })
}

/// A call that was refused for its form, its token or a limit says nothing of policies; one that failed came past them.
fn is_about_policy(record: &Record) -> bool {
    match record.verdict {
        RecordVerdict::Refused => record.problem.as_deref() == Some(code::REFUSED) && record.action.is_some(),
        RecordVerdict::Allowed | RecordVerdict::Failed | RecordVerdict::Unknown => true,
    }
}

/// What would change for whom: how, which action, and who (kind, name, agent).
type Row = (Change, String, PrincipalKind, String, Option<String>);

#[derive(Default)]
struct Tally {
    replayed: u64,
    unchanged: u64,
    more: u64,
    rows: BTreeMap<Row, Changed>,
    cannot_tell: BTreeMap<&'static str, u64>,
}

impl Tally {
    fn count(&mut self, world: &World, policies: &Policies, entry: &LedgerRecord) {
        let replay = match replay(world, policies, &entry.record) {
            Ok(replay) => replay,
            Err(why) => {
                *self.cannot_tell.entry(why).or_default() += 1;
                return;
            }
        };
        self.replayed += 1;
        let Some(change) = replay.change() else {
            self.unchanged += 1;
            return;
        };
        let Replay { principal, action, resource, now, then } = replay;
        let row = (change, action, principal.kind, principal.name.clone(), principal.agent.clone());
        if let Some(changed) = self.rows.get_mut(&row) {
            changed.records += 1;
            return;
        }
        if self.rows.len() >= ROWS {
            self.more += 1;
            return;
        }
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
    }

    fn told(self, since: Timestamp, until: Timestamp, world: &World, policies: &Policies) -> Simulation {
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
