//! What is remembered of a gateway: its catalogue, so that help and completion need no network.
//!
//! `~/.cache/guichet/CONTEXT/state.json` is small (environment, tag, moment). `catalogue.jsonl` is large: its first line
//! is an outline (which actions there are, by which words, and where in the file each is), every further line is one
//! action. Of a thousand actions, help reads the outline and a command its own line. A memory of another gateway (the
//! context was pointed elsewhere) counts as none. The tag is sent only with what was written by this version to its end:
//! whatever else is there is fetched anew, not called the newest.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom},
    path::PathBuf,
};

use guichet_client::{CatalogueAnswer, Client};
use guichet_contract::{Action, ActionId, Catalogue, Clock, Digest, SystemClock};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    failure::Failure,
    files,
    settings::{Context, Settings},
};

/// What reads what it wrote itself.
const VERSION: &str = env!("CARGO_PKG_VERSION");
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

/// The catalogue as it is remembered: an outline in memory, the actions in the file.
#[derive(Debug, Clone)]
pub(crate) struct Remembered {
    outline: Outline,
    /// Length of the first line, with its end.
    head: u64,
    path: PathBuf,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Outline {
    /// The version that wrote it.
    #[serde(default)]
    written_by: String,
    digest: Digest,
    environment: String,
    actions: Vec<Entry>,
}

/// What is known of an action without reading it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) id: ActionId,
    pub(crate) provider: String,
    pub(crate) command: Vec<String>,
    pub(crate) title: String,
    /// Bytes from the end of the first line.
    at: u64,
    bytes: u64,
}

/// The remembered catalogue of the chosen gateway.
pub(crate) fn load_catalogue(settings: &Settings) -> Option<Remembered> {
    load_state(settings)?;
    let context = settings.context_if_any()?;
    Remembered::open(catalogue_path(settings, context))
}

fn catalogue_path(settings: &Settings, context: &Context) -> PathBuf {
    settings.cache_dir(&context.name).join("catalogue.jsonl")
}

impl Remembered {
    fn open(path: PathBuf) -> Option<Self> {
        let mut line = Vec::new();
        let head =
            BufReader::with_capacity(1 << 16, File::open(&path).ok()?).read_until(b'\n', &mut line).ok()?;
        let outline = serde_json::from_slice(&line).ok()?;
        Some(Self { outline, head: head as u64, path })
    }

    /// Whether it was written by this version, and to its end.
    fn is_whole(&self) -> bool {
        let lines = self.entries().last().map_or(0, |last| last.at + last.bytes + 1);
        let length = std::fs::metadata(&self.path).map(|file| file.len()).ok();
        self.outline.written_by == VERSION && length == Some(self.head + lines)
    }

    /// All actions, in the order of their commands.
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.outline.actions
    }

    /// The action of this id. A file that was written anew meanwhile gives another one, which counts as none.
    pub(crate) fn action(&self, id: &str) -> Option<Action> {
        let entry = self.entries().iter().find(|entry| entry.id.as_str() == id)?;
        let mut file = File::open(&self.path).ok()?;
        file.seek(SeekFrom::Start(self.head + entry.at)).ok()?;
        let mut text = Vec::new();
        file.take(entry.bytes).read_to_end(&mut text).ok()?;
        let action: Action = serde_json::from_slice(&text).ok()?;
        (action.id == entry.id).then_some(action)
    }

    /// All of it.
    pub(crate) fn whole(&self) -> Option<Catalogue> {
        let text = files::read(&self.path).ok()??;
        let actions = text.lines().skip(1).map(serde_json::from_str).collect::<Result<_, _>>().ok()?;
        let Outline { digest, environment, .. } = self.outline.clone();
        Some(Catalogue { digest, environment, actions })
    }
}

fn text_of(catalogue: &Catalogue) -> serde_json::Result<Vec<u8>> {
    let mut lines = Vec::new();
    let mut actions = Vec::with_capacity(catalogue.actions.len());
    for action in &catalogue.actions {
        let at = lines.len();
        serde_json::to_writer(&mut lines, action)?;
        actions.push(Entry {
            id: action.id.clone(),
            provider: action.provider.clone(),
            command: action.command.clone(),
            title: action.title.clone(),
            at: at as u64,
            bytes: (lines.len() - at) as u64,
        });
        lines.push(b'\n');
    }
    let outline = Outline {
        written_by: VERSION.to_owned(),
        digest: catalogue.digest.clone(),
        environment: catalogue.environment.clone(),
        actions,
    };
    let mut text = serde_json::to_vec(&outline)?;
    text.push(b'\n');
    text.append(&mut lines);
    Ok(text)
}

/// Whether the memory is young enough not to be checked again.
pub(crate) fn is_fresh(settings: &Settings) -> bool {
    load_state(settings).is_some_and(|state| {
        let age = SystemClock.now().as_second() - state.checked_at.as_second();
        (0..FRESH_SECONDS).contains(&age)
    })
}

/// How the catalogue is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asking {
    /// Unless it is the one that is remembered.
    IfNewer,
    /// In any case: what is remembered cannot be read.
    Anew,
}

/// Asks the gateway for its catalogue, and remembers it. `None` when it has no newer one.
pub(crate) async fn refresh(
    client: &Client,
    settings: &Settings,
    context: &Context,
    asking: Asking,
) -> Result<Option<Remembered>, Failure> {
    let directory = settings.cache_dir(&context.name);
    let path = catalogue_path(settings, context);
    let known = load_state(settings).filter(|state| state.gateway == context.gateway);
    let etag = known
        .as_ref()
        .filter(|_| asking == Asking::IfNewer)
        .filter(|_| Remembered::open(path.clone()).is_some_and(|remembered| remembered.is_whole()))
        .and_then(|state| state.etag.clone());
    let answer = client.catalogue(etag.as_deref()).await?;
    let is_newer = answer.is_some();
    let state = match answer {
        Some(CatalogueAnswer { catalogue, etag }) => {
            let text = text_of(&catalogue).map_err(|error| Failure::file(&path, error))?;
            files::write(&path, &text)?;
            State {
                gateway: context.gateway.clone(),
                environment: catalogue.environment,
                etag,
                checked_at: SystemClock.now(),
            }
        }
        None => match known {
            Some(known) => State { checked_at: SystemClock.now(), ..known },
            None => return Ok(None),
        },
    };
    let state_path = directory.join("state.json");
    let text = serde_json::to_vec(&state).map_err(|error| Failure::file(&state_path, error))?;
    files::write(&state_path, &text)?;
    Ok(if is_newer { Remembered::open(path) } else { None })
}
