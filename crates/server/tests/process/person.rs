//! Someone who calls the gateway, wherever it answers after its last start.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use guichet_testkit::patience::until_within;
use reqwest::{Method, StatusCode, header::HeaderMap};
use serde_json::{Value, json};

/// Nobody answers here.
const NOWHERE: &str = "http://127.0.0.1:1";

/// Where the gateway answers at present.
#[derive(Clone)]
pub(crate) struct Address(Arc<RwLock<String>>);

impl Address {
    pub(crate) fn nowhere() -> Self {
        Self(Arc::new(RwLock::new(NOWHERE.to_owned())))
    }
    pub(crate) fn moved_to(&self, url: &str) {
        url.clone_into(&mut self.0.write().unwrap_or_else(PoisonError::into_inner));
    }
    /// The port of a process that is gone may be somebody else's by now.
    pub(crate) fn gone(&self) {
        self.moved_to(NOWHERE);
    }
    pub(crate) fn url(&self) -> String {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What came back.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// JSON, or the text as a string.
    pub(crate) body: Value,
    pub(crate) headers: HeaderMap,
}

impl Answer {
    pub(crate) fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }
    /// The run's id.
    pub(crate) fn id(&self) -> String {
        self.body["id"].as_str().unwrap_or_else(|| panic!("no run: {}", self.body)).to_owned()
    }
}

/// With a token, or without.
#[derive(Clone)]
pub(crate) struct Person {
    address: Address,
    http: reqwest::Client,
    token: Option<String>,
}

impl Person {
    pub(crate) fn nobody(address: &Address) -> Self {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(30)).build().unwrap();
        Self { address: address.clone(), http, token: None }
    }

    pub(crate) fn url(&self) -> String {
        self.address.url()
    }

    /// The same person, with the same token, at another gateway.
    pub(crate) fn at(&self, address: &Address) -> Self {
        Self { address: address.clone(), ..self.clone() }
    }

    /// What it signed in with.
    pub(crate) fn token(&self) -> &str {
        self.token.as_deref().expect("signed in")
    }

    pub(crate) fn with_token(self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self }
    }

    pub(crate) async fn sign_in(self, name: &str, password: &str) -> Self {
        let answer = self.post("/v1/session", json!({"user": name, "password": password})).await;
        let token =
            answer.body["token"].as_str().unwrap_or_else(|| panic!("{name} was not let in: {}", answer.body));
        Self { token: Some(token.to_owned()), ..self }
    }

    /// Any call; an error when nobody answers.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        headers: &[(&str, &str)],
    ) -> reqwest::Result<Answer> {
        let mut request = self.http.request(method, format!("{}{path}", self.address.url()));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await?;
        Ok(Answer { status, headers, body: serde_json::from_str(&text).unwrap_or(Value::String(text)) })
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, None, &[]).await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.call(Method::POST, path, Some(&body), &[]).await.unwrap()
    }

    pub(crate) async fn submit(&self, action: &str, input: Value) -> Answer {
        self.post(&format!("/v1/actions/{action}/runs"), json!({"input": input, "reason": "a test"})).await
    }

    /// Submits and gives the id.
    pub(crate) async fn submitted(&self, action: &str, input: Value) -> String {
        let answer = self.submit(action, input).await;
        assert_eq!(answer.status, 202, "{}", answer.body);
        answer.id()
    }

    pub(crate) async fn run(&self, run: &str) -> Value {
        let answer = self.get(&format!("/v1/runs/{run}")).await;
        assert_eq!(answer.status, 200, "run {run} is lost: {}", answer.body);
        answer.body
    }

    pub(crate) async fn state(&self, run: &str) -> String {
        self.run(run).await["state"].as_str().unwrap_or_default().to_owned()
    }

    /// Waits for the end of a run, by its event stream, and gives it.
    pub(crate) async fn end_of(&self, run: &str) -> Value {
        let events = self.get(&format!("/v1/runs/{run}/events")).await;
        assert_eq!(events.status, 200, "{}", events.body);
        self.run(run).await
    }

    /// How a run ended at last: one that is not known may still be found out, within so long.
    pub(crate) async fn end_at_last(&self, run: &str, within: Duration) -> String {
        until_within(within, "the end of a run", || async {
            let state = self.state(run).await;
            (state != "running" && state != "queued" && state != "unknown").then_some(state)
        })
        .await
    }

    /// Whether the gateway says that it is ready; no answer is a no.
    pub(crate) async fn is_ready(&self) -> bool {
        self.call(Method::GET, "/readyz", None, &[]).await.is_ok_and(|answer| answer.status == 200)
    }

    /// Waits for an event of a run, as a line that has all these words.
    pub(crate) async fn hears(&self, run: &str, words: &[&str]) {
        let mut request = self.http.get(format!("{}/v1/runs/{run}/events", self.address.url()));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let mut events = request.send().await.unwrap();
        let mut told = String::new();
        while let Some(more) = events.chunk().await.unwrap() {
            told.push_str(&String::from_utf8_lossy(&more));
            if told.lines().any(|line| words.iter().all(|word| line.contains(word))) {
                return;
            }
        }
        panic!("run {run} ended without {words:?}: {told}");
    }

    /// All items of a list, page by page.
    pub(crate) async fn all(&self, path: &str) -> Vec<Value> {
        let (mut items, mut cursor) = (Vec::new(), String::new());
        let join = if path.contains('?') { '&' } else { '?' };
        loop {
            let page = self.get(&format!("{path}{join}limit=500{cursor}")).await;
            assert_eq!(page.status, 200, "{}", page.body);
            items.extend(page.body["items"].as_array().unwrap().iter().cloned());
            match page.body["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return items,
            }
        }
    }
}
