//! A provider that is ready to answer: everything that can be made before the first call is made here.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use axum::{Router, extract::Request, response::Response};
use bytes::Bytes;
use guichet_contract::{
    Clock, Digest, Effect,
    action::Place,
    openapi::{self, Strictness},
};
use http::{HeaderValue, Method};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::{
    call, document,
    input::InputReader,
    keys::Keys,
    provider::{MakePlan, Mistakes, Perform, Provider, Recall},
    replay::{Bounds, Replay},
    routes::Routes,
    token::Verifier,
};

/// A provider with its keys, ready to answer calls. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct Prepared {
    desk: Arc<ArcSwap<Desk>>,
}

/// All that answers calls.
pub(crate) struct Desk {
    pub(crate) name: String,
    pub(crate) actions: Vec<ReadyAction>,
    pub(crate) routes: Routes,
    pub(crate) mistakes: Vec<String>,
    pub(crate) verifier: Arc<Verifier>,
    pub(crate) document: Bytes,
    pub(crate) etag: HeaderValue,
    pub(crate) replay: Arc<Replay>,
    pub(crate) places: Arc<Semaphore>,
    pub(crate) tasks: TaskTracker,
    pub(crate) body_limit: usize,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) one_process: bool,
}

pub(crate) struct ReadyAction {
    pub(crate) operation: String,
    pub(crate) effect: Effect,
    pub(crate) long: bool,
    pub(crate) resumable: bool,
    pub(crate) timeout: Duration,
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) places: Vec<(String, Place)>,
    pub(crate) input: InputReader,
    pub(crate) perform: Perform,
    pub(crate) plan: Option<MakePlan>,
    pub(crate) recall: Option<Recall>,
}

impl Prepared {
    pub(crate) fn new(provider: Provider, keys: Keys) -> Self {
        let kept = Kept {
            verifier: Arc::new(Verifier::new(provider.name.clone(), keys, Arc::clone(&provider.clock))),
            replay: Arc::new(Replay::new(Bounds::default(), Arc::clone(&provider.clock))),
            places: Arc::new(Semaphore::new(provider.calls_at_once)),
            tasks: TaskTracker::new(),
        };
        Self { desk: Arc::new(ArcSwap::from_pointee(Desk::new(provider, kept))) }
    }

    /// Offers from now on what `provider` declares, under the name it has. Calls under way go on as they were begun, and the
    /// memory of changes stays; the next answer tells the gateway that the document is another (`Guichet-Document`).
    /// How many calls are performed at once stays as it was.
    ///
    /// # Errors
    /// [`Mistakes`] in its declarations; then what was offered stays.
    pub fn renew(&self, mut provider: Provider) -> Result<(), Mistakes> {
        let before = self.desk();
        before.name.clone_into(&mut provider.name);
        let kept = Kept {
            verifier: Arc::clone(&before.verifier),
            replay: Arc::clone(&before.replay),
            places: Arc::clone(&before.places),
            tasks: before.tasks.clone(),
        };
        let desk = Desk::new(provider, kept);
        Mistakes::none_or(desk.mistakes.clone())?;
        self.desk.store(Arc::new(desk));
        Ok(())
    }

    /// What answers calls at this moment.
    pub(crate) fn desk(&self) -> Arc<Desk> {
        self.desk.load_full()
    }

    /// As a router. Every router of one `Prepared` shares its memory of changes.
    pub fn router(&self) -> Router {
        let desk = Arc::clone(&self.desk);
        Router::new().fallback(move |request: Request| {
            let desk = desk.load_full();
            async move { answer(desk, request).await }
        })
    }

    /// What is wrong with the declarations.
    pub fn check(&self) -> Result<(), Mistakes> {
        Mistakes::none_or(self.desk().mistakes.clone())
    }

    /// The name of the provider.
    pub fn name(&self) -> String {
        self.desk().name.clone()
    }

    /// Waits until no change is under way, at most this long. Answers how many still are. Those that are resumable end after
    /// their present step: another process goes on.
    pub async fn drain(&self, limit: Duration) -> usize {
        let desk = self.desk();
        desk.replay.stop();
        desk.tasks.close();
        let _ = tokio::time::timeout(limit, desk.tasks.wait()).await;
        desk.tasks.len()
    }
}

/// What stays when other actions are offered.
struct Kept {
    verifier: Arc<Verifier>,
    replay: Arc<Replay>,
    places: Arc<Semaphore>,
    tasks: TaskTracker,
}

impl Desk {
    fn new(provider: Provider, kept: Kept) -> Self {
        let mut mistakes = document::mistakes(&provider);
        let document = document::of(&provider);
        // How the gateway will call the members of each input. A document it cannot read is a mistake already.
        let read =
            openapi::read(&provider.name, &document, Strictness::Strict).map(|reading| reading.actions);
        let read = read.unwrap_or_default();
        let document = Bytes::from(document.to_string());
        let definitions = document::definitions(&provider);
        let etag = format!("\"{}\"", Digest::of_bytes(&document));
        let mut routes = Routes::default();
        let mut actions = Vec::new();
        for declared in provider.actions {
            let (method, path) = declared.route();
            let schema = declared.input_schema();
            let input = InputReader::new(&schema, |member| declared.place_of(member), &definitions);
            let routed = routes.add(method.clone(), &path, actions.len());
            // Both errors are among the mistakes already.
            let (Ok(input), Ok(())) = (input, routed) else { continue };
            let known = read.iter().find(|action| action.operation == declared.operation);
            let input = input.known_as(known.map_or(&[], |action| &action.http.parameters));
            actions.push(ReadyAction {
                effect: declared.effect(),
                long: declared.long,
                resumable: declared.resumable,
                timeout: Duration::from_secs(declared.timeout_seconds),
                places: declared.members().map(|(name, _)| (name.clone(), declared.place_of(name))).collect(),
                operation: declared.operation,
                method,
                path,
                input,
                perform: declared.perform,
                plan: declared.plan,
                recall: declared.recall,
            });
        }
        let etag = HeaderValue::from_str(&etag).unwrap_or_else(|_| {
            mistakes.push("its document has no digest".to_owned());
            HeaderValue::from_static("\"\"")
        });
        for mistake in &mistakes {
            tracing::error!(provider = provider.name, "{mistake}");
        }
        Self {
            verifier: kept.verifier,
            name: provider.name,
            actions,
            routes,
            mistakes,
            document,
            etag,
            replay: kept.replay,
            clock: provider.clock,
            one_process: provider.one_process,
            places: kept.places,
            tasks: kept.tasks,
            body_limit: provider.body_limit,
        }
    }
}

async fn answer(desk: Arc<Desk>, request: Request) -> Response {
    let mut response = call::answer(&desk, request).await;
    let _ = response.headers_mut().insert("guichet-document", desk.etag.clone());
    response
}
