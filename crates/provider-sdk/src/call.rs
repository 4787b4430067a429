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
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;

use crate::{
    answer::{Answer, with_body},
    context::Context,
    error::ActionError,
    prepared::{Desk, ReadyAction},
    replay::Entered,
    routes::Routed,
    story::{Story, Told},
    token::{Claims, denied},
};

/// How long a caller may take to send its body.
const BODY_TIME: Duration = Duration::from_secs(30);
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
    let body = if action.input.has_body() { read_body(desk, body).await? } else { bytes::Bytes::new() };
    let input = gather(action, &members, &parts.uri, &body)?;
    let digest = action.input.digest(&input);
    if mode != Mode::Read && !desk.verifier.believes_anyone() {
        belongs_to(&claims, mode, key, &digest)?;
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
        Mode::Plan => look(desk, work.deadline, plan(&work)).await,
        Mode::Read if action.long => stream_read(desk, &work),
        Mode::Read => look(desk, work.deadline, perform(&work, None)).await,
        Mode::Change => {
            let Some(key) = key else {
                return Err(
                    Problem::new(code::BAD_REQUEST, "a change needs the header Idempotency-Key").into()
                );
            };
            change(desk, &work, key, &digest).await
        }
    }
}

/// What is asked of an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Read,
    Plan,
    Change,
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
            Some(other) => {
                let detail = format!("`{other}` is no Guichet-Mode: plan or perform");
                Err(Problem::new(code::BAD_REQUEST, detail).into())
            }
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Plan => "plan",
            Self::Change => "change",
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
    fn context(&self, story: Option<Arc<Story>>) -> Context {
        Context::new(
            &self.action.operation,
            Arc::clone(&self.claims),
            self.planned.clone(),
            self.deadline,
            story,
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
) -> Result<Response, Box<Problem>> {
    let story = match desk.replay.enter(&work.action.operation, key, digest) {
        Entered::Conflict => {
            let detail = format!("`{key}` was used for this operation with another input");
            return Err(Problem::new(code::IDEMPOTENCY_CONFLICT, detail).into());
        }
        Entered::Again(story) => story,
        Entered::First(ticket) => {
            let Ok(place) = Arc::clone(&desk.places).try_acquire_owned() else {
                let problem = busy(desk);
                ticket.give_back(Answer::problem(problem.clone()));
                return Err(problem);
            };
            let story = Arc::clone(&ticket.story);
            let told = work.action.long.then(|| Arc::clone(&story));
            let performed = perform(work, told);
            drop(desk.tasks.spawn(async move {
                let answer = performed.await;
                ticket.end(answer);
                drop(place);
            }));
            story
        }
    };
    if work.action.long {
        Ok(event_stream(story, None))
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
    let story = Arc::new(Story::new());
    let performed = perform(work, Some(Arc::clone(&story)));
    let (deadline, told) = (work.deadline, Arc::clone(&story));
    let task = tokio::spawn(async move {
        let answer = tokio::time::timeout_at(deadline, performed).await.unwrap_or_else(|_| too_late());
        told.end(answer);
        drop(place);
    });
    Ok(event_stream(story, Some(AbortOnDropHandle::new(task))))
}

/// The handler's future, which owns all it needs and never panics.
fn perform(work: &Work<'_>, story: Option<Arc<Story>>) -> impl Future<Output = Answer> + Send + 'static {
    let perform = Arc::clone(&work.action.perform);
    let (context, input) = (work.context(story), work.input.clone());
    let done = async move { perform(context, input).await };
    let may_have_acted = work.action.effect != Effect::Read;
    settle(done, work.action.operation.clone(), may_have_acted).instrument(work.span.clone())
}

fn plan(work: &Work<'_>) -> impl Future<Output = Answer> + Send + 'static {
    let plan = work.action.plan.clone();
    let (context, input) = (work.context(None), work.input.clone());
    let done = async move {
        let plan = plan.ok_or_else(|| ActionError::failed("this action makes no plans"))?;
        let plan = plan(context, input).await?;
        if let Some(name) = plan.repeated_facts().into_iter().next() {
            let detail = format!("the plan has more than one fact called `{name}`, and no gateway takes it");
            return Err(ActionError::failed(detail).next("make it one fact with a list, or name each apart"));
        }
        serde_json::to_value(plan).map_err(|error| ActionError::failed(error.to_string()))
    };
    settle(done, work.action.operation.clone(), false).instrument(work.span.clone())
}

/// A handler that breaks off half-way may have acted: of a change nobody can say then, and nothing is claimed.
async fn settle(
    done: impl Future<Output = Result<Value, ActionError>>,
    operation: String,
    may_have_acted: bool,
) -> Answer {
    match AssertUnwindSafe(done).catch_unwind().await {
        Ok(Ok(result)) => Answer::Done(result),
        Ok(Err(error)) => {
            let problem = error.into_problem();
            tracing::info!(operation, status = problem.status, detail = problem.detail, "not done");
            Answer::problem(problem)
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
fn event_stream(story: Arc<Story>, task: Option<AbortOnDropHandle<()>>) -> Response {
    let mut response = Response::new(Body::from_stream(frames(story, task)));
    let headers = response.headers_mut();
    let _ = headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    let _ = headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn frames(
    story: Arc<Story>,
    task: Option<AbortOnDropHandle<()>>,
) -> impl Stream<Item = Result<String, std::convert::Infallible>> + Send + 'static {
    stream::unfold(Some((story, task, 0_u64)), |state| async move {
        let (story, task, mut position) = state?;
        match tokio::time::timeout(KEEP_ALIVE, story.next(&mut position)).await {
            Err(_) => Some((Ok(": keep-alive\n\n".to_owned()), Some((story, task, position)))),
            Ok((news, end)) => {
                let mut text: String = news.iter().map(frame).collect();
                let ended = end.is_some();
                // Lost work ends without an outcome: the gateway takes that as unknown.
                text.extend(end.and_then(outcome).as_ref().map(frame));
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
        Answer::Lost => return None,
    };
    Some(Told { name: "outcome", data })
}

async fn read_body(desk: &Desk, body: Body) -> Result<bytes::Bytes, Box<Problem>> {
    let collected = tokio::time::timeout(BODY_TIME, Limited::new(body, desk.body_limit).collect());
    match collected.await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.downcast_ref::<LengthLimitError>().is_some() => {
            let detail = format!("the body is larger than the {} bytes this provider takes", desk.body_limit);
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
