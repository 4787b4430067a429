//! A provider that is ready to answer: everything that can be made before the first call is made here.

use std::{sync::Arc, time::Duration};

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
    provider::{MakePlan, Mistakes, Perform, Provider},
    replay::{Bounds, Replay},
    routes::Routes,
    token::Verifier,
};

/// A provider with its keys, ready to answer calls. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct Prepared {
    pub(crate) desk: Arc<Desk>,
}

/// All that answers calls.
pub(crate) struct Desk {
    pub(crate) name: String,
    pub(crate) actions: Vec<ReadyAction>,
    pub(crate) routes: Routes,
    pub(crate) mistakes: Vec<String>,
    pub(crate) verifier: Verifier,
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
}

impl Prepared {
    pub(crate) fn new(provider: Provider, keys: Keys) -> Self {
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
            });
        }
        let etag = HeaderValue::from_str(&etag).unwrap_or_else(|_| {
            mistakes.push("its document has no digest".to_owned());
            HeaderValue::from_static("\"\"")
        });
        for mistake in &mistakes {
            tracing::error!(provider = provider.name, "{mistake}");
        }
        let desk = Desk {
            verifier: Verifier::new(provider.name.clone(), keys, Arc::clone(&provider.clock)),
            name: provider.name,
            actions,
            routes,
            mistakes,
            document,
            etag,
            replay: Arc::new(Replay::new(Bounds::default(), Arc::clone(&provider.clock))),
            clock: provider.clock,
            one_process: provider.one_process,
            places: Arc::new(Semaphore::new(provider.calls_at_once)),
            tasks: TaskTracker::new(),
            body_limit: provider.body_limit,
        };
        Self { desk: Arc::new(desk) }
    }

    /// As a router. Every router of one `Prepared` shares its memory of changes.
    pub fn router(&self) -> Router {
        let desk = Arc::clone(&self.desk);
        Router::new().fallback(move |request: Request| {
            let desk = Arc::clone(&desk);
            async move { answer(desk, request).await }
        })
    }

    /// What is wrong with the declarations.
    pub fn check(&self) -> Result<(), Mistakes> {
        Mistakes::none_or(self.desk.mistakes.clone())
    }

    /// The name of the provider.
    pub fn name(&self) -> &str {
        &self.desk.name
    }

    /// Waits until no change is under way, at most this long. Answers how many still are. Those that are resumable end after
    /// their present step: another process goes on.
    pub async fn drain(&self, limit: Duration) -> usize {
        self.desk.replay.stop();
        self.desk.tasks.close();
        let _ = tokio::time::timeout(limit, self.desk.tasks.wait()).await;
        self.desk.tasks.len()
    }
}

async fn answer(desk: Arc<Desk>, request: Request) -> Response {
    let mut response = call::answer(&desk, request).await;
    let _ = response.headers_mut().insert("guichet-document", desk.etag.clone());
    response
}
