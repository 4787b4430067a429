//! The way of one call, from top to bottom.
//!
//! Who calls is settled before the body is read, so that a stranger costs nothing; the input is checked before
//! the memory of changes is asked, so that a wrong call leaves no trace there. A change is performed by a task
//! of its own: it goes on when the caller goes away, and whoever calls again with the same key gets its answer.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{Query, Request},
    response::{IntoResponse, Response},
};
use futures_util::{FutureExt as _, Stream, stream};
use guichet_contract::{Digest, Effect, Problem, code};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;

use crate::{
    answer::{Answer, with_body},
    context::Context,
    error::ActionError,
    journal::{Away, Journal},
    prepared::{Desk, ReadyAction},
    recall::Recalled,
    replay::{Entered, Remembered},
    routes::Routed,
    story::{Story, Told},
    token::{Claims, denied},
};

/// How long a caller may take to send its body.
const BODY_TIME: Duration = Duration::from_secs(30);
/// How much larger than the body alone it may be with a journal.
const JOURNAL_ROOM: usize = 1 << 20;
/// A stream that has nothing to tell says so this often, lest something on the way cuts it.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

pub(crate) async fn answer(desk: &Arc<Desk>, request: Request) -> Response {
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/healthz") => return with_body(StatusCode::OK, "text/plain", "ok\n"),
        _ if !desk.mistakes.is_empty() => return wrongly_declared(desk),
        (&Method::GET, "/openapi.json") => return document(desk, request.headers()),
        _ => {}
    }
    call(desk, request).await.unwrap_or_else(|problem| Answer::problem(problem).into_response())
}

async fn call(desk: &Arc<Desk>, request: Request) -> Result<Response, Box<Problem>> {
    let (parts, body) = request.into_parts();
    let (index, members) = match desk.routes.find(&parts.method, parts.uri.path()) {
        Routed::Action(index, members) => (index, members),
        Routed::OtherMethods(allowed) => return Ok(method_not_allowed(&parts.method, &parts.uri, allowed)),
        Routed::Nothing => {
            return Err(Problem::new(
                code::NOT_FOUND,
                format!("the provider has no operation at {}", parts.uri.path()),
            )
            .into());
        }
    };
    let action = desk
        .actions
        .get(index)
        .ok_or_else(|| Problem::new(code::INTERNAL, "the provider's routes do not fit its actions"))?;
    let headers = &parts.headers;
    let mode = Mode::of(action, headers)?;
    let key = header_text(headers, "idempotency-key");
    let claims = if desk.verifier.believes_anyone() {
        desk.verifier.nobody(&action.operation, key)
    } else {
        desk.verifier.check(headers, &action.operation).await?
    };
    let handed = headers.contains_key("guichet-journal");
    let body = if action.input.has_body() || handed {
        read_body(desk.body_limit + if handed { JOURNAL_ROOM } else { 0 }, body).await?
    } else {
        bytes::Bytes::new()
    };
    let (body, journal) = if handed { apart(action, &body)? } else { (body, Map::new()) };
    let input = gather(action, &members, &parts.uri, &body)?;
    let digest = action.input.digest(&input);
    if mode != Mode::Read && !desk.verifier.believes_anyone() {
        belongs_to(&claims, mode, key, &digest)?;
        if claims.journal != handed.then(|| Digest::of_json(&Value::Object(journal.clone()))) {
            return Err(denied("the token is for another journal than the call carries"));
        }
    }
    action.input.validate(&input)?;
    let deadline = Instant::now() + remaining(headers).unwrap_or(action.timeout);
    let planned = header_text(headers, "guichet-plan").map(str::to_owned);
    let span = tracing::info_span!(
        "action",
        provider = desk.name,
        operation = action.operation,
        mode = mode.as_str(),
        run = claims.run,
        principal = claims.sub,
        traceparent = header_text(headers, "traceparent"),
    );
    let work = Work { action, claims, planned, deadline, input, span };
    match mode {
        Mode::Plan => look(desk, work.deadline, plan(desk, &work)).await,
        Mode::Read if action.long => stream_read(desk, &work),
        Mode::Read => look(desk, work.deadline, perform(desk, &work, None)).await,
        Mode::Change | Mode::Outcome | Mode::Cancel => {
            let Some(key) = key else {
                return Err(
                    Problem::new(code::BAD_REQUEST, "a change needs the header Idempotency-Key").into()
                );
            };
            if mode == Mode::Change {
                let handed = Handed { journal, cancelled: headers.contains_key("guichet-cancel") };
                return change(desk, &work, key, &digest, &handed).await;
            }
            Ok(remembered(desk, &work, key, &digest, mode == Mode::Cancel).await)
        }
    }
}

/// What is asked of an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Read,
    Plan,
    Change,
    /// What became of a change; changes nothing.
    Outcome,
    /// A change under way shall stop; begins nothing.
    Cancel,
}

impl Mode {
    fn of(action: &ReadyAction, headers: &HeaderMap) -> Result<Self, Box<Problem>> {
        match header_text(headers, "guichet-mode") {
            None | Some("perform") if action.effect == Effect::Read => Ok(Self::Read),
            None | Some("perform") => Ok(Self::Change),
            Some("plan") if action.plan.is_some() => Ok(Self::Plan),
            Some("plan") => Err(Problem::new(
                code::NOT_OFFERED,
                format!("operation `{}` makes no plans", action.operation),
            )
            .into()),
            Some("outcome") if action.effect != Effect::Read => Ok(Self::Outcome),
            Some("cancel") if action.effect != Effect::Read => Ok(Self::Cancel),
            Some(other) => {
                let detail = format!("`{other}` is no Guichet-Mode here: plan, perform, outcome or cancel");
                Err(Problem::new(code::BAD_REQUEST, detail).into())
            }
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Plan => "plan",
            Self::Change => "change",
            Self::Outcome => "outcome",
            Self::Cancel => "cancel",
        }
    }
}

/// One call, checked.
struct Work<'a> {
    action: &'a ReadyAction,
    claims: Arc<Claims>,
    planned: Option<String>,
    deadline: Instant,
    input: Value,
    span: tracing::Span,
}

impl Work<'_> {
    fn context(&self, story: Option<Arc<Story>>, journal: Arc<Journal>) -> Context {
        Context::new(
            &self.action.operation,
            Arc::clone(&self.claims),
            self.planned.clone(),
            self.deadline,
            story,
            journal,
        )
    }
}

/// The token is for this run and this input, not only for this operation.
fn belongs_to(claims: &Claims, mode: Mode, key: Option<&str>, digest: &Digest) -> Result<(), Box<Problem>> {
    match &claims.input {
        Some(input) if input == digest => {}
        Some(_) => return Err(denied("the token is for another input than the call carries")),
        None if mode == Mode::Plan => {}
        None => return Err(denied("the token names no input, which a change needs")),
    }
    if mode == Mode::Plan {
        return Ok(());
    }
    match &claims.run {
        Some(run) if Some(run.as_str()) == key => Ok(()),
        Some(_) => Err(denied("the token is for another run than the header Idempotency-Key names")),
        None => Err(denied("the token names no run, which a change needs")),
    }
}

/// Does the work of a change once, in a task of its own, and waits for its answer.
async fn change(
    desk: &Arc<Desk>,
    work: &Work<'_>,
    key: &str,
    digest: &Digest,
    handed: &Handed,
) -> Result<Response, Box<Problem>> {
    let entered = desk.replay.enter(&work.action.operation, key, digest, work.action.resumable);
    let mut position = 0;
    let story = match entered {
        Entered::Conflict => {
            let detail = format!("`{key}` was used for this operation with another input");
            return Err(Problem::new(code::IDEMPOTENCY_CONFLICT, detail).into());
        }
        Entered::Again(story) => {
            position = story.journal.hand_over(&handed.journal, handed.cancelled);
            story
        }
        Entered::First(ticket) => {
            let Ok(place) = Arc::clone(&desk.places).try_acquire_owned() else {
                let problem = busy(desk);
                ticket.give_back(Answer::problem(problem.clone()));
                return Err(problem);
            };
            let story = Arc::clone(&ticket.story);
            let _ = story.journal.hand_over(&handed.journal, handed.cancelled);
            let performed = perform_change(work, &story);
            drop(desk.tasks.spawn(async move {
                let answer = performed.await;
                ticket.end(answer);
                drop(place);
            }));
            story
        }
    };
    if work.action.long {
        Ok(event_stream(story, None, position))
    } else {
        // No deadline here: an answer «too late» would read as «not done». The gateway stops waiting by itself.
        Ok(story.wait().await.into_response())
    }
}

/// A read or a plan: within the deadline, and only as long as someone listens.
async fn look(
    desk: &Desk,
    deadline: Instant,
    work: impl Future<Output = Answer>,
) -> Result<Response, Box<Problem>> {
    let _place = desk.places.try_acquire().map_err(|_| busy(desk))?;
    let answer = tokio::time::timeout_at(deadline, work).await.unwrap_or_else(|_| too_late());
    Ok(answer.into_response())
}

fn stream_read(desk: &Desk, work: &Work<'_>) -> Result<Response, Box<Problem>> {
    let place = Arc::clone(&desk.places).try_acquire_owned().map_err(|_| busy(desk))?;
    let story = Arc::new(Story::new(Arc::new(Journal::new(false, Arc::clone(&desk.clock)))));
    let performed = perform(desk, work, Some(Arc::clone(&story)));
    let (deadline, told) = (work.deadline, Arc::clone(&story));
    let task = tokio::spawn(async move {
        let answer = tokio::time::timeout_at(deadline, performed).await.unwrap_or_else(|_| too_late());
        told.end(answer);
        drop(place);
    });
    Ok(event_stream(story, Some(AbortOnDropHandle::new(task)), 0))
}

/// The handler's future, which owns all it needs and never panics.
fn perform(
    desk: &Desk,
    work: &Work<'_>,
    story: Option<Arc<Story>>,
) -> impl Future<Output = Answer> + Send + 'static {
    let perform = Arc::clone(&work.action.perform);
    let journal = Arc::new(Journal::new(false, Arc::clone(&desk.clock)));
    let (context, input) = (work.context(story, journal), work.input.clone());
    let done = async move { answered(perform(context, input).await) };
    settle(done, work.action.operation.clone(), false).instrument(work.span.clone())
}

/// The same for a change: to its end with all that is undone, or until it is put away.
fn perform_change(work: &Work<'_>, story: &Arc<Story>) -> impl Future<Output = Answer> + Send + 'static {
    let perform = Arc::clone(&work.action.perform);
    let journal = Arc::clone(&story.journal);
    let told = work.action.long.then(|| Arc::clone(story));
    let (context, input) = (work.context(told, Arc::clone(&journal)), work.input.clone());
    let done = async move {
        let to_the_end = async {
            let answered = perform(context.clone(), input).await;
            context.conclude(answered).await
        };
        tokio::select! {
            away = journal.until_away() => match away {
                Away::Waits { name, until } => Answer::Waits { name, until },
                Away::Abandoned => Answer::Abandoned,
            },
            answer = to_the_end => answer,
        }
    };
    settle(done, work.action.operation.clone(), true).instrument(work.span.clone())
}

fn plan(desk: &Desk, work: &Work<'_>) -> impl Future<Output = Answer> + Send + 'static {
    let plan = work.action.plan.clone();
    let journal = Arc::new(Journal::new(false, Arc::clone(&desk.clock)));
    let (context, input) = (work.context(None, journal), work.input.clone());
    let planned = async move {
        let plan = plan.ok_or_else(|| ActionError::failed("this action makes no plans"))?;
        let plan = plan(context, input).await?;
        if let Some(name) = plan.repeated_facts().into_iter().next() {
            let detail = format!("the plan has more than one fact called `{name}`, and no gateway takes it");
            return Err(ActionError::failed(detail).next("make it one fact with a list, or name each apart"));
        }
        serde_json::to_value(plan).map_err(|error| ActionError::failed(error.to_string()))
    };
    let done = async move { answered(planned.await) };
    settle(done, work.action.operation.clone(), false).instrument(work.span.clone())
}

fn answered(answered: Result<Value, ActionError>) -> Answer {
    match answered {
        Ok(result) => Answer::Done(result),
        Err(error) => Answer::problem(error.into_problem()),
    }
}

/// A handler that breaks off half-way may have acted: of a change nobody can say then, and nothing is claimed.
async fn settle(done: impl Future<Output = Answer>, operation: String, may_have_acted: bool) -> Answer {
    match AssertUnwindSafe(done).catch_unwind().await {
        Ok(answer) => {
            if let Answer::Problem(problem) = &answer {
                tracing::info!(operation, status = problem.status, detail = problem.detail, "not done");
            }
            answer
        }
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().copied().map(str::to_owned);
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            tracing::error!(operation, panic = text, "the handler panicked");
            if may_have_acted {
                return Answer::Lost;
            }
            let error = ActionError::failed("the provider broke while it worked on this; its log says more");
            Answer::problem(error.next("tell the owners of the provider").into_problem())
        }
    }
}

/// The story as server-sent events; `task` is stopped when nobody listens any more.
fn event_stream(story: Arc<Story>, task: Option<AbortOnDropHandle<()>>, position: u64) -> Response {
    let mut response = Response::new(Body::from_stream(frames(story, task, position)));
    let headers = response.headers_mut();
    let _ = headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    let _ = headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn frames(
    story: Arc<Story>,
    task: Option<AbortOnDropHandle<()>>,
    position: u64,
) -> impl Stream<Item = Result<String, std::convert::Infallible>> + Send + 'static {
    stream::unfold(Some((story, task, position)), |state| async move {
        let (story, task, mut position) = state?;
        match tokio::time::timeout(KEEP_ALIVE, story.next(&mut position)).await {
            Err(_) => Some((Ok(": keep-alive\n\n".to_owned()), Some((story, task, position)))),
            Ok((news, end)) => {
                let mut text: String = news.iter().map(frame).collect();
                // A step that must be durable ends the stream: the call that hands it back goes on.
                let end = match end {
                    None if story.journal.is_kept() && news.iter().any(is_done) => Some(Some(noted())),
                    end => end.map(outcome),
                };
                let ended = end.is_some();
                // Lost work ends without an outcome: the gateway takes that as unknown.
                text.extend(end.flatten().as_ref().map(frame));
                Some((Ok(text), (!ended).then_some((story, task, position))))
            }
        }
    })
}

fn frame(told: &Told) -> String {
    format!("event: {}\ndata: {}\n\n", told.name, told.data)
}

fn outcome(answer: Answer) -> Option<Told> {
    let data = match answer {
        Answer::Done(result) => json!({"status": "succeeded", "result": result}),
        Answer::Problem(problem) => json!({"status": "failed", "problem": problem}),
        Answer::Cancelled(problem) => json!({"status": "cancelled", "problem": problem}),
        Answer::Waits { name, until } => json!({"status": "waiting", "name": name, "until": until}),
        Answer::Abandoned | Answer::Lost => return None,
    };
    Some(Told { name: "outcome", data })
}

fn is_done(told: &Told) -> bool {
    told.name == "step" && told.data["state"] == "done"
}

fn noted() -> Told {
    Told { name: "outcome", data: json!({"status": "noted"}) }
}

/// What a call of a resumable action hands over.
struct Handed {
    journal: Map<String, Value>,
    cancelled: bool,
}

/// The body that the action takes, and the journal beside it.
fn apart(action: &ReadyAction, body: &[u8]) -> Result<(bytes::Bytes, Map<String, Value>), Box<Problem>> {
    if !action.resumable {
        let detail = format!("operation `{}` keeps no journal", action.operation);
        return Err(Problem::new(code::BAD_REQUEST, detail).into());
    }
    let wrong =
        |error: String| Problem::new(code::BAD_REQUEST, format!("the journal cannot be read: {error}"));
    let both: Value = serde_json::from_slice(body).map_err(|error| wrong(error.to_string()))?;
    let Value::Object(mut both) = both else { return Err(wrong("it is no object".to_owned()).into()) };
    let Some(Value::Object(journal)) = both.remove("journal") else {
        return Err(wrong("there is none in `journal`".to_owned()).into());
    };
    let input = both.remove("input").filter(|input| !input.is_null());
    let body = input.map(|input| bytes::Bytes::from(input.to_string())).unwrap_or_default();
    Ok((body, journal))
}

/// What is known of a change, without doing it; when it is under way, it may be told to stop.
async fn remembered(desk: &Desk, work: &Work<'_>, key: &str, digest: &Digest, cancel: bool) -> Response {
    let known = match desk.replay.look(&work.action.operation, key, digest) {
        Remembered::Story(story) => {
            if cancel {
                story.journal.cancel();
            }
            match story.ended() {
                None => json!({"known": true, "under_way": true}),
                Some(answer) => json!({"known": true, "outcome": outcome(answer).map(|told| told.data)}),
            }
        }
        Remembered::Nothing { since } => match elsewhere(desk, work, cancel).await {
            Recalled::UnderWay => json!({"known": true, "under_way": true}),
            Recalled::Nothing if desk.one_process => json!({"known": false, "remembers_since": since}),
            Recalled::Nothing => json!({"known": false}),
            ended @ Recalled::Ended(_) => match ended.into_answer() {
                Some(answer) => json!({"known": true, "outcome": outcome(answer).map(|told| told.data)}),
                None => json!({"known": false}),
            },
        },
    };
    Answer::Done(known).into_response()
}

/// What others remember of a change that this process does not know. Who cannot be asked knows nothing.
async fn elsewhere(desk: &Desk, work: &Work<'_>, cancel: bool) -> Recalled {
    let Some(recall) = &work.action.recall else { return Recalled::Nothing };
    let journal = Arc::new(Journal::new(false, Arc::clone(&desk.clock)));
    if cancel {
        journal.cancel();
    }
    let asked = AssertUnwindSafe(recall(work.context(None, journal), work.input.clone())).catch_unwind();
    match tokio::time::timeout_at(work.deadline, asked.instrument(work.span.clone())).await {
        Ok(Ok(Ok(recalled))) => recalled,
        Ok(Ok(Err(error))) => {
            let detail = &error.problem().detail;
            tracing::warn!(
                operation = work.action.operation,
                detail,
                "what became of a change cannot be asked"
            );
            // Another may know it: not even that it is unknown since a certain moment.
            Recalled::Ended(Err(ActionError::unknown(detail.clone())))
        }
        Ok(Err(_)) | Err(_) => {
            Recalled::Ended(Err(ActionError::unknown("nobody answered what became of it")))
        }
    }
}

async fn read_body(limit: usize, body: Body) -> Result<bytes::Bytes, Box<Problem>> {
    let collected = tokio::time::timeout(BODY_TIME, Limited::new(body, limit).collect());
    match collected.await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.downcast_ref::<LengthLimitError>().is_some() => {
            let detail = format!("the body is larger than the {limit} bytes this provider takes");
            Err(Problem::new(code::BODY_TOO_LARGE, detail).into())
        }
        Ok(Err(error)) => {
            Err(Problem::new(code::BAD_REQUEST, format!("the body cannot be read: {error}")).into())
        }
        Err(_) => Err(Problem::new(code::BAD_REQUEST, "the body did not come within 30 s").into()),
    }
}

fn gather(
    action: &ReadyAction,
    members: &[(String, String)],
    uri: &Uri,
    body: &[u8],
) -> Result<Value, Box<Problem>> {
    let mut path = Vec::with_capacity(members.len());
    for (name, text) in members {
        let text = percent_decode_str(text)
            .decode_utf8()
            .map_err(|_| Problem::new(code::BAD_REQUEST, format!("`{name}` in the path is not UTF-8")))?;
        path.push((name.as_str(), text.into_owned()));
    }
    let Query(query) = Query::<Vec<(String, String)>>::try_from_uri(uri)
        .map_err(|error| Problem::new(code::BAD_REQUEST, format!("the query cannot be read: {error}")))?;
    action.input.gather(path.into_iter(), &query, body)
}

fn remaining(headers: &HeaderMap) -> Option<Duration> {
    let milliseconds = header_text(headers, "guichet-deadline-ms")?.parse().ok()?;
    // A day is the longest an action may take.
    Some(Duration::from_millis(milliseconds).min(Duration::from_hours(24)))
}

fn header_text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok()).filter(|text| !text.is_empty())
}

fn document(desk: &Desk, headers: &HeaderMap) -> Response {
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let current = desk.etag.to_str().unwrap_or_default();
    let fresh = known
        .flat_map(|list| list.split(','))
        .map(str::trim)
        .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == current);
    let mut response = if fresh {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        with_body(StatusCode::OK, "application/json", desk.document.clone())
    };
    let _ = response.headers_mut().insert(header::ETAG, desk.etag.clone());
    response
}

fn wrongly_declared(desk: &Desk) -> Response {
    let detail = format!("provider `{}` is declared wrongly: {}", desk.name, desk.mistakes.join("; "));
    let problem = ActionError::failed(detail).next("tell the owners of the provider").into_problem();
    Answer::problem(problem).into_response()
}

fn method_not_allowed(method: &Method, uri: &Uri, allowed: HeaderValue) -> Response {
    let detail = format!("{} is not offered with {method}", uri.path());
    let mut response = Answer::problem(Problem::new(code::METHOD_NOT_ALLOWED, detail)).into_response();
    let _ = response.headers_mut().insert(header::ALLOW, allowed);
    response
}

fn busy(desk: &Desk) -> Box<Problem> {
    let detail = format!("provider `{}` performs as many calls as it may; nothing was done", desk.name);
    Box::new(Problem::new(code::PROVIDER_BUSY, detail).next("try again in a moment"))
}

fn too_late() -> Answer {
    let detail = "the provider had no answer before the call's deadline";
    Answer::problem(
        Problem::new(code::PROVIDER_SILENT, detail).next("try again; ask for less, if that can be"),
    )
}
