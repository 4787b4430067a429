//! The way of one call to a provider, top to bottom: room, circuit, token, request, deadline, answer.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use guichet_contract::{Clock, Effect, Plan, Problem, ProviderStatus, code};
use guichet_operations::{Advanced, Forwarded, ProviderCall, ProviderError, Providers, Remembered, Reporter};
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use tokio::sync::{Notify, OwnedSemaphorePermit};
use tracing::Instrument as _;

use crate::{
    answer,
    provider::{Asking, Provider},
    request::{self, Addressee, Mode},
    story,
    token::{SignTokens, Tokens},
    transport::{AnswerBody, NoAnswer},
};

/// How long a plan may take: people wait for it.
const PLAN_TIME: Duration = Duration::from_secs(30);

/// Speaks to all providers.
pub struct Dispatch {
    providers: ArcSwap<HashMap<String, Arc<Provider>>>,
    tokens: Tokens,
    clock: Arc<dyn Clock>,
    changed: Arc<Notify>,
    /// Held by whoever changes the providers.
    changing: Mutex<()>,
}

impl Dispatch {
    /// To these providers, signing with this.
    pub fn new(providers: Vec<Provider>, signer: Arc<dyn SignTokens>, clock: Arc<dyn Clock>) -> Self {
        let dispatch = Self {
            providers: ArcSwap::default(),
            tokens: Tokens::new(signer, Arc::clone(&clock)),
            clock,
            changed: Arc::new(Notify::new()),
            changing: Mutex::default(),
        };
        dispatch.amend(|none| none.extend(providers.into_iter().map(Arc::new)));
        dispatch
    }

    /// From now on, what is made of the providers there are. One after the other, so that nobody undoes what another did.
    pub fn amend<T>(&self, change: impl FnOnce(&mut Vec<Arc<Provider>>) -> T) -> T {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut providers = self.providers();
        let told = change(&mut providers);
        self.providers.store(Arc::new(
            providers.into_iter().map(|provider| (provider.name.clone(), provider)).collect(),
        ));
        told
    }

    /// All of them, by name.
    pub fn providers(&self) -> Vec<Arc<Provider>> {
        let mut providers: Vec<_> = self.providers.load().values().map(Arc::clone).collect();
        providers.sort_by(|a, b| a.name.cmp(&b.name));
        providers
    }

    /// Woken when an answer told that its provider's document has changed.
    pub fn changed(&self) -> Arc<Notify> {
        Arc::clone(&self.changed)
    }

    fn provider(&self, name: &str) -> Result<Arc<Provider>, ProviderError> {
        self.providers.load().get(name).map(Arc::clone).ok_or_else(|| {
            ProviderError::NotSent(
                Problem::new(code::UNKNOWN_PROVIDER, format!("provider {name} is no longer configured"))
                    .next("`guichet providers list` shows those there are"),
            )
        })
    }

    /// Sends, within the deadline, and gives the answer's head with its body still to be read. `sent` is true from the moment on
    /// at which something may have been done.
    async fn send(
        &self,
        provider: &Provider,
        call: &ProviderCall<'_>,
        mode: Mode,
        sent: &AtomicBool,
    ) -> Result<(Response<AnswerBody>, OwnedSemaphorePermit), ProviderError> {
        if let Some(absent) = provider.absent(self.clock.now()) {
            return Err(ProviderError::NotSent(absent));
        }
        let asking = if mode == Mode::Perform { Asking::Work } else { Asking::Question };
        let room = provider.enter(asking, self.clock.now()).await?;
        let request = self.request(provider, call, mode).await;
        let request = request.inspect_err(|_| provider.not_tried(self.clock.now()))?;
        let span = tracing::info_span!(
            "forward",
            otel.name = %format_args!("forward {} {}", call.action.http.method, call.action.http.path),
            otel.kind = "client",
            provider = provider.name,
            operation = call.action.operation,
        );
        let effect = if mode == Mode::Perform { call.action.effect } else { Effect::Read };
        match self.answered(provider, call, (mode, request), sent).instrument(span).await? {
            Ok(response) => {
                if answer::says_that_it_is_down(provider, response.status(), response.headers()) {
                    provider.failed(self.clock.now());
                } else {
                    provider.succeeded();
                }
                self.note_document(provider, &response);
                Ok((response, room))
            }
            Err(NoAnswer::NotConnected(why)) => {
                provider.failed(self.clock.now());
                Err(ProviderError::unreachable(&provider.name, why))
            }
            Err(NoAnswer::Cut(why)) => {
                provider.failed(self.clock.now());
                Err(answer::unreadable(
                    provider,
                    effect,
                    code::PROVIDER_SILENT,
                    &format!("closed the connection: {why}"),
                ))
            }
        }
    }

    /// Sends. A token that the service no longer believes is replaced once: a 401 says that nothing was done.
    async fn answered(
        &self,
        provider: &Provider,
        call: &ProviderCall<'_>,
        (mode, request): (Mode, Request<Full<Bytes>>),
        sent: &AtomicBool,
    ) -> Result<Result<Response<AnswerBody>, NoAnswer>, ProviderError> {
        let may_repeat = mode != Mode::Perform || call.action.effect == Effect::Read;
        sent.store(true, Ordering::Relaxed);
        let Some(foreign) = &provider.foreign else {
            return Ok(provider.transport.send(request, may_repeat).await);
        };
        let mut shown = Request::new(());
        shown.headers_mut().extend(
            request.headers().get(header::AUTHORIZATION).map(|shown| (header::AUTHORIZATION, shown.clone())),
        );
        let answer = provider.transport.send(request, may_repeat).await;
        let is_refused = answer.as_ref().is_ok_and(|answer| answer.status() == StatusCode::UNAUTHORIZED);
        if is_refused && foreign.credentials.are_refused(&shown) {
            sent.store(false, Ordering::Relaxed);
            let again = self.request(provider, call, mode).await;
            // It answered, so it is there.
            let again = again.inspect_err(|_| provider.succeeded())?;
            sent.store(true, Ordering::Relaxed);
            return Ok(provider.transport.send(again, may_repeat).await);
        }
        Ok(answer)
    }

    /// The request, with what the provider is shown of who calls.
    async fn request(
        &self,
        provider: &Provider,
        call: &ProviderCall<'_>,
        mode: Mode,
    ) -> Result<Request<Full<Bytes>>, ProviderError> {
        let foreign = provider.foreign.as_ref();
        let shows_token = foreign.is_none_or(|foreign| foreign.shows_token);
        let token = if shows_token { Some(self.tokens.token(call)?) } else { None };
        let own;
        let base = match call.action.http.server.as_deref() {
            None => provider.transport.base(),
            server => {
                own = provider.base_of(server)?;
                &own
            }
        };
        let to = Addressee { base, token: token.as_ref(), is_foreign: foreign.is_some() };
        let mut request = request::build(to, call, mode)?;
        if let Some(foreign) = foreign {
            foreign.credentials.write(&mut request).await?;
        }
        Ok(request)
    }

    fn note_document(&self, provider: &Provider, response: &Response<AnswerBody>) {
        let told = response.headers().get("guichet-document").and_then(|etag| etag.to_str().ok());
        if told.is_some_and(|told| provider.standing().etag.as_deref().is_some_and(|etag| etag != told)) {
            self.changed.notify_one();
        }
    }

    /// The time is over. A call that was not sent by then was surely not performed, and says nothing about its provider.
    fn late(
        &self,
        provider: &Provider,
        effect: Effect,
        timeout: Duration,
        sent: &AtomicBool,
    ) -> ProviderError {
        let seconds = timeout.as_secs_f64();
        if !sent.load(Ordering::Relaxed) {
            provider.not_tried(self.clock.now());
            let why = format!("a token for it, or room, could not be had within {seconds} s");
            return ProviderError::unreachable(&provider.name, why);
        }
        provider.failed(self.clock.now());
        answer::unreadable(
            provider,
            effect,
            code::PROVIDER_SILENT,
            &format!("did not answer within {seconds} s"),
        )
    }
}

#[async_trait]
impl Providers for Dispatch {
    async fn plan(&self, call: &ProviderCall<'_>) -> Result<Plan, ProviderError> {
        let provider = self.provider(&call.action.provider)?;
        let sent = AtomicBool::new(false);
        // A plan changes nothing, so nothing about it is ever unknown.
        let planned = async {
            let (response, _room) = self.send(&provider, call, Mode::Plan, &sent).await?;
            answer::result(&provider, Effect::Read, response).await
        };
        let time = call.timeout.min(PLAN_TIME);
        let value = tokio::time::timeout(time, planned)
            .await
            .unwrap_or_else(|_| Err(self.late(&provider, Effect::Read, time, &sent)))
            .map_err(|error| match error {
                // Only the provider's own "no" means that it cannot be done; a plan that did not come about tells nothing.
                ProviderError::Failed(problem) if answer::is_a_no(&problem) => ProviderError::Failed(problem),
                other => ProviderError::NotSent(other.into_problem()),
            })?;
        let unreadable = |why: String, next: &str| {
            let problem = Problem::new(code::PROVIDER_PROTOCOL, format!("provider {} {why}", provider.name));
            ProviderError::Failed(problem.next(next))
        };
        let plan: Plan = serde_json::from_value(value).map_err(|error| {
            let next = "tell the provider's owners; see docs/provider-protocol.md";
            unreadable(format!("answered no plan: {error}"), next)
        })?;
        // A yes is held against the facts by their names: with a name twice it could cover what nobody saw.
        if let Some(name) = plan.repeated_facts().into_iter().next() {
            let shown: String = name.chars().take(100).collect();
            let next = "tell the provider's owners: facts have names of their own, and several of a kind are one fact with a \
                        list; see docs/provider-protocol.md";
            return Err(unreadable(format!("plans with more than one fact called `{shown}`"), next));
        }
        Ok(plan)
    }

    async fn perform(
        &self,
        call: &ProviderCall<'_>,
        reporter: &dyn Reporter,
    ) -> Result<serde_json::Value, ProviderError> {
        match self.advance(call, reporter).await? {
            Advanced::Done(result) => Ok(result),
            Advanced::Failed(problem) => Err(ProviderError::Failed(problem)),
            other => {
                let detail = format!("provider {} ended a read so: {other:?}", call.action.provider);
                Err(ProviderError::Failed(Problem::new(code::PROVIDER_PROTOCOL, detail)))
            }
        }
    }

    async fn advance(
        &self,
        call: &ProviderCall<'_>,
        reporter: &dyn Reporter,
    ) -> Result<Advanced, ProviderError> {
        let provider = self.provider(&call.action.provider)?;
        let effect = call.action.effect;
        let sent = AtomicBool::new(false);
        let performed = async {
            let (response, _room) = self.send(&provider, call, Mode::Perform, &sent).await?;
            if response.status().is_success() && is_event_stream(&response) {
                return story::follow(&provider, effect, response.into_body(), reporter).await;
            }
            answer::result(&provider, effect, response).await.map(Advanced::Done)
        };
        tokio::time::timeout(call.timeout, performed)
            .await
            .unwrap_or_else(|_| Err(self.late(&provider, effect, call.timeout, &sent)))
    }

    async fn recall(&self, call: &ProviderCall<'_>, cancel: bool) -> Result<Remembered, ProviderError> {
        let provider = self.provider(&call.action.provider)?;
        let mode = if cancel { Mode::Cancel } else { Mode::Outcome };
        let sent = AtomicBool::new(false);
        let recalled = async {
            let (response, _room) = self.send(&provider, call, mode, &sent).await?;
            answer::result(&provider, Effect::Read, response).await
        };
        let told = tokio::time::timeout(PLAN_TIME, recalled)
            .await
            .unwrap_or_else(|_| Err(self.late(&provider, Effect::Read, PLAN_TIME, &sent)))?;
        let is = |name: &str| told.get(name).and_then(serde_json::Value::as_bool);
        match is("known") {
            Some(false) => {
                let since = told.get("remembers_since").and_then(|since| since.as_str()?.parse().ok());
                Ok(Remembered::Nothing { since })
            }
            Some(true) if is("under_way") == Some(true) => Ok(Remembered::UnderWay),
            // An end of which nobody can say how it was is as good as none.
            _ => Ok(told
                .get("outcome")
                .and_then(|told| story::outcome(&provider, told))
                .map_or(Remembered::Nothing { since: None }, Remembered::Ended)),
        }
    }

    async fn forward(&self, call: &ProviderCall<'_>) -> Result<Forwarded, ProviderError> {
        let provider = self.provider(&call.action.provider)?;
        let until = tokio::time::Instant::now() + call.timeout;
        let sent = AtomicBool::new(false);
        let sending = self.send(&provider, call, Mode::Perform, &sent);
        let (response, room) = tokio::time::timeout(call.timeout, sending)
            .await
            .unwrap_or_else(|_| Err(self.late(&provider, call.action.effect, call.timeout, &sent)))?;
        let (head, body) = response.into_parts();
        let headers = answer::passed_on(&head.headers);
        let limit = provider.limits.answer_bytes;
        // The provider has answered: a reader who takes long over the rest does not hold its room.
        drop(room);
        // A redirect would lead callers around the gateway.
        let is_elsewhere = provider.foreign.is_some() && head.status.is_redirection();
        if matches!(head.status.as_u16(), 401 | 407) || is_elsewhere {
            let body = answer::read_body(body, limit).await.unwrap_or_default();
            return Err(answer::failure(&provider, call.action.effect, head.status, &head.headers, &body));
        }
        let frames = stream::try_unfold((body, 0_usize), move |(mut body, read)| async move {
            loop {
                let frame = tokio::time::timeout_at(until, body.frame()).await;
                let frame = frame.map_err(|_| std::io::Error::other("the answer did not end in time"))?;
                let Some(frame) = frame.transpose()? else { return Ok(None) };
                let Ok(data) = frame.into_data() else { continue };
                let read = read + data.len();
                if read > limit {
                    return Err(std::io::Error::other(format!("the answer is larger than {limit} bytes")));
                }
                return Ok(Some((data, (body, read))));
            }
        });
        Ok(Forwarded { status: head.status.as_u16(), headers, body: frames.into_stream().boxed() })
    }

    fn status(&self) -> Vec<ProviderStatus> {
        let now = self.clock.now();
        self.providers().iter().map(|provider| provider.status(now)).collect()
    }
}

fn is_event_stream(response: &Response<AnswerBody>) -> bool {
    response
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .is_some_and(|kind| kind.starts_with("text/event-stream"))
}

#[cfg(test)]
mod tests {
    use guichet_contract::{
        Principal, SystemClock,
        openapi::{Strictness, read},
    };
    use guichet_operations::Told;
    use serde_json::json;
    use tokio::net::TcpListener;

    use super::*;
    use crate::{
        Carry, ClientCredentials, Credentials, DocumentPlace, Foreign, Limits, TokenRequest, Transport,
        token::Claims, transport::http_client,
    };

    /// Nobody who is called ever answers.
    struct Silence;

    #[async_trait]
    impl Carry for Silence {
        async fn carry(&self, _: Request<Full<Bytes>>) -> Result<Response<AnswerBody>, NoAnswer> {
            std::future::pending().await
        }
    }

    #[async_trait]
    impl Reporter for Silence {
        async fn tell(&self, _: Told) {}
    }

    impl SignTokens for Silence {
        fn sign(&self, _: &Claims<'_>) -> Result<String, String> {
            Err("nobody is shown this".to_owned())
        }
    }

    fn shop(credentials: Credentials) -> Dispatch {
        let document = DocumentPlace::File("shop.yaml".into());
        let foreign = Foreign { document, credentials, shows_token: false, servers: Vec::new() };
        let provider = Provider::new("shop", Transport::Carried(Arc::new(Silence)), Limits::default());
        Dispatch::new(vec![provider.with_foreign(foreign)], Arc::new(Silence), Arc::new(SystemClock))
    }

    #[tokio::test]
    async fn a_change_whose_time_was_over_before_it_was_sent_was_not_done() {
        let document = json!({"openapi": "3.1.0", "info": {"title": "Shop", "version": "1"},
            "paths": {"/things": {"post": {"operationId": "make", "responses": {}}}}});
        let action = read("shop", &document, Strictness::Lenient).unwrap().actions.remove(0);
        let (input, ada) = (json!({}), Principal::person("ada"));
        let call = ProviderCall {
            timeout: Duration::from_millis(50),
            ..ProviderCall::of(&action, &input, &ada, "staging")
        };
        // Taken by the system, and never by anybody else: an issuer that hangs.
        let issuer = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let request = TokenRequest {
            url: format!("http://{}", issuer.local_addr().unwrap()),
            client_id: "guichet".to_owned(),
            client_secret: "hunter2".into(),
            scope: None,
            audience: None,
            in_body: false,
        };
        let client = ClientCredentials::new(request, http_client().unwrap(), Arc::new(SystemClock));
        let waits_for_a_token = shop(Credentials::Client(Box::new(client)));
        let is_sent = shop(Credentials::None);
        for _ in 0..5 {
            let unsent = waits_for_a_token.advance(&call, &Silence).await.unwrap_err();
            assert!(
                matches!(&unsent, ProviderError::NotSent(why) if why.code == code::PROVIDER_UNREACHABLE),
                "{unsent:?}"
            );
            let silent = is_sent.advance(&call, &Silence).await.unwrap_err();
            assert!(matches!(silent, ProviderError::Silent(_)), "{silent:?}");
        }
        // Who was never called did not fail.
        let state = |dispatch: &Dispatch| dispatch.status()[0].state.clone();
        assert_eq!((state(&waits_for_a_token).as_str(), state(&is_sent).as_str()), ("ready", "resting"));
    }
}
