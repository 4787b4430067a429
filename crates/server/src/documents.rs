//! Providers' documents: read at the start, when an answer says that one has changed, and now and then. The last good
//! one of each is kept on disk with what was read in it, so that a gateway starts soon, and while a provider is down.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use guichet_contract::{Clock, Digest};
use guichet_dispatch::{Document, DocumentError, Provider};
use guichet_operations::{offer::Offer, reload_settings::Source};
use serde_json::Value;

use crate::{
    kept_offer,
    providers::{Holder, Manner},
    sources,
    whole_file::write_whole,
};

/// The documents in force.
pub struct Documents {
    folder: PathBuf,
    manners: BTreeMap<String, Manner>,
    current: BTreeMap<String, Source>,
    /// Those that are not kept on disk yet.
    unkept: BTreeMap<String, Value>,
    ahead: ReadAhead,
}

/// What was read in kept documents before it was known of which providers there are any.
#[derive(Default)]
pub struct ReadAhead(BTreeMap<String, (Manner, (Digest, Offer))>);

impl ReadAhead {
    /// Reads what was kept of these at the last run. Changes nothing, so that it can be done before the folder is this process's.
    pub fn of(data: &Path, manners: BTreeMap<String, Manner>) -> Self {
        let folder = folder(data);
        let read = |(name, manner): (String, Manner)| {
            kept_offer::read(&folder, &name, &manner).map(|read| (name, (manner, read)))
        };
        Self(manners.into_iter().filter_map(read).collect())
    }

    fn take(&mut self, name: &str, manner: &Manner) -> Option<(Digest, Offer)> {
        self.0.remove(name).filter(|(of, _)| of == manner).map(|(_, read)| read)
    }
}

fn folder(data: &Path) -> PathBuf {
    data.join("documents")
}

impl Documents {
    /// With those that were kept at the last run, for the providers that are configured.
    pub fn kept(data: &Path, manners: BTreeMap<String, Manner>) -> Self {
        Self::kept_with(data, manners, ReadAhead::default())
    }

    /// The same, where some have been read already.
    pub fn kept_with(data: &Path, manners: BTreeMap<String, Manner>, ahead: ReadAhead) -> Self {
        let mut documents = Self {
            folder: folder(data),
            manners: BTreeMap::new(),
            current: BTreeMap::new(),
            unkept: BTreeMap::new(),
            ahead,
        };
        documents.configure(manners);
        documents.ahead = ReadAhead::default();
        documents
    }

    /// From now on, these providers, whose documents are read so. What was kept of those that are new, or are read otherwise
    /// now, is read again.
    pub fn configure(&mut self, manners: BTreeMap<String, Manner>) {
        let before = std::mem::replace(&mut self.manners, manners);
        let mut old = std::mem::take(&mut self.current);
        for (name, manner) in self.manners.clone() {
            let known = before.get(&name);
            match old.remove(&name) {
                Some(old) if known == Some(&manner) => {
                    self.current.insert(name, old);
                }
                _ if known.is_some_and(|known| known.holder != manner.holder) => self.forget(&name),
                old => {
                    self.take_kept(&name, old);
                }
            }
        }
        self.unkept.retain(|name, _| self.manners.contains_key(name));
    }

    /// Begins with what was kept of a provider's document; with what was read in it before, if it can no longer be read. Says
    /// whether there was something.
    fn take_kept(&mut self, name: &str, old: Option<Source>) -> bool {
        let Some(manner) = self.manners.get(name) else { return false };
        let ahead = self.ahead.take(name, manner);
        if let Some((digest, offer)) = ahead.or_else(|| kept_offer::read(&self.folder, name, manner)) {
            self.current.insert(name.to_owned(), Source { offer: Ok(Arc::new(offer)), digest });
            return true;
        }
        if !self.unkept.contains_key(name) && !kept_offer::is_of(&self.folder, name, manner) {
            self.forget(name);
            return false;
        }
        let text = fs::read(kept_offer::document_of(&self.folder, name)).ok();
        let kept = || serde_json::from_slice::<Value>(text.as_ref()?).ok();
        let Some(document) = self.unkept.remove(name).or_else(kept) else { return false };
        let source = manner.read(name, &document, &Digest::of_json(&document));
        self.unkept.insert(name.to_owned(), document);
        let source = match (old, &source.offer) {
            (Some(old), Err(why)) => {
                tracing::error!(
                    provider = name,
                    why,
                    "the document cannot be read so; what was offered stays"
                );
                old
            }
            _ => source,
        };
        self.current.insert(name.to_owned(), source);
        true
    }

    /// Those of a folder, `NAME.json` each, for the providers that are configured; nobody is asked.
    ///
    /// # Errors
    /// A file that cannot be read, or is no JSON.
    pub fn saved(folder: &Path, manners: BTreeMap<String, Manner>) -> Result<Self, Vec<String>> {
        let mut current = saved(folder, |name| manners.get(name).cloned().unwrap_or_default())?;
        current.retain(|name, _| manners.contains_key(name));
        Ok(Self {
            folder: folder.to_owned(),
            manners,
            current,
            unkept: BTreeMap::new(),
            ahead: ReadAhead::default(),
        })
    }

    /// Whether what is in force under this name is somebody else's, who had it before.
    pub fn is_of_another(&self, name: &str, holder: &Holder) -> bool {
        self.manners.get(name).is_some_and(|known| known.holder.as_ref() != Some(holder))
    }

    /// From now on, also those of a provider that is new, or whose documents are read otherwise now, beginning with the one that
    /// was kept. Says whether one was.
    pub fn begin(&mut self, name: &str, manner: Manner) -> bool {
        if self.manners.get(name) == Some(&manner) {
            return false;
        }
        self.manners.insert(name.to_owned(), manner);
        let old = self.current.remove(name);
        let had_one = old.is_some();
        self.take_kept(name, old) || had_one
    }

    /// Those of a provider that is gone are no longer in force. Says whether one was.
    pub fn end(&mut self, name: &str) -> bool {
        self.manners.remove(name);
        self.forget(name);
        self.current.remove(name).is_some()
    }

    /// The name is another's. Without the files there is nothing to begin with, and that is all.
    fn forget(&mut self, name: &str) {
        self.unkept.remove(name);
        let _ = fs::remove_file(kept_offer::document_of(&self.folder, name));
        let _ = fs::remove_file(kept_offer::path_of(&self.folder, name));
    }

    /// Of whom.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.manners.keys()
    }

    /// As they stand.
    pub fn current(&self) -> &BTreeMap<String, Source> {
        &self.current
    }

    /// Asks every provider; gives whether any document has changed.
    pub async fn refresh(&mut self, providers: &[Arc<Provider>], clock: &dyn Clock) -> bool {
        let asked: Vec<_> = providers
            .iter()
            .map(|provider| {
                let provider = Arc::clone(provider);
                tokio::spawn(async move {
                    let read = provider.read_document().await;
                    (provider, read)
                })
            })
            .collect();
        let mut changed = false;
        for answer in asked {
            let Ok((provider, read)) = answer.await else { continue };
            changed |= self.take(&provider, read, clock);
        }
        changed
    }

    fn take(
        &mut self,
        provider: &Provider,
        read: Result<Option<Document>, DocumentError>,
        clock: &dyn Clock,
    ) -> bool {
        match read {
            Ok(None) => {
                // Not changed, and reachable again if it was not.
                provider.note_reachable(clock.now());
                false
            }
            Ok(Some(document)) => {
                let manner = self.manners.get(&provider.name).cloned().unwrap_or_default();
                let known = self.current.get(&provider.name).map(|source| &source.digest);
                let changed = known != Some(&manner.digest(&document.digest));
                // Also when it is the one that was kept: its operations are noted by the reload.
                if !changed {
                    return true;
                }
                let source = manner.read(&provider.name, &document.value, &document.digest);
                if let Err(why) = source.offer {
                    tracing::error!(
                        provider = provider.name,
                        why,
                        "the provider's new document is refused; the old one stays"
                    );
                    provider.note_problem(clock.now(), why, true);
                    return false;
                }
                self.current.insert(provider.name.clone(), source);
                self.unkept.insert(provider.name.clone(), document.value);
                tracing::info!(provider = provider.name, "the provider's document was read");
                true
            }
            Err(error) => {
                tracing::warn!(provider = provider.name, %error, "the provider's document cannot be had");
                let refused = matches!(error, DocumentError::Unusable(_));
                provider.note_problem(clock.now(), error.to_string(), refused);
                false
            }
        }
    }

    /// Keeps a document that was found good, and what was read in it.
    pub fn keep(&mut self, name: &str) {
        let Some(Source { offer: Ok(offer), digest }) = self.current.get(name) else { return };
        let Some(document) = self.unkept.remove(name) else { return };
        let (text, kept) = (document.to_string(), kept_offer::document_of(&self.folder, name));
        let manner = self.manners.get(name).cloned().unwrap_or_default();
        let written = fs::create_dir_all(&self.folder)
            .and_then(|()| write_whole(&kept, text.as_bytes(), 0o644))
            .and_then(|()| kept_offer::write(&self.folder, name, &manner, digest, offer));
        if let Err(error) = written {
            tracing::warn!(provider = name, %error, "the document could not be kept for the next start");
        }
    }
}

/// The documents of a folder by provider: every `NAME.json` in it. `manner` tells how each is read.
///
/// # Errors
/// A folder or file that cannot be read, or is no JSON.
pub fn saved(
    folder: &Path,
    manner: impl Fn(&str) -> Manner,
) -> Result<BTreeMap<String, Source>, Vec<String>> {
    let files = sources::read_folder(folder, "json").map_err(|why| vec![why])?;
    let (mut found, mut faults) = (BTreeMap::new(), Vec::new());
    for (file, text) in files {
        let name = Path::new(&file).file_stem().map(|stem| stem.to_string_lossy().into_owned());
        match serde_json::from_str::<Value>(&text) {
            Ok(document) => {
                let name = name.unwrap_or_default();
                let source = manner(&name).read(&name, &document, &Digest::of_json(&document));
                found.insert(name, source);
            }
            Err(error) => {
                faults.push(format!("{file}:{}:{}: no JSON: {error}", error.line(), error.column()));
            }
        }
    }
    if faults.is_empty() { Ok(found) } else { Err(faults) }
}
