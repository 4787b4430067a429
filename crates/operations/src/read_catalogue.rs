//! What this gateway offers, and how its providers stand.

use std::{collections::BTreeMap, sync::Arc};

use guichet_admission::{Call, Caller, Refusal, World};
use guichet_contract::{
    Action, Catalogue, OfferedAction, Problem, ProviderStatus, RecordVerdict, Verb, code,
};
use guichet_rules::Prospect;
use jiff::Timestamp;

use crate::{platform::Platform, who_am_i::look_around};

/// As much of what a caller sent is recorded, characters.
const SHOWN: usize = 200;

/// The whole catalogue.
///
/// # Errors
/// Not signed in.
pub async fn read_catalogue(platform: &Arc<Platform>, call: &Call) -> Result<Arc<Catalogue>, Refusal> {
    shown(platform, call, "catalogue").await
}

/// The catalogue, and the record that `what` of it was looked at.
async fn shown(platform: &Platform, call: &Call, what: &str) -> Result<Arc<Catalogue>, Refusal> {
    let caller = look_around(platform, call).await?;
    platform.note_shown(&caller, Verb::ReadCatalogue, |record| record.detail = Some(what.to_owned())).await;
    Ok(Arc::clone(&platform.door.world().catalogue.published))
}

/// Actions in which every word occurs: in command, title, description or id. Each with whether the caller may do it.
///
/// # Errors
/// Not signed in.
pub async fn search_actions(
    platform: &Arc<Platform>,
    call: &Call,
    words: &str,
) -> Result<Vec<OfferedAction>, Refusal> {
    let given: String = words.chars().take(SHOWN).collect();
    let caller = look_around(platform, call).await?;
    let detail = format!("search {given}");
    platform.note_shown(&caller, Verb::ReadCatalogue, |record| record.detail = Some(detail)).await;
    let world = platform.door.world();
    let words: Vec<String> = words.split_whitespace().map(str::to_lowercase).collect();
    // Thousands of actions take a while, and whoever shares the thread shall not wait for them.
    let absent = absent(platform);
    tokio::task::spawn_blocking(move || found(&world, &caller, &absent, &words)).await.map_err(|error| {
        tracing::error!(%error, "a search for actions broke off");
        Problem::new(code::INTERNAL, "the search broke off")
            .next("tell whoever runs this gateway: its log says more")
            .into()
    })
}

/// Providers that register themselves and are not there, and since when.
type Absent = BTreeMap<String, Timestamp>;

fn absent(platform: &Platform) -> Absent {
    let status = platform.providers.status().into_iter();
    status
        .filter(|provider| provider.state == "absent")
        .map(|provider| (provider.name, provider.since))
        .collect()
}

fn found(world: &World, caller: &Caller, absent: &Absent, words: &[String]) -> Vec<OfferedAction> {
    let has = |action: &Action| {
        let text = format!(
            "{} {} {} {}",
            action.command.join(" "),
            action.title,
            action.description.as_deref().unwrap_or_default(),
            action.id
        )
        .to_lowercase();
        words.iter().all(|word| text.contains(word))
    };
    let found = world.catalogue.published.actions.iter().filter(|action| has(action));
    found.map(|action| offered(world, caller, absent, action)).collect()
}

/// What is forbidden is told, not hidden.
fn offered(world: &World, caller: &Caller, absent: &Absent, action: &Action) -> OfferedAction {
    let for_me = world.policies.outlook(&Prospect {
        principal: &caller.principal,
        action,
        // Without `{members}` of the input, what it acts on is known beforehand.
        resource: action.resource.as_deref().filter(|template| !template.contains('{')),
        environment: &world.environment,
        surface: caller.surface,
    });
    let absent_since = absent.get(&action.provider).copied();
    OfferedAction { action: action.clone(), for_me, absent_since }
}

/// One action, with whether the caller may do it.
///
/// # Errors
/// Not signed in; unknown.
pub async fn read_action(platform: &Arc<Platform>, call: &Call, id: &str) -> Result<OfferedAction, Refusal> {
    let caller = look_around(platform, call).await?;
    let world = platform.door.world();
    if let Some(action) = world.catalogue.published.action(id) {
        let known = |record: &mut guichet_contract::Record| {
            record.action = Some(action.id.clone());
            record.action_version = Some(action.version.clone());
        };
        platform.note_shown(&caller, Verb::ReadCatalogue, known).await;
        return Ok(offered(&world, &caller, &absent(platform), action));
    }
    let shown: String = id.chars().take(SHOWN).collect();
    let mut record = platform.door.record_of(&caller, Verb::ReadCatalogue, RecordVerdict::Refused);
    record.detail = Some(format!("action {shown}"));
    let problem = Problem::new(code::UNKNOWN_ACTION, format!("no action is called `{shown}`"))
        .next("`guichet actions list` shows those there are");
    Err(platform.door.refuse(record, problem).await)
}

/// How the providers stand.
///
/// # Errors
/// Not signed in.
pub async fn list_providers(platform: &Arc<Platform>, call: &Call) -> Result<Vec<ProviderStatus>, Refusal> {
    shown(platform, call, "providers").await?;
    Ok(platform.providers.status())
}

/// How one provider stands.
///
/// # Errors
/// Not signed in; unknown.
pub async fn read_provider(
    platform: &Arc<Platform>,
    call: &Call,
    name: &str,
) -> Result<ProviderStatus, Refusal> {
    let given: String = name.chars().take(SHOWN).collect();
    let caller = look_around(platform, call).await?;
    if let Some(known) = platform.providers.status().into_iter().find(|known| known.name == name) {
        let detail = format!("provider {given}");
        platform.note_shown(&caller, Verb::ReadCatalogue, |record| record.detail = Some(detail)).await;
        return Ok(known);
    }
    let mut record = platform.door.record_of(&caller, Verb::ReadCatalogue, RecordVerdict::Refused);
    record.detail = Some(format!("provider {given}"));
    let problem = Problem::new(code::UNKNOWN_PROVIDER, format!("no provider is called `{given}`"))
        .next("`guichet providers list` shows those there are");
    Err(platform.door.refuse(record, problem).await)
}
