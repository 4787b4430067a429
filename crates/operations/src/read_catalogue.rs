//! What this gateway offers, and how its providers stand.

use std::sync::Arc;

use guichet_admission::{Call, Refusal};
use guichet_contract::{Action, Catalogue, Problem, RecordVerdict, Verb, code};

use crate::{platform::Platform, providers::ProviderStatus, who_am_i::look_around};

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

/// Actions in which every word occurs: in command, title, description or id.
///
/// # Errors
/// Not signed in.
pub async fn search_actions(
    platform: &Arc<Platform>,
    call: &Call,
    words: &str,
) -> Result<Vec<Action>, Refusal> {
    let given: String = words.chars().take(SHOWN).collect();
    let catalogue = shown(platform, call, &format!("search {given}")).await?;
    let words: Vec<String> = words.split_whitespace().map(str::to_lowercase).collect();
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
    Ok(catalogue.actions.iter().filter(|action| has(action)).cloned().collect())
}

/// One action.
///
/// # Errors
/// Not signed in; unknown.
pub async fn read_action(platform: &Arc<Platform>, call: &Call, id: &str) -> Result<Action, Refusal> {
    let caller = look_around(platform, call).await?;
    let catalogue = Arc::clone(&platform.door.world().catalogue.published);
    if let Some(action) = catalogue.action(id) {
        let known = |record: &mut guichet_contract::Record| {
            record.action = Some(action.id.clone());
            record.action_version = Some(action.version.clone());
        };
        platform.note_shown(&caller, Verb::ReadCatalogue, known).await;
        return Ok(action.clone());
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
