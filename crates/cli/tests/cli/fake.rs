//! A gateway that plays a part, and a home directory to meet it from.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use assert_cmd::Command;
use axum::{
    Json, Router,
    body::Body,
    extract::{Path as Route, Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::{delete, get, post},
};
use guichet_contract::{
    Approval, Approvers, Catalogue, Decision, Digest, Plan, Principal, Problem, Run, RunId, RunState,
    Schedule, Surface, Verdict, code,
};
use guichet_ledger::Signer;
use serde_json::{Value, json};

use crate::offered::catalogue;

/// What the gateway remembers and what it is told to do.
#[derive(Default)]
pub(crate) struct Part {
    /// Every request: method, path, the headers that matter, body.
    pub(crate) seen: Vec<Seen>,
    pub(crate) catalogue: Option<Catalogue>,
    /// Answers for the next submissions, before the ordinary one. `None` does what is asked and then loses the answer.
    pub(crate) submissions: VecDeque<Option<Problem>>,
    /// What each connection to the events of a run gives before it is cut.
    pub(crate) connections: VecDeque<String>,
    /// The run, as it is told from now on.
    pub(crate) run: Option<Run>,
    /// How the run is once its last connection was read.
    pub(crate) run_at_the_end: Option<Run>,
    /// Schedules that wait for people.
    pub(crate) waiting_schedules: Vec<Schedule>,
    pub(crate) leaves: Vec<String>,
    /// So many of them were archived, or so it says.
    pub(crate) pruned: usize,
    pub(crate) signer: Option<Signer>,
    /// What `GET /v1/ledger/key` says.
    pub(crate) keys: String,
    pub(crate) checkpoint: String,
    /// Since when the provider `demo` is not there.
    pub(crate) absent_since: Option<&'static str>,
}

#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) line: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

pub(crate) type Shared = Arc<Mutex<Part>>;

/// A running gateway; it ends with the test.
pub(crate) struct Fake {
    pub(crate) part: Shared,
    pub(crate) address: SocketAddr,
    home: tempfile::TempDir,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

pub(crate) const TOKEN: &str = "gt_dana_0001";

impl Fake {
    /// Starts it, with a signed-in person and a filled cache.
    pub(crate) fn start() -> Self {
        let fake = Self::start_unknown();
        fake.command(&["login", "--user", "dana", "--password-stdin", "--gateway", &fake.url()])
            .write_stdin("correct horse\n")
            .assert()
            .success();
        fake.part.lock().unwrap().seen.clear();
        fake
    }

    /// Starts it; nobody has ever signed in.
    pub(crate) fn start_unknown() -> Self {
        let part: Shared = Arc::new(Mutex::new(Part { catalogue: Some(catalogue()), ..Part::default() }));
        let (address_out, address_in) = std::sync::mpsc::channel();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let app = app(part.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                address_out.send(listener.local_addr().unwrap()).unwrap();
                tokio::select! {
                    served = axum::serve(listener, app) => served.unwrap(),
                    _ = stopped => {}
                }
            });
        });
        let address = address_in.recv().unwrap();
        Self { part, address, home: tempfile::tempdir().unwrap(), stop: Some(stop), thread: Some(thread) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    pub(crate) fn cache(&self, file: &str) -> PathBuf {
        self.home.path().join("cache/guichet/staging").join(file)
    }

    pub(crate) fn config(&self, file: &str) -> PathBuf {
        self.home.path().join("config/guichet").join(file)
    }

    /// `guichet …` in this home, without a terminal.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("guichet"));
        command
            // Only a test that fails takes so long.
            .timeout(Duration::from_mins(2))
            .env_clear()
            .env("HOME", self.home.path())
            .env("XDG_CONFIG_HOME", self.home.path().join("config"))
            .env("XDG_CACHE_HOME", self.home.path().join("cache"))
            .args(arguments);
        command
    }

    /// Runs it: exit code, standard output, standard error.
    pub(crate) fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let output = self.command(arguments).output().unwrap();
        let text = |bytes: Vec<u8>| {
            let text = String::from_utf8(bytes).unwrap();
            assert!(!text.contains('\x1b'), "control codes without a terminal: {text:?}");
            text.replace(&self.address.to_string(), "GATEWAY")
        };
        assert_ne!(
            output.status.code(),
            Some(101),
            "it panicked: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
    }

    /// As one text, for a snapshot.
    pub(crate) fn told(&self, line: &str) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (exit, out, err) = self.run(&words);
        format!("$ guichet {line}\nexit {exit}\n--- out\n{out}--- err\n{err}")
    }

    /// Requests with this method and beginning of path.
    pub(crate) fn seen(&self, line: &str) -> Vec<Seen> {
        let part = self.part.lock().unwrap();
        part.seen.iter().filter(|seen| seen.line.starts_with(line)).cloned().collect()
    }

    /// Stops answering.
    pub(crate) fn stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.stop();
    }
}

fn app(part: Shared) -> Router {
    Router::new()
        .route("/v1/session", post(sign_in).get(who_am_i).delete(|| async { StatusCode::NO_CONTENT }))
        .route("/v1/tokens", post(create_token).get(list_tokens))
        .route("/v1/tokens/{id}", delete(|| async { StatusCode::NO_CONTENT }))
        .route("/v1/catalogue", get(get_catalogue))
        .merge(crate::policy::routes())
        .merge(crate::schedules::routes())
        .merge(crate::deliveries::routes())
        .route("/v1/actions/{action}/plan", post(plan))
        .route("/v1/actions/{action}/options/{member}", post(options))
        .route("/v1/actions/{action}/runs", post(submit))
        .route("/v1/runs", get(list_runs))
        .route("/v1/approvals", get(list_approvals))
        .route("/v1/runs/{run}", get(get_run))
        .route("/v1/runs/{run}/events", get(events))
        .route("/v1/runs/{run}/undo", post(undo))
        .route("/v1/runs/{run}/{verb}", post(decide))
        .route("/v1/records", get(records))
        .merge(crate::providers::routes())
        .route(
            "/v1/ledger/checkpoint",
            get(|State(part): State<Shared>| async move { lock(&part).checkpoint.clone() }),
        )
        .route("/v1/ledger/key", get(key))
        .route("/v1/ledger/export", get(export))
        .route("/v1/ledger/tile/{*path}", get(tile))
        .layer(axum::middleware::from_fn_with_state(part.clone(), door))
        .with_state(part)
}

fn lock(part: &Shared) -> std::sync::MutexGuard<'_, Part> {
    part.lock().unwrap()
}

/// Writes down every request, and lets nobody in without the token.
async fn door(
    State(part): State<Shared>,
    request: axum::extract::Request,
    next: axum::middleware::Next,
) -> Response {
    let (head, body) = request.into_parts();
    let bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let line = format!("{} {}", head.method, head.uri);
    let seen = Seen {
        line: line.clone(),
        headers: head.headers.clone(),
        body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
    };
    lock(&part).seen.push(seen);
    let token = head.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if line != "POST /v1/session" && token != Some(&format!("Bearer {TOKEN}")) {
        return refuse(Problem::new(code::NOT_SIGNED_IN, "there are no credentials with this request"));
    }
    next.run(axum::extract::Request::from_parts(head, Body::from(bytes))).await
}

fn refuse(problem: Problem) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap();
    let mut response = (status, Json(problem)).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, "application/problem+json".parse().unwrap());
    response
}

async fn sign_in(Json(body): Json<Value>) -> Response {
    if body["password"] != "correct horse" {
        return refuse(Problem::new(code::INVALID_CREDENTIALS, "name and password do not belong together"));
    }
    let answer = json!({
        "token": TOKEN, "token_id": "0199aaaa-0000-7000-8000-000000000001", "expires_at": "2026-11-21T20:00:00Z",
        "principal": Principal::person("dana").in_teams(["shop"]), "environment": "staging",
    });
    (StatusCode::CREATED, Json(answer)).into_response()
}

async fn who_am_i() -> Json<Value> {
    Json(json!({
        "principal": Principal::person("dana").in_teams(["shop"]), "environment": "staging",
        "token_id": "0199aaaa-0000-7000-8000-000000000001", "expires_at": "2026-11-21T20:00:00Z",
        "token_kind": "session",
    }))
}

async fn create_token(Json(body): Json<Value>) -> Response {
    let answer = json!({
        "id": "tok1", "token": "gt_ci_0002", "name": body["name"], "scopes": body["scopes"],
        "expires_at": "2026-12-21T08:00:00Z",
    });
    (StatusCode::CREATED, Json(answer)).into_response()
}

async fn list_tokens() -> Json<Value> {
    Json(json!({"items": [{
        "id": "tok1", "name": "ci", "scopes": ["read"], "created_at": "2026-11-21T08:00:00Z",
        "expires_at": "2026-12-21T08:00:00Z", "last_used_at": null,
    }], "next": null}))
}

async fn get_catalogue(State(part): State<Shared>, headers: HeaderMap) -> Response {
    let part = lock(&part);
    let catalogue = part.catalogue.as_ref().unwrap();
    let etag = format!("\"{}\"", catalogue.digest);
    if headers.get(header::IF_NONE_MATCH).is_some_and(|known| *known == *etag) {
        return StatusCode::NOT_MODIFIED.into_response();
    }
    ([(header::ETAG, etag)], Json(catalogue)).into_response()
}

async fn plan(Route(action): Route<String>) -> Json<Value> {
    let run = run_of(&action, &json!({}), RunState::AwaitingApproval);
    let decision = if run.approvals.is_empty() { "allowed" } else { "needs_approval" };
    Json(json!({
        "plan": run.plan, "decision": decision, "approvals": run.approvals, "resource": run.resource, "owner": run.owner,
    }))
}

async fn options(Route((_, member)): Route<(String, String)>) -> Json<Value> {
    Json(match member.as_str() {
        "identifier" => json!({"items": [
            {"value": "billing", "label": "billing (primary)"}, {"value": "shop", "label": "shop (primary)"},
        ]}),
        _ => json!({"items": [
            {"value": 14024, "label": "14024 update orders"}, {"value": 7, "label": "7 select 1"},
        ]}),
    })
}

async fn submit(
    State(part): State<Shared>,
    Route(action): Route<String>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    let mut part = lock(&part);
    if let Some(Some(problem)) = part.submissions.front().cloned() {
        part.submissions.pop_front();
        return refuse(problem);
    }
    let lose_answer = part.submissions.pop_front().is_some();
    match action.as_str() {
        "demo.echo" => return Json(json!({"result": body["input"]})).into_response(),
        // Those of the vault are read with an approval.
        "postgres.queries" if body["input"]["identifier"] == "vault" => {}
        "postgres.queries" => return Json(json!({"result": queries()})).into_response(),
        _ => {}
    }
    let key = headers.get("idempotency-key").map(|key| key.to_str().unwrap().to_owned());
    let repeated =
        part.run.as_ref().is_some_and(|run| run.idempotency_key.is_some() && run.idempotency_key == key);
    if !repeated {
        let needs_approval = ["postgres.cancel-query", "postgres.queries"].contains(&action.as_str());
        let state = if needs_approval { RunState::AwaitingApproval } else { RunState::Queued };
        let mut run = run_of(&action, &body["input"], state);
        run.reason = body["reason"].as_str().map(str::to_owned);
        run.idempotency_key = key;
        part.run = Some(run);
    }
    if lose_answer {
        return (StatusCode::BAD_GATEWAY, "<html>bad gateway</html>").into_response();
    }
    let run = part.run.clone().unwrap();
    let status = if repeated { StatusCode::OK } else { StatusCode::ACCEPTED };
    (status, [(header::LOCATION, format!("/v1/runs/{}", run.id))], Json(run)).into_response()
}

/// The run that undoes, which comes to its end.
async fn undo(State(part): State<Shared>, headers: HeaderMap) -> Response {
    let mut part = lock(&part);
    match part.submissions.pop_front() {
        Some(Some(problem)) => return refuse(problem),
        Some(None) => return (StatusCode::BAD_GATEWAY, "<html>bad gateway</html>").into_response(),
        None => {}
    }
    let mut run = run_of("postgres.cancel-query", &json!({}), RunState::Queued);
    run.idempotency_key = headers.get("idempotency-key").map(|key| key.to_str().unwrap().to_owned());
    part.run = Some(run.clone());
    (StatusCode::ACCEPTED, Json(run)).into_response()
}

async fn list_runs(State(part): State<Shared>) -> Json<Value> {
    let items: Vec<Run> = lock(&part).run.clone().into_iter().collect();
    Json(json!({"items": items, "next": null}))
}

async fn list_approvals(State(part): State<Shared>) -> Json<Value> {
    let part = lock(&part);
    let items: Vec<&Run> = part.run.iter().collect();
    Json(json!({"items": items, "schedules": part.waiting_schedules, "next": null}))
}

async fn get_run(State(part): State<Shared>, Route(run): Route<String>) -> Response {
    match &lock(&part).run {
        Some(known) if known.id.to_string() == run || known.id.short() == run => Json(known).into_response(),
        _ => refuse(Problem::new(code::UNKNOWN_RUN, format!("no run has the id {run}"))),
    }
}

async fn events(State(part): State<Shared>) -> Response {
    let mut part = lock(&part);
    let text = part.connections.pop_front();
    if part.connections.is_empty()
        && let Some(end) = part.run_at_the_end.take()
    {
        part.run = Some(end);
    }
    let body = match text {
        Some(text) => Body::from(text),
        // Nothing more happens: the stream stays open.
        None => Body::from_stream(futures_util::stream::pending::<Result<String, std::io::Error>>()),
    };
    ([(header::CONTENT_TYPE, "text/event-stream")], body).into_response()
}

async fn decide(
    State(part): State<Shared>,
    Route((_, verb)): Route<(String, String)>,
    body: String,
) -> Response {
    let mut part = lock(&part);
    let body: Value = serde_json::from_str(&body).unwrap_or_default();
    let run = part.run.as_mut().unwrap();
    if verb == "approve" && body["binding"] != run.binding.as_str() {
        return refuse(Problem::new(code::BINDING_CHANGED, "the plan is another one now"));
    }
    let (state, verdict) = match verb.as_str() {
        "approve" => (RunState::Queued, Some(Verdict::Approve)),
        "reject" => (RunState::Rejected, Some(Verdict::Reject)),
        _ => (RunState::Cancelled, None),
    };
    run.state = state;
    run.decisions.extend(verdict.map(|verdict| decision("mona", verdict, body["reason"].as_str())));
    Json(run.clone()).into_response()
}

async fn records(Query(query): Query<Vec<(String, String)>>) -> Response {
    if query.iter().any(|(name, value)| name == "principal" && value == "nobody") {
        return Json(json!({"items": [], "next": null})).into_response();
    }
    Json(json!({"items": [{
        "index": 7, "at": "2026-11-21T08:00:00Z", "verb": "submit_run", "verdict": "allowed", "environment": "staging",
        "surface": "cli", "principal": Principal::person("dana"), "action": "postgres.cancel-query",
        "resource": "postgres/shop", "run": run_id(), "reason": "blocks checkout",
    }], "next": null}))
    .into_response()
}

async fn key(State(part): State<Shared>) -> String {
    lock(&part).keys.clone()
}

/// At most three lines at once, so that a reader must come back.
async fn export(State(part): State<Shared>, Query(query): Query<Vec<(String, String)>>) -> Response {
    let part = lock(&part);
    let from: usize = query.iter().find(|(name, _)| name == "from").unwrap().1.parse().unwrap();
    let from = from.max(part.pruned);
    let text = part.leaves.iter().skip(from).take(3).fold(String::new(), |text, leaf| text + leaf + "\n");
    ([("guichet-first-index", from.to_string())], text).into_response()
}

/// The hashes of what the checkpoint covers, as they were when it was signed.
async fn tile(State(part): State<Shared>, Route(path): Route<String>) -> Response {
    let part = lock(&part);
    match part.signer.as_ref().filter(|_| path.starts_with("0/000")) {
        Some(_) => crate::signing::signed_leaves()
            .iter()
            .flat_map(|leaf| guichet_ledger::leaf_hash(leaf.as_bytes()))
            .collect::<Vec<u8>>()
            .into_response(),
        None => refuse(Problem::new(code::NOT_FOUND, path)),
    }
}

/// The id of every run here.
pub(crate) fn run_id() -> RunId {
    "0199aaaa-bbbb-7ccc-8ddd-eeee1a2b3c4d".parse().unwrap()
}

fn queries() -> Value {
    json!({"queries": [
        {"pid": 14024, "depth": 0, "user": "checkout", "seconds": 312, "query": "update orders\n  set state = 'paid'"},
        {"pid": 14031, "depth": 1, "user": "stock", "seconds": 290, "query": "select 1\x1b[2J"},
        {"pid": 14040, "depth": 1, "user": null, "seconds": 12, "query": "with, comma and \"quotes\""},
    ]})
}

/// Someone's yes or no.
pub(crate) fn decision(by: &str, verdict: Verdict, reason: Option<&str>) -> Decision {
    Decision {
        by: by.to_owned(),
        verdict,
        lifts: vec!["cancelling-queries".to_owned()],
        reason: reason.map(str::to_owned),
        at: "2026-11-21T08:01:00Z".parse().unwrap(),
    }
}

/// A run of this action.
pub(crate) fn run_of(action: &str, input: &Value, state: RunState) -> Run {
    let catalogue = catalogue();
    let action = catalogue.action(action).unwrap();
    let mut plan = Plan::new(match action.id.as_str() {
        "postgres.drop-index" => "Drop the index orders_state_idx on shop",
        _ => "Cancel the query of pid 14024 on shop",
    });
    plan = plan.fact("query", "update orders set state = 'paid'").moving_fact("blocked sessions", 3);
    let approvals = match &action.approval {
        Some(_) => vec![Approval {
            policy: "cancelling-queries".to_owned(),
            because: "cancelling someone's query".to_owned(),
            by: Approvers::Team("dba".to_owned()),
            teams: vec!["dba".to_owned()],
            count: 1,
            // Far away, so that what is told of it does not change while a test runs.
            expires_at: "2126-11-21T12:00:00Z".parse().unwrap(),
        }],
        None => Vec::new(),
    };
    let mut run = Run {
        id: run_id(),
        action: action.id.clone(),
        action_version: action.version.clone(),
        command: action.command.clone(),
        title: action.title.clone(),
        effect: action.effect,
        environment: "staging".to_owned(),
        state,
        requested_by: Principal::person("dana"),
        surface: Surface::Cli,
        reason: None,
        input: input.clone(),
        resource: "postgres/shop".to_owned(),
        owner: Some("shop".to_owned()),
        plan: Some(plan),
        policy_version: Digest::of_bytes(b"policy"),
        salt: None,
        binding: Digest::of_bytes(b""),
        approvals,
        decisions: Vec::new(),
        broken_glass: None,
        cool_down_seconds: 0,
        timeout_seconds: None,
        undoes: None,
        undone_by: None,
        undo: None,
        concurrency: None,
        behind: None,
        schedule: None,
        starts_at: None,
        waits_until: None,
        cancel_asked: None,
        created_at: "2026-11-21T08:00:00Z".parse().unwrap(),
        expires_at: None,
        started_at: None,
        finished_at: None,
        outcome: None,
        trace_id: None,
        idempotency_key: None,
    };
    run.binding = run.compute_binding();
    run
}

/// The same run at its end.
pub(crate) fn ended(mut run: Run, state: RunState, outcome: Option<guichet_contract::Outcome>) -> Run {
    run.state = state;
    run.started_at = Some("2026-11-21T08:01:00Z".parse().unwrap());
    run.finished_at = Some("2026-11-21T08:01:02.100Z".parse().unwrap());
    run.outcome = outcome;
    run
}

/// One event as it stands in the stream.
pub(crate) fn event(seq: u64, kind: &Value) -> String {
    let mut data = json!({"run": run_id(), "seq": seq, "at": "2026-11-21T08:01:00Z"});
    data.as_object_mut().unwrap().extend(kind.as_object().unwrap().clone());
    format!("id: {seq}\nevent: {}\ndata: {data}\n\n", kind["kind"].as_str().unwrap())
}
