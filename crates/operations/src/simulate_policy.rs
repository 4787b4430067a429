//! What other policies would have answered to what was recorded: every read and every submission of some days is asked of
//! the policies in force and of the others, with the catalogue and the registry of this moment. Nothing is put in force.

use std::{collections::BTreeSet, sync::Arc};

use guichet_admission::{Call, Refusal, World, door::GatewayVerb};
use guichet_contract::{FieldError, Problem, RecordVerdict, Simulation, Verb, code};
use guichet_rules::Policies;
use guichet_store::{PageRequest, RecordsFilter};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Semaphore;

use crate::{
    platform::{Platform, store_problem},
    replay::Tally,
};

/// Records that are read at a time.
const PAGE: usize = 500;
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

    let tally = replay_all(platform, &world, &policies, since, until).await?;
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
        let (actions, defaults) = (&world.catalogue.published.actions, world.policies.defaults());
        Policies::load_without(&absent, &files, actions, &world.registry, defaults)
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

/// Everything between the two moments, the newest first. The next page is read while one is judged, on threads that serve
/// nobody.
async fn replay_all(
    platform: &Platform,
    world: &Arc<World>,
    policies: &Arc<Policies>,
    since: Timestamp,
    until: Timestamp,
) -> Result<Tally, Refusal> {
    let filter = RecordsFilter { since: Some(since), until: Some(until), ..RecordsFilter::default() };
    let read = async |cursor: Option<String>| {
        let page = platform.store.records(&filter, &PageRequest { limit: PAGE, cursor }).await;
        page.map_err(|error| Refusal::from(store_problem(&error)))
    };
    let mut tally = Tally::default();
    let mut page = read(None).await?;
    loop {
        let (world, policies, items) = (Arc::clone(world), Arc::clone(policies), page.items);
        let judging = tokio::task::spawn_blocking(move || {
            for entry in &items {
                tally.count(&world, &policies, entry);
            }
            tally
        });
        let next = match page.next {
            Some(cursor) => Some(read(Some(cursor)).await),
            None => None,
        };
        tally = judging.await.map_err(|error| {
            Problem::new(code::INTERNAL, format!("the records could not be gone through: {error}"))
        })?;
        match next {
            Some(next) => page = next?,
            None => return Ok(tally),
        }
    }
}
