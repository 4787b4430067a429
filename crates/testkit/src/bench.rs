//! A gateway on loopback, with its people, policies and providers.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use guichet_contract::{Clock, SystemClock};
use guichet_gateway::{PlainTracer, ServeSettings};
use guichet_provider_sdk::{Keys, Provider};
use guichet_server::{Assembled, Config, Role, assemble};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::leaping_clock::LeapingClock;

/// The password of everyone in tests.
pub const PASSWORD: &str = "correct horse battery";

/// How long a gateway may take to stop: what it performs may end first, and everybody is let go.
pub const TO_STOP: Duration = Duration::from_mins(3);

/// What a platform shall be like.
#[derive(Default)]
pub struct Setup {
    users: Vec<String>,
    services: Vec<String>,
    policies: BTreeMap<String, String>,
    registry: String,
    sdk: Vec<(String, Provider)>,
    urls: Vec<(String, String)>,
    extra: String,
    files: Vec<(String, String)>,
    clock: Option<LeapingClock>,
}

impl Setup {
    /// Nobody, nothing, default deny.
    pub fn new() -> Self {
        Self::default()
    }
    /// Adds a person.
    #[must_use]
    pub fn person(mut self, name: &str) -> Self {
        self.users.push(name.to_owned());
        self
    }
    /// Adds a service account.
    #[must_use]
    pub fn service(mut self, name: &str) -> Self {
        self.services.push(name.to_owned());
        self
    }
    /// Adds a policy file.
    #[must_use]
    pub fn policy(mut self, file: &str, text: &str) -> Self {
        self.policies.insert(file.to_owned(), text.to_owned());
        self
    }
    /// Sets the registry.
    #[must_use]
    pub fn registry(mut self, yaml: &str) -> Self {
        yaml.clone_into(&mut self.registry);
        self
    }
    /// Adds a provider made with the SDK; it is served on a port of its own.
    #[must_use]
    pub fn provider(mut self, name: &str, provider: impl Into<Provider>) -> Self {
        self.sdk.push((name.to_owned(), provider.into()));
        self
    }
    /// Adds a provider that is already served somewhere.
    #[must_use]
    pub fn provider_at(mut self, name: &str, url: &str) -> Self {
        self.urls.push((name.to_owned(), url.to_owned()));
        self
    }
    /// Adds a file beside the configuration.
    #[must_use]
    pub fn file(mut self, name: &str, text: &str) -> Self {
        self.files.push((name.to_owned(), text.to_owned()));
        self
    }
    /// Adds lines to the configuration.
    #[must_use]
    pub fn config(mut self, toml: &str) -> Self {
        self.extra.push_str(toml);
        self.extra.push('\n');
        self
    }

    /// Has gateway and providers look at this clock.
    #[must_use]
    pub fn clock(mut self, clock: &LeapingClock) -> Self {
        self.clock = Some(clock.clone());
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// Whatever a real start would meet.
    pub async fn start(self) -> anyhow::Result<Bench> {
        install_tls();
        let folder = tempfile::tempdir()?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let stop_providers = CancellationToken::new();
        let mut lines =
            vec![format!("environment = \"staging\"\nlisten = \"{}\"", listener.local_addr()?), self.extra];
        let hash = hash();
        for user in &self.users {
            lines.push(format!("[[user]]\nname = \"{user}\"\npassword_hash = \"{hash}\""));
        }
        for service in &self.services {
            let kind = "kind = \"service_account\"";
            lines.push(format!("[[user]]\nname = \"{service}\"\n{kind}\npassword_hash = \"{hash}\""));
        }
        let mut urls = self.urls;
        let clock: Arc<dyn Clock> = match self.clock {
            Some(clock) => Arc::new(clock),
            None => Arc::new(SystemClock),
        };
        for (name, provider) in self.sdk {
            let provider = provider.clock(Arc::clone(&clock));
            let router = provider.router(Keys::from_gateway(&url)?);
            urls.push((name, serve(router, &stop_providers).await?));
        }
        for (name, at) in &urls {
            lines.push(format!("[[provider]]\nname = \"{name}\"\nurl = \"{at}\"\nstrict = true"));
        }
        let file = folder.path().join("guichet.toml");
        fs::write(&file, lines.join("\n"))?;
        for (name, text) in &self.files {
            fs::write(folder.path().join(name), text)?;
        }
        fs::create_dir(folder.path().join("policy"))?;
        fs::create_dir(folder.path().join("registry"))?;
        for (name, policy) in &self.policies {
            fs::write(folder.path().join("policy").join(name), policy)?;
        }
        fs::write(folder.path().join("registry/registry.yaml"), &self.registry)?;
        let running = Running::start(&file, &clock, listener).await?;
        Ok(Bench { folder, url, file, clock, running: Some(running), providers: urls, stop_providers })
    }
}

/// One argon2id hash for everyone: making one takes a while.
fn hash() -> &'static str {
    static HASH: OnceLock<String> = OnceLock::new();
    HASH.get_or_init(|| guichet_identity::password::hash_password(PASSWORD).unwrap_or_default())
}

/// Once per process.
pub fn install_tls() {
    // A second call answers that it is installed already, which is as well.
    let _already = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

/// Serves a router on a port the system picks, until `stop`.
///
/// # Errors
/// No port.
pub async fn serve(router: axum::Router, stop: &CancellationToken) -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    serve_on(listener, router, stop);
    Ok(url)
}

fn serve_on(listener: TcpListener, router: axum::Router, stop: &CancellationToken) {
    let stopped = stop.clone().cancelled_owned();
    tokio::spawn(async move { axum::serve(listener, router).with_graceful_shutdown(stopped).await });
}

struct Running {
    stop: CancellationToken,
    served: JoinHandle<()>,
}

impl Running {
    async fn start(file: &Path, clock: &Arc<dyn Clock>, listener: TcpListener) -> anyhow::Result<Self> {
        let config = Config::load(file).map_err(|faults| {
            anyhow!(faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
        })?;
        let assembled: Assembled =
            assemble(Role::Whole, &config, Some(Arc::clone(clock)), Arc::new(PlainTracer)).await?;
        let stop = CancellationToken::new();
        let served = tokio::spawn(assembled.serve(listener, ServeSettings::default(), stop.clone()));
        Ok(Self { stop, served })
    }
}

/// A running platform.
pub struct Bench {
    folder: TempDir,
    /// Where the gateway answers.
    pub url: String,
    file: PathBuf,
    clock: Arc<dyn Clock>,
    running: Option<Running>,
    /// Names and addresses.
    providers: Vec<(String, String)>,
    stop_providers: CancellationToken,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: StatusCode,
    /// JSON, or the text as a string.
    pub body: Value,
    /// Headers.
    pub headers: reqwest::header::HeaderMap,
}

impl Answer {
    /// The problem's code; empty when it is none.
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }
}

impl Bench {
    /// The folder with configuration, policies, registry and data.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Stops the gateway as SIGTERM does.
    ///
    /// # Errors
    /// A part that failed while it stopped; it does not stop within [`TO_STOP`].
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        if let Some(running) = self.running.take() {
            running.stop.cancel();
            timeout(TO_STOP, running.served).await.context("the gateway does not stop")??;
        }
        Ok(())
    }

    /// Starts the gateway again on the same folder and port.
    ///
    /// # Errors
    /// As a real start.
    pub async fn start_again(&mut self) -> anyhow::Result<()> {
        let address = self.url.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind(&address).await.with_context(|| address.clone())?;
        self.running = Some(Running::start(&self.file, &self.clock, listener).await?);
        Ok(())
    }

    /// Ends the providers made with the SDK: their ports answer no more.
    pub fn stop_providers(&mut self) {
        std::mem::take(&mut self.stop_providers).cancel();
    }

    /// Serves a provider where the one of this name was served before.
    ///
    /// # Errors
    /// No provider of this name; its port is taken.
    pub async fn provider_again(&mut self, name: &str, provider: Provider) -> anyhow::Result<()> {
        let (_, url) = self.providers.iter().find(|(known, _)| known == name).context("no such provider")?;
        let listener = TcpListener::bind(url.trim_start_matches("http://")).await?;
        let router = provider.clock(Arc::clone(&self.clock)).router(Keys::from_gateway(&self.url)?);
        serve_on(listener, router, &self.stop_providers);
        Ok(())
    }

    /// Signs a person in.
    ///
    /// # Errors
    /// When the gateway does not let them in.
    pub async fn sign_in(&self, user: &str) -> anyhow::Result<Person> {
        let nobody = Person { url: self.url.clone(), token: None, http: http()? };
        let answer = nobody
            .call(Method::POST, "/v1/session", Some(json!({"user": user, "password": PASSWORD})))
            .await?;
        let token =
            answer.body["token"].as_str().ok_or_else(|| anyhow!("{user} was not let in: {}", answer.body))?;
        Ok(Person { token: Some(token.to_owned()), ..nobody })
    }

    /// Someone who is not signed in.
    ///
    /// # Errors
    /// No HTTP client.
    pub fn nobody(&self) -> anyhow::Result<Person> {
        Ok(Person { url: self.url.clone(), token: None, http: http()? })
    }

    /// Someone with this token.
    ///
    /// # Errors
    /// No HTTP client.
    pub fn with_token(&self, token: &str) -> anyhow::Result<Person> {
        Ok(Person { url: self.url.clone(), token: Some(token.to_owned()), http: http()? })
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.stop_providers.cancel();
        if let Some(running) = &self.running {
            running.stop.cancel();
        }
    }
}

fn http() -> anyhow::Result<reqwest::Client> {
    Ok(reqwest::Client::builder().timeout(Duration::from_mins(1)).build()?)
}

/// Someone who calls the gateway over HTTP.
#[derive(Clone)]
pub struct Person {
    url: String,
    token: Option<String>,
    http: reqwest::Client,
}

impl Person {
    /// Their token, when they are signed in.
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// Any call.
    ///
    /// # Errors
    /// No answer.
    pub async fn call(&self, method: Method, path: &str, body: Option<Value>) -> anyhow::Result<Answer> {
        self.call_with(method, path, body, &[]).await
    }

    /// Any call, with headers.
    ///
    /// # Errors
    /// No answer.
    pub async fn call_with(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
        headers: &[(&str, &str)],
    ) -> anyhow::Result<Answer> {
        let mut request = self.http.request(method, format!("{}{path}", self.url));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await?;
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok(Answer { status, body, headers })
    }

    /// `GET`.
    ///
    /// # Errors
    /// No answer.
    pub async fn get(&self, path: &str) -> anyhow::Result<Answer> {
        self.call(Method::GET, path, None).await
    }

    /// `POST`.
    ///
    /// # Errors
    /// No answer.
    pub async fn post(&self, path: &str, body: Value) -> anyhow::Result<Answer> {
        self.call(Method::POST, path, Some(body)).await
    }

    /// Submits a run.
    ///
    /// # Errors
    /// No answer.
    pub async fn submit(&self, action: &str, input: Value) -> anyhow::Result<Answer> {
        self.post(&format!("/v1/actions/{action}/runs"), json!({"input": input, "reason": "a test"})).await
    }

    /// Waits until a run has ended, by its event stream, and gives it.
    ///
    /// # Errors
    /// No answer.
    pub async fn end_of(&self, run: &str) -> anyhow::Result<Value> {
        let events = self.get(&format!("/v1/runs/{run}/events")).await?;
        anyhow::ensure!(events.status == StatusCode::OK, "no events: {}", events.body);
        Ok(self.get(&format!("/v1/runs/{run}")).await?.body)
    }
}
