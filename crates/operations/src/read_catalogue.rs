//! What this gateway offers, and how its providers stand.

use std::sync::Arc;

use guichet_admission::{Call, Refusal};
use guichet_contract::{Action, Catalogue, Problem, code};

use crate::{platform::Platform, providers::ProviderStatus, who_am_i::who_am_i};

/// The whole catalogue.
///
/// # Errors
/// Not signed in.
pub async fn read_catalogue(platform: &Arc<Platform>, call: &Call) -> Result<Arc<Catalogue>, Refusal> {
    who_am_i(platform, call).await?;
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
    let catalogue = read_catalogue(platform, call).await?;
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
    let catalogue = read_catalogue(platform, call).await?;
    catalogue.action(id).cloned().ok_or_else(|| {
        let shown: String = id.chars().take(200).collect();
        Problem::new(code::UNKNOWN_ACTION, format!("no action is called `{shown}`"))
            .next("`guichet actions list` shows those there are")
            .into()
    })
}

/// How the providers stand.
///
/// # Errors
/// Not signed in.
pub async fn list_providers(platform: &Arc<Platform>, call: &Call) -> Result<Vec<ProviderStatus>, Refusal> {
    who_am_i(platform, call).await?;
    Ok(platform.providers.status())
}
