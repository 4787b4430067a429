//! A provider that registers itself: which of its instances a call goes to, and which is passed over.

use std::sync::{
    Arc, PoisonError, RwLock,
    atomic::{AtomicI64, AtomicUsize, Ordering},
};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use guichet_contract::{Clock, Instance, Registration, code};
use http::{Request, Response, StatusCode, Uri};
use http_body::Frame;
use http_body_util::{BodyExt as _, BodyStream, Full, StreamBody};
use jiff::Timestamp;
use serde_json::Value;

use crate::{
    answer,
    transport::{AnswerBody, HttpClient, NoAnswer},
};

/// How long an instance that did not answer is called only when no other is there, milliseconds.
const REST_MS: i64 = 5_000;
/// A caller that waited so long and went away without an answer counts as one that got none, milliseconds.
const PATIENCE_MS: i64 = 2_000;
/// So many instances are tried for one call.
const TRIES: usize = 3;
/// Bytes of a problem that are looked through for what it says; a longer one is taken for an answer like any other.
const MOST_OF_A_PROBLEM: usize = 64 * 1024;

/// The instances of one provider, as they were registered last.
pub struct Instances {
    client: HttpClient,
    clock: Arc<dyn Clock>,
    listed: RwLock<Listed>,
    /// Whose turn it is.
    turn: AtomicUsize,
}

#[derive(Clone)]
struct Listed {
    registration: Arc<Registration>,
    spots: Arc<[Arc<Spot>]>,
}

/// One instance, and whether it rests.
struct Spot {
    instance: Instance,
    /// Milliseconds since 1970 until which others are preferred.
    rests_until: Arc<AtomicI64>,
}

impl Instances {
    /// Those of this registration, called through this client, which should be a guarded one.
    pub fn new(registration: Arc<Registration>, client: HttpClient, clock: Arc<dyn Clock>) -> Self {
        let listed = Listed { spots: spots(&registration, &[]), registration };
        Self { client, clock, listed: RwLock::new(listed), turn: AtomicUsize::new(0) }
    }

    fn listed(&self) -> Listed {
        self.listed.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// As it was registered last.
    pub fn registration(&self) -> Arc<Registration> {
        self.listed().registration
    }

    /// From now on, these. Says whether an instance has come that was not there.
    pub fn replace(&self, registration: Arc<Registration>) -> bool {
        let mut listed = self.listed.write().unwrap_or_else(PoisonError::into_inner);
        let fresh = spots(&registration, &listed.spots);
        let was_there = |spot: &Spot| listed.spots.iter().any(|old| old.is_same(&spot.instance));
        let has_come = fresh.iter().any(|spot| !was_there(spot));
        *listed = Listed { registration, spots: fresh };
        has_come
    }

    /// Since when nobody is there; none while somebody is.
    pub fn absent_since(&self, now: Timestamp) -> Option<Timestamp> {
        self.listed().registration.absent_since(now)
    }

    /// Who registers it.
    pub fn owner(&self) -> String {
        self.listed().registration.owner.clone()
    }

    /// The `ETag` of the document that holds: that of the instance that came last.
    pub fn document(&self, now: Timestamp) -> Option<String> {
        newest(&self.listed().registration, now)?.document.clone()
    }

    /// Whom to call, the best first: who serves the document that holds before who does not, who answered before who did
    /// not, and each in turn.
    fn candidates(&self, now: Timestamp) -> Vec<Arc<Spot>> {
        let listed = self.listed();
        let document = newest(&listed.registration, now).and_then(|instance| instance.document.as_ref());
        let mut live: Vec<Arc<Spot>> =
            listed.spots.iter().filter(|spot| spot.instance.is_live(now)).map(Arc::clone).collect();
        if !live.is_empty() {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed) % live.len();
            live.rotate_left(turn);
        }
        let at = now.as_millisecond();
        live.sort_by_key(|spot| {
            (spot.rests_until.load(Ordering::Relaxed) > at, spot.instance.document.as_ref() != document)
        });
        live.truncate(TRIES);
        live
    }

    /// Calls one of them. Who surely was not called is passed over for the next, and so is who cut the connection or says
    /// that it is too busy, when a call may be repeated or surely was not performed. That what the call needs is not there is
    /// an answer like any other: the next would say the same.
    pub(crate) async fn send(
        &self,
        request: Request<Full<Bytes>>,
        may_repeat: bool,
    ) -> Result<Response<AnswerBody>, NoAnswer> {
        let now = self.clock.now();
        let candidates = self.candidates(now);
        let mut ended = Err(NoAnswer::NotConnected("no instance of it is there".to_owned()));
        for spot in &candidates {
            let mut waiting = Waiting { spot, clock: &*self.clock, since: self.clock.now(), is_over: false };
            let answer = match at(&request, &spot.instance.url) {
                Ok(request) => self.client.send(request).await,
                Err(why) => Err(NoAnswer::NotConnected(why)),
            };
            let (answer, passed_over) = match answer {
                Ok(response) => match looked_into(response).await {
                    (response, false) => {
                        waiting.is_over = true;
                        return Ok(response);
                    }
                    (response, true) => (Ok(response), true),
                },
                Err(NoAnswer::NotConnected(why)) => (Err(NoAnswer::NotConnected(why)), true),
                Err(NoAnswer::Cut(why)) => (Err(NoAnswer::Cut(why)), may_repeat),
            };
            waiting.is_over = true;
            spot.rest(self.clock.now());
            let (instance, url) = (spot.instance.id.as_str(), spot.instance.url.as_str());
            tracing::warn!(
                instance,
                url,
                passed_over,
                "an instance of a provider does not answer as it should"
            );
            ended = answer.map_err(|why| why.at(url));
            if !passed_over {
                break;
            }
        }
        ended
    }
}

/// The instance that came last: a newer one has a newer document.
fn newest(registration: &Registration, now: Timestamp) -> Option<&Instance> {
    registration.live(now).max_by_key(|instance| instance.since)
}

/// One call that waits for the head of its answer. Dropped when its time is over, which its instance must not get away with:
/// else one that hangs would take its turn as long as its lease holds.
struct Waiting<'a> {
    spot: &'a Spot,
    clock: &'a dyn Clock,
    since: Timestamp,
    is_over: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let now = self.clock.now();
        let waited = now.as_millisecond().saturating_sub(self.since.as_millisecond());
        if !self.is_over && waited >= PATIENCE_MS {
            self.spot.rest(now);
        }
    }
}

impl Spot {
    fn rest(&self, now: Timestamp) {
        self.rests_until.store(now.as_millisecond().saturating_add(REST_MS), Ordering::Relaxed);
    }

    fn is_same(&self, instance: &Instance) -> bool {
        self.instance.id == instance.id
            && self.instance.url == instance.url
            && self.instance.since == instance.since
    }
}

/// Each instance, resting when the same one rested before.
fn spots(registration: &Registration, before: &[Arc<Spot>]) -> Arc<[Arc<Spot>]> {
    let spot = |instance: &Instance| {
        let known = before.iter().find(|spot| spot.is_same(instance));
        let rests_until = known.map(|spot| Arc::clone(&spot.rests_until)).unwrap_or_default();
        Arc::new(Spot { instance: instance.clone(), rests_until })
    };
    registration.instances.iter().map(spot).collect()
}

/// The same request under another base.
fn at(request: &Request<Full<Bytes>>, base: &str) -> Result<Request<Full<Bytes>>, String> {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let uri = Uri::try_from(format!("{base}{path}")).map_err(|error| format!("{base}: {error}"))?;
    let mut there = request.clone();
    *there.uri_mut() = uri;
    Ok(there)
}

/// The answer, and whether it says that this instance has no room for the call, so that nothing was done and another may have
/// it. Only a problem can say so; its body is read for it, and is there to be read again.
async fn looked_into(response: Response<AnswerBody>) -> (Response<AnswerBody>, bool) {
    let is_problem = answer::is_problem(response.headers());
    if response.status() != StatusCode::SERVICE_UNAVAILABLE || !is_problem {
        return (response, false);
    }
    let (head, mut body) = response.into_parts();
    let (mut frames, mut text) = (Vec::new(), Vec::new());
    while text.len() <= MOST_OF_A_PROBLEM
        && let Some(frame) = body.frame().await
    {
        if let Some(data) = frame.as_ref().ok().and_then(Frame::data_ref) {
            text.extend_from_slice(data);
        }
        let is_cut = frame.is_err();
        frames.push(frame);
        if is_cut {
            break;
        }
    }
    let told: Option<Value> = serde_json::from_slice(&text).ok();
    let is_too_busy =
        told.as_ref().and_then(|told| told.get("code")).is_some_and(|told| told == code::PROVIDER_BUSY);
    let body = StreamBody::new(stream::iter(frames).chain(BodyStream::new(body)));
    (Response::from_parts(head, body.boxed_unsync()), is_too_busy)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use guichet_contract::PrincipalKind;
    use jiff::SignedDuration;
    use uuid::Uuid;

    use super::*;
    use crate::transport::http_client;

    struct Hand(Mutex<Timestamp>);

    impl Clock for Hand {
        fn now(&self) -> Timestamp {
            *self.0.lock().unwrap()
        }
        fn new_uuid(&self) -> Uuid {
            Uuid::nil()
        }
    }

    fn at_second(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn instance(id: &str, since: i64, document: &str) -> Instance {
        let url = format!("http://127.0.0.1:1/{id}");
        let document = Some(document.to_owned());
        Instance { id: id.to_owned(), url, document, since: at_second(since), until: at_second(100) }
    }

    fn registration(instances: Vec<Instance>) -> Arc<Registration> {
        Arc::new(Registration {
            provider: "shop".to_owned(),
            owner_kind: PrincipalKind::ServiceAccount,
            owner: "shop-service".to_owned(),
            revision: 1,
            registered_at: at_second(0),
            left_at: None,
            instances,
            service: None,
            document: None,
        })
    }

    fn instances(of: Vec<Instance>) -> (Instances, Arc<Hand>) {
        let clock = Arc::new(Hand(Mutex::new(at_second(10))));
        (Instances::new(registration(of), http_client().unwrap(), Arc::clone(&clock) as _), clock)
    }

    fn first(instances: &Instances, now: i64) -> String {
        instances.candidates(at_second(now)).first().map_or_else(String::new, |spot| spot.instance.id.clone())
    }

    #[test]
    fn each_in_turn_and_the_newest_document_first() {
        let (of, _) = instances(vec![instance("a", 1, "1"), instance("b", 2, "1")]);
        assert_ne!(first(&of, 10), first(&of, 10));
        of.replace(registration(vec![instance("a", 1, "1"), instance("b", 2, "1"), instance("c", 3, "2")]));
        assert_eq!((first(&of, 10), first(&of, 10)), ("c".to_owned(), "c".to_owned()));
        assert_eq!(of.document(at_second(10)).as_deref(), Some("2"));
        assert_eq!((first(&of, 100), of.absent_since(at_second(100))), (String::new(), Some(at_second(100))));
    }

    #[tokio::test]
    async fn who_hangs_rests_when_its_caller_has_waited_long() {
        // Taken by the system, and never by anybody else.
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", silent.local_addr().unwrap());
        let (of, clock) = instances(vec![Instance { url, ..instance("a", 1, "1") }]);
        let rests = |of: &Instances| of.listed().spots[0].rests_until.load(Ordering::Relaxed);
        for (leap, expected) in [(1, 0), (2, 18_000)] {
            let request = Request::get("/x").body(Full::new(Bytes::new())).unwrap();
            let waited = tokio::time::timeout(std::time::Duration::from_millis(100), async {
                let call = of.send(request, true);
                tokio::pin!(call);
                tokio::select! {
                    biased;
                    answer = &mut call => drop(answer),
                    () = tokio::time::sleep(std::time::Duration::from_millis(50)) => {}
                }
                *clock.0.lock().unwrap() += SignedDuration::from_secs(leap);
            });
            waited.await.unwrap();
            assert_eq!(rests(&of), expected, "after {leap} s");
        }
    }

    #[tokio::test]
    async fn who_does_not_answer_rests_until_it_comes_again() {
        let (of, clock) = instances(vec![instance("a", 1, "1"), instance("b", 2, "1")]);
        let request = || Request::get("/x").body(Full::new(Bytes::new())).unwrap();
        let nobody = of.send(request(), false).await.unwrap_err();
        assert!(matches!(&nobody, NoAnswer::NotConnected(why) if why.contains("127.0.0.1:1")), "{nobody:?}");
        let rests = |of: &Instances| {
            of.listed().spots.iter().map(|spot| spot.rests_until.load(Ordering::Relaxed)).collect::<Vec<_>>()
        };
        assert_eq!(rests(&of), [15_000, 15_000], "both were tried");
        assert!(!of.replace(registration(vec![instance("a", 1, "1"), instance("b", 2, "1")])));
        assert_eq!(rests(&of), [15_000, 15_000]);
        assert!(of.replace(registration(vec![instance("a", 1, "1"), instance("b", 9, "1")])), "b came anew");
        assert_eq!(rests(&of), [15_000, 0]);
        assert_eq!((first(&of, 11), first(&of, 11)), ("b".to_owned(), "b".to_owned()));
        *clock.0.lock().unwrap() += SignedDuration::from_secs(60);
        assert_ne!(first(&of, 70), first(&of, 70));
    }

    /// An instance that answers every call with this problem.
    async fn answering(code: &'static str) -> (String, Arc<AtomicUsize>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let router = axum::Router::new().fallback(move || async move {
            counted.fetch_add(1, Ordering::Relaxed);
            let kind = [(http::header::CONTENT_TYPE, "application/problem+json")];
            let body = serde_json::json!({"status": 503, "code": code, "detail": "no"}).to_string();
            (StatusCode::SERVICE_UNAVAILABLE, kind, body)
        });
        drop(tokio::spawn(async move { axum::serve(listener, router).await }));
        (url, calls)
    }

    #[tokio::test]
    async fn who_is_too_busy_is_passed_over_and_who_lacks_something_is_not() {
        for (code, called, rests) in [(code::PROVIDER_BUSY, 2, 15_000), (code::PROVIDER_FAILED, 1, 0)] {
            let (one, of_one) = answering(code).await;
            let (other, of_other) = answering(code).await;
            let (of, _) = instances(vec![
                Instance { url: one, ..instance("a", 1, "1") },
                Instance { url: other, ..instance("b", 2, "1") },
            ]);
            let request = Request::get("/x").body(Full::new(Bytes::new())).unwrap();
            let answer = of.send(request, false).await.unwrap();
            assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            let told: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(told["code"], code, "the answer is whole");
            assert_eq!(of_one.load(Ordering::Relaxed) + of_other.load(Ordering::Relaxed), called, "{code}");
            let spots = of.listed().spots;
            assert!(spots.iter().all(|spot| spot.rests_until.load(Ordering::Relaxed) == rests), "{code}");
        }
    }
}
