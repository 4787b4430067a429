//! What is remembered of a gateway: its catalogue, so that help and completion need no network.
//!
//! `~/.cache/guichet/CONTEXT/state.json` is small (environment, tag, moment) and `catalogue.json` is large;
//! the large one is read only when a provider's command is typed. A memory of another gateway (the context was
//! pointed elsewhere) counts as none.

use guichet_client::{CatalogueAnswer, Client};
use guichet_contract::{Catalogue, Clock, SystemClock};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    failure::Failure,
    files,
    settings::{Context, Settings},
};

/// Seconds within which the catalogue is not asked for again after a command.
const FRESH_SECONDS: i64 = 30;

/// The small file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct State {
    /// Whose catalogue this is.
    pub(crate) gateway: String,
    /// What that gateway serves.
    pub(crate) environment: String,
    /// Its tag.
    #[serde(default)]
    pub(crate) etag: Option<String>,
    /// When the gateway last said that this is the newest.
    pub(crate) checked_at: Timestamp,
}

/// What is remembered of the chosen gateway.
pub(crate) fn load_state(settings: &Settings) -> Option<State> {
    let context = settings.context_if_any()?;
    let text = files::read(&settings.cache_dir(&context.name).join("state.json")).ok()??;
    let state: State = serde_json::from_str(&text).ok()?;
    (state.gateway == context.gateway).then_some(state)
}

/// The remembered catalogue of the chosen gateway.
pub(crate) fn load_catalogue(settings: &Settings) -> Option<Catalogue> {
    load_state(settings)?;
    let context = settings.context_if_any()?;
    let text = files::read(&settings.cache_dir(&context.name).join("catalogue.json")).ok()??;
    serde_json::from_str(&text).ok()
}

/// Whether the memory is young enough not to be checked again.
pub(crate) fn is_fresh(settings: &Settings) -> bool {
    load_state(settings).is_some_and(|state| {
        let age = SystemClock.now().as_second() - state.checked_at.as_second();
        (0..FRESH_SECONDS).contains(&age)
    })
}

/// Asks the gateway whether it has a newer catalogue, and remembers it. `None` when it has not.
pub(crate) async fn refresh(
    client: &Client,
    settings: &Settings,
    context: &Context,
) -> Result<Option<Catalogue>, Failure> {
    let directory = settings.cache_dir(&context.name);
    let known = load_state(settings).filter(|state| state.gateway == context.gateway);
    let has_catalogue = directory.join("catalogue.json").exists();
    let etag = known.as_ref().filter(|_| has_catalogue).and_then(|state| state.etag.clone());
    let answer = client.catalogue(etag.as_deref()).await?;
    let state = match &answer {
        Some(CatalogueAnswer { catalogue, etag }) => {
            let text = serde_json::to_vec(catalogue)
                .map_err(|error| Failure::file(&directory.join("catalogue.json"), error))?;
            files::write(&directory.join("catalogue.json"), &text)?;
            State {
                gateway: context.gateway.clone(),
                environment: catalogue.environment.clone(),
                etag: etag.clone(),
                checked_at: SystemClock.now(),
            }
        }
        None => match known {
            Some(known) => State { checked_at: SystemClock.now(), ..known },
            None => return Ok(None),
        },
    };
    let path = directory.join("state.json");
    let text = serde_json::to_vec(&state).map_err(|error| Failure::file(&path, error))?;
    files::write(&path, &text)?;
    Ok(answer.map(|answer| answer.catalogue))
}
