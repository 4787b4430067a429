//! What this gateway offers, and how its providers stand.

use std::sync::Arc;

use guichet_admission::{Call, Caller, Refusal, World};
use guichet_contract::{Action, Catalogue, OfferedAction, Problem, code};
use guichet_rules::Prospect;

use crate::{platform::Platform, providers::ProviderStatus, who_am_i::who_am_i};

/// The whole catalogue.
///
/// # Errors
/// Not signed in.
pub async fn read_catalogue(platform: &Arc<Platform>, call: &Call) -> Result<Arc<Catalogue>, Refusal> {
    who_am_i(platform, call).await?;
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
    let caller = who_am_i(platform, call).await?;
    let world = platform.door.world();
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
    let found = world.catalogue.published.actions.iter().filter(|action| has(action));
    Ok(found.map(|action| offered(&world, &caller, action)).collect())
}

/// What is forbidden is told, not hidden.
fn offered(world: &World, caller: &Caller, action: &Action) -> OfferedAction {
    let for_me = world.policies.outlook(&Prospect {
        principal: &caller.principal,
        action,
        // Without `{members}` of the input, what it acts on is known beforehand.
        resource: action.resource.as_deref().filter(|template| !template.contains('{')),
        environment: &world.environment,
        surface: caller.surface,
    });
    OfferedAction { action: action.clone(), for_me }
}

/// One action, with whether the caller may do it.
///
/// # Errors
/// Not signed in; unknown.
pub async fn read_action(platform: &Arc<Platform>, call: &Call, id: &str) -> Result<OfferedAction, Refusal> {
    let caller = who_am_i(platform, call).await?;
    let world = platform.door.world();
    let action = world.catalogue.published.action(id);
    action.map(|action| offered(&world, &caller, action)).ok_or_else(|| {
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
