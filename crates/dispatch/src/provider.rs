//! One provider as the gateway sees it: how to reach it, how much it may be asked, how it stands.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use guichet_contract::{Digest, Problem, ProviderStatus, Registration, code};
use guichet_operations::ProviderError;
use jiff::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{breaker::Breaker, credentials::Credentials, instances::Instances, transport::Transport};

/// Questions at once beyond the calls that a provider may have: an eighth of those, and no more than this.
const QUESTIONS: usize = 8;

/// How much one provider may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Calls at once; one provider's slowness does not eat another's room. Questions may be a few more: see [`Asking`].
    pub at_once: usize,
    /// How long a call waits for room before it is told that the provider is busy.
    pub wait: Duration,
    /// Largest answer, bytes.
    pub answer_bytes: usize,
    /// Largest document, bytes.
    pub document_bytes: usize,
    /// How long reading the document may take.
    pub document_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            at_once: 64,
            wait: Duration::from_secs(2),
            answer_bytes: 8 * 1024 * 1024,
            document_bytes: 16 * 1024 * 1024,
            document_time: Duration::from_secs(20),
        }
    }
}

/// What a call is for, and so which room it may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asking {
    /// It acts, or reads.
    Work,
    /// It changes nothing and is answered soon: a plan, what became of a run, that one shall stop. It has a few places of its own
    /// beside those of all calls: runs that hang must neither keep themselves from being stopped nor others from being asked after.
    Question,
}

/// Where a document is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DocumentPlace {
    /// Asked for over HTTP.
    Url(String),
    /// Read from a file.
    File(PathBuf),
}

/// A service that has an OpenAPI document and knows nothing of gateways.
#[derive(Debug)]
pub struct Foreign {
    /// Its document, JSON or YAML.
    pub document: DocumentPlace,
    /// What it is shown.
    pub credentials: Credentials,
    /// It is shown the gateway's token as well: who calls.
    pub shows_token: bool,
    /// Addresses beside its own that its document may send calls to.
    pub servers: Vec<String>,
}

/// `https://host:port` of an address, in lower case.
pub fn origin(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default().to_ascii_lowercase();
    let scheme = scheme.to_ascii_lowercase();
    let usual = if scheme == "https" { ":443" } else { ":80" };
    format!("{scheme}://{}", authority.strip_suffix(usual).unwrap_or(&authority))
}

/// One provider.
#[derive(Debug)]
pub struct Provider {
    /// Its name.
    pub name: String,
    pub(crate) transport: Transport,
    pub(crate) limits: Limits,
    pub(crate) foreign: Option<Foreign>,
    /// Who added it and as what; none of one that is configured or registers itself.
    added: Option<Arc<Registration>>,
    room: Arc<Semaphore>,
    /// For questions alone, when there is no other room.
    questions: Arc<Semaphore>,
    breaker: Mutex<Breaker>,
    standing: Mutex<Standing>,
}

/// What is told of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Standing {
    pub(crate) operations: usize,
    pub(crate) since: Option<Timestamp>,
    pub(crate) problem: Option<String>,
    pub(crate) refused: bool,
    pub(crate) warnings: Vec<String>,
    /// What was left out.
    pub(crate) refusals: Vec<String>,
    pub(crate) document: Option<Digest>,
    pub(crate) etag: Option<String>,
    /// Digest of the document as it was served last.
    pub(crate) served: Option<Digest>,
}

impl Provider {
    /// A provider that has not been asked anything yet.
    pub fn new(name: impl Into<String>, transport: Transport, limits: Limits) -> Self {
        Self {
            name: name.into(),
            transport,
            limits,
            foreign: None,
            added: None,
            room: Arc::new(Semaphore::new(limits.at_once.max(1))),
            questions: Arc::new(Semaphore::new((limits.at_once / 8).clamp(1, QUESTIONS))),
            breaker: Mutex::new(Breaker::default()),
            standing: Mutex::new(Standing::default()),
        }
    }

    /// One that knows nothing of gateways: its document is elsewhere, it has its own way of knowing who calls, and it is sent
    /// nothing that only a provider understands.
    #[must_use]
    pub fn with_foreign(mut self, foreign: Foreign) -> Self {
        self.foreign = Some(foreign);
        self
    }

    /// One that somebody added, as it is kept.
    #[must_use]
    pub fn with_registration(mut self, added: Arc<Registration>) -> Self {
        self.added = Some(added);
        self
    }

    /// How many calls of it go at once.
    pub fn calls_at_once(&self) -> usize {
        self.limits.at_once
    }

    /// Whether it is built in, so that asking it costs next to nothing.
    pub fn is_embedded(&self) -> bool {
        matches!(self.transport, Transport::Embedded(_))
    }

    /// Whether its document is read from a file, which nobody tells of when it changes.
    pub fn has_document_in_file(&self) -> bool {
        self.foreign.as_ref().is_some_and(|foreign| matches!(foreign.document, DocumentPlace::File(_)))
    }

    /// Who answers a call, by its own address or by the one that the operation names.
    pub(crate) fn base_of(&self, server: Option<&str>) -> Result<String, ProviderError> {
        let base = self.transport.base();
        let Some(server) = server.filter(|_| !base.is_empty()) else { return Ok(base.to_owned()) };
        let own = origin(base);
        if !server.contains("://") {
            return Ok(format!("{own}/{}", server.trim_start_matches("./").trim_matches('/')));
        }
        let listed = self.foreign.iter().flat_map(|foreign| &foreign.servers);
        if origin(server) == own || listed.into_iter().any(|listed| origin(listed) == origin(server)) {
            return Ok(server.to_owned());
        }
        // A document must not choose who is shown the gateway's credentials.
        Err(ProviderError::NotSent(
            Problem::new(
                code::PROVIDER_UNREACHABLE,
                format!("the document of provider {} has this answered by {server}, which is not configured", self.name),
            )
            .next("nothing was done; add that address to `servers` of this provider in the gateway's configuration"),
        ))
    }

    /// Room for one call, or why there is none.
    pub(crate) async fn enter(
        &self,
        asking: Asking,
        now: Timestamp,
    ) -> Result<OwnedSemaphorePermit, ProviderError> {
        let any = Arc::clone(&self.room).acquire_owned();
        let permit = async {
            match asking {
                Asking::Work => any.await,
                Asking::Question => tokio::select! {
                    biased;
                    permit = any => permit,
                    permit = Arc::clone(&self.questions).acquire_owned() => permit,
                },
            }
        };
        let Ok(Ok(permit)) = tokio::time::timeout(self.limits.wait, permit).await else {
            return Err(ProviderError::NotSent(
                Problem::new(
                    code::PROVIDER_BUSY,
                    format!(
                        "provider {} has {} calls under way, as many as it may have",
                        self.name, self.limits.at_once
                    ),
                )
                .next("nothing was done; try again in a moment"),
            ));
        };
        if let Err(until) = self.breaker().may_call(now) {
            return Err(ProviderError::NotSent(
                Problem::new(
                    code::PROVIDER_CIRCUIT_OPEN,
                    format!(
                        "provider {} has failed several times in a row and is left in peace until {until:.0}",
                        self.name
                    ),
                )
                .next("nothing was done; try again after that, or tell the provider's owners"),
            ));
        }
        Ok(permit)
    }

    pub(crate) fn succeeded(&self) {
        self.breaker().succeeded();
    }

    pub(crate) fn failed(&self, now: Timestamp) {
        self.breaker().failed(now);
    }

    pub(crate) fn not_tried(&self, now: Timestamp) {
        self.breaker().not_tried(now);
    }

    fn breaker(&self) -> std::sync::MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn standing(&self) -> std::sync::MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what came of reading its document; `refusals` is what was left out of it.
    pub fn note_document(
        &self,
        at: Timestamp,
        digest: Digest,
        operations: usize,
        warnings: Vec<String>,
        refusals: Vec<String>,
    ) {
        let mut standing = self.standing();
        standing.operations = operations;
        standing.since = Some(at);
        standing.problem = None;
        standing.refused = false;
        standing.warnings = warnings;
        standing.refusals = refusals;
        standing.document = Some(digest);
    }

    /// Notes that its document cannot be had, or cannot be used (`refused`). What was offered before stays offered.
    pub fn note_problem(&self, at: Timestamp, problem: String, refused: bool) {
        let mut standing = self.standing();
        if standing.problem.as_ref() != Some(&problem) {
            standing.since = Some(at);
        }
        standing.problem = Some(problem);
        standing.refused = refused;
    }

    /// The `ETag` of the document that was read last.
    pub fn etag(&self) -> Option<String> {
        self.standing().etag.clone()
    }

    /// What is wrong with it, if something is.
    pub fn problem(&self) -> Option<String> {
        self.standing().problem.clone()
    }

    /// Why its document is refused, if it is.
    pub fn refusal(&self) -> Option<String> {
        let standing = self.standing();
        standing.problem.clone().filter(|_| standing.refused)
    }

    /// Notes that it answers; a document that was refused stays refused.
    pub fn note_reachable(&self, at: Timestamp) {
        let mut standing = self.standing();
        if standing.problem.is_some() && !standing.refused {
            standing.problem = None;
            standing.since = Some(at);
        }
    }

    /// Whether nobody may call it, so that asking it is in vain.
    pub fn is_barred(&self) -> bool {
        matches!(self.transport, Transport::Barred(_))
    }

    /// The instances, when it registers itself.
    pub fn instances(&self) -> Option<&Arc<Instances>> {
        match &self.transport {
            Transport::Instances(instances) => Some(instances),
            _ => None,
        }
    }

    /// As it is registered, when it registers itself or was added.
    pub fn registration(&self) -> Option<Arc<Registration>> {
        self.added.clone().or_else(|| Some(self.instances()?.registration()))
    }

    /// Whether it was asked for its document, whatever came of it.
    pub fn was_asked(&self) -> bool {
        let standing = self.standing();
        standing.served.is_some() || standing.problem.is_some()
    }

    /// Why nobody can be called, when it registers itself and no instance is there.
    pub fn absent(&self, now: Timestamp) -> Option<Problem> {
        let instances = self.instances()?;
        let since = instances.absent_since(now)?;
        let owner = instances.owner();
        let detail = format!(
            "provider {} has not been there since {since:.0}: none of its instances has a lease that holds",
            self.name
        );
        let next = format!("nothing was done; try again when it is back, or tell {owner}, who registers it");
        Some(Problem::new(code::PROVIDER_ABSENT, detail).next(next))
    }

    /// From now on it is registered so. Whoever has come is called, however often those before failed.
    pub fn note_registration(&self, registration: Arc<Registration>) {
        if let Some(instances) = self.instances()
            && instances.replace(registration)
        {
            self.succeeded();
        }
    }

    pub(crate) fn status(&self, now: Timestamp) -> ProviderStatus {
        let resting = self.breaker().is_open();
        let mut standing = self.standing().clone();
        let registered = self.registration();
        let absent = registered.as_ref().and_then(|registration| registration.absent_since(now));
        if let Some(since) = absent {
            standing.since = Some(since);
            standing.problem = self.absent(now).map(|problem| problem.detail);
        }
        let state = match (&standing.problem, standing.refused, resting) {
            _ if absent.is_some() => "absent",
            (Some(_), true, _) => "refused",
            (_, _, true) => "resting",
            (Some(_), false, false) => "unreachable",
            (None, ..) => "ready",
        };
        ProviderStatus {
            name: self.name.clone(),
            state: state.to_owned(),
            operations: standing.operations,
            since: standing.since.unwrap_or(now),
            problem: standing.problem,
            warnings: standing.warnings,
            refused: standing.refusals,
            document: standing.document,
            owner: registered.as_ref().map(|registration| registration.owner.clone()),
            service: registered.as_ref().and_then(|registration| registration.service.clone()),
            instances: registered
                .map_or_else(Vec::new, |registration| registration.live(now).cloned().collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn calls_that_hang_keep_no_question_waiting_and_questions_no_call() {
        let limits = Limits { at_once: 16, wait: Duration::from_millis(20), ..Limits::default() };
        let provider = Provider::new("a", Transport::Embedded(axum::Router::new()), limits);
        let enter = |asking| provider.enter(asking, Timestamp::UNIX_EPOCH);
        let mut hanging = Vec::new();
        for _ in 0..16 {
            hanging.push(enter(Asking::Work).await.unwrap());
        }
        let busy = enter(Asking::Work).await.unwrap_err();
        assert_eq!(busy.problem().code, code::PROVIDER_BUSY);
        let asked = [enter(Asking::Question).await.unwrap(), enter(Asking::Question).await.unwrap()];
        assert!(enter(Asking::Question).await.is_err(), "an eighth as many questions");
        // Where there is room, a question takes none of those few.
        drop(hanging.pop());
        let other = enter(Asking::Question).await.unwrap();
        assert!(enter(Asking::Work).await.is_err());
        drop((asked, other));
        let _call = enter(Asking::Work).await.unwrap();
        assert!(enter(Asking::Work).await.is_err(), "the places of questions are theirs");
    }
}
