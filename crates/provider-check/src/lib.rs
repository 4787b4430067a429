//! The conformance kit: plays the gateway, and holds a provider in any language to `docs/provider-protocol.md`.
//!
//! It serves keys, signs tokens, reads the document with the contract's own reader, and then makes the calls that the page
//! tells of, the good ones and the bad ones. It is a reading of the page of its own: it shares no line with
//! `crates/provider-sdk`, so that a mistake there is not made here again.
//!
//! What a case cannot try at a provider it leaves out and says why. A provider that declares the kit's own actions
//! (`docs/conformance.md`) has all of them tried; of any other one, nothing is called that changes something.
//!
//! Begin reading at [`check`], then `cases/mod.rs`: the list of all cases.

mod answer;
mod call;
mod cases;
mod keys;
mod presence;
mod process;
mod report;
mod story;

use std::{net::SocketAddr, time::Duration};

use guichet_contract::{
    Action, Effect,
    openapi::{self, Strictness},
};
use serde_json::{Value, json};

pub use crate::report::{Case, Failure, Report, Status};
use crate::{
    answer::{Answer, Not},
    call::Call,
    keys::KeyDesk,
    process::Process,
};

/// How long one case may take.
const CASE_TIME: Duration = Duration::from_secs(90);

/// Which provider is checked.
#[derive(Debug, Clone)]
pub enum Target {
    /// One that runs at this URL. It must have been told to ask the kit for keys: `GUICHET_GATEWAY=http://{keys}`.
    Url(String),
    /// One that the kit starts: program and arguments. It is told where to listen and whom to believe by the environment
    /// variables that `docs/provider-protocol.md` names.
    Command(Vec<String>),
}

/// What is checked, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// Which provider.
    pub target: Target,
    /// Where the kit serves its keys; port 0 lets the system choose.
    pub keys: SocketAddr,
    /// Name of the provider, where its document says none in `x-guichet.provider`.
    pub name: Option<String>,
    /// Only cases whose name contains this.
    pub only: Option<String>,
}

/// Why nothing could be checked.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The address for the keys cannot be had.
    #[error("the kit cannot serve its keys at {0}: {1}")]
    Keys(SocketAddr, std::io::Error),
    /// No key can be made.
    #[error("the kit cannot make a key: {0}")]
    NoKey(String),
    /// The URL is none.
    #[error("`{0}` is no URL of a provider: write http://host:port or https://host")]
    Url(String),
    /// The program cannot be started, or ended at once.
    #[error("the provider cannot be started: {0}")]
    Start(String),
    /// Nobody answers.
    #[error("no provider answers at {url}: {why}")]
    Nobody {
        /// Where it was looked for.
        url: String,
        /// What came instead.
        why: String,
    },
    /// What it is called cannot be told.
    #[error(
        "the document does not say what the provider is called: write `x-guichet: {{provider: NAME}}` at its top, or give --name"
    )]
    NoName,
}

/// Runs every case against the provider; `tell` hears each as it ends.
///
/// # Errors
/// The provider is not there, or the kit has no place to serve its keys. What the provider does wrong is no error: the report
/// tells it.
pub async fn check(options: Options, mut tell: impl FnMut(&Case)) -> Result<Report, CheckError> {
    let desk = KeyDesk::open(options.keys).await?;
    let (url, process) = match &options.target {
        Target::Url(url) => (url.clone(), None),
        Target::Command(words) => {
            let process = Process::start(words, &desk).await?;
            (process.url.clone(), Some(process))
        }
    };
    let kit = Kit::open(&url, desk, options.name, process).await?;
    let mut report = Report::new(&url, &kit.name);
    for case in cases::ALL {
        if options.only.as_ref().is_some_and(|only| !case.name.contains(only.as_str())) {
            continue;
        }
        let ended = tokio::time::timeout(CASE_TIME, (case.run)(&kit)).await.unwrap_or_else(|_| {
            Err(Not::held("the case", "an end within 90 s", "nothing: the provider kept it waiting"))
        });
        let case = Case::new(case.name, case.checks, case.section, case.why, ended);
        tell(&case);
        report.cases.push(case);
    }
    kit.close().await;
    Ok(report)
}

/// What all cases share.
pub(crate) struct Kit {
    pub(crate) base: String,
    pub(crate) client: reqwest::Client,
    pub(crate) desk: KeyDesk,
    pub(crate) name: String,
    pub(crate) process: Option<Process>,
    actions: Vec<Action>,
}

impl Kit {
    async fn open(
        url: &str,
        desk: KeyDesk,
        name: Option<String>,
        process: Option<Process>,
    ) -> Result<Self, CheckError> {
        let base = reqwest::Url::parse(url)
            .ok()
            .filter(|base| matches!(base.scheme(), "http" | "https"))
            .ok_or_else(|| CheckError::Url(url.to_owned()))?;
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(5))
            // A provider that refuses too large a body may hang up: the next call must not meet that connection.
            .pool_max_idle_per_host(0)
            .build()
            .map_err(|error| CheckError::Start(error.to_string()))?;
        let base = base.as_str().trim_end_matches('/').to_owned();
        let nobody = |why: String| CheckError::Nobody { url: base.clone(), why };
        let answer = client
            .get(format!("{base}/openapi.json"))
            .timeout(Duration::from_secs(10))
            .send()
            .await
            .map_err(|error| nobody(error.to_string()))?;
        let document: Value =
            serde_json::from_slice(&answer.bytes().await.map_err(|error| nobody(error.to_string()))?)
                .unwrap_or_default();
        let said = document.pointer("/x-guichet/provider").and_then(Value::as_str).map(str::to_owned);
        let name = name.or(said).ok_or(CheckError::NoName)?;
        // What is wrong with the document is a case of its own.
        let read = openapi::read(&name, &document, Strictness::Lenient);
        let actions = read.map(|reading| reading.actions).unwrap_or_default();
        Ok(Self { base, client, desk, name, process, actions })
    }

    async fn close(self) {
        if let Some(process) = self.process {
            process.end().await;
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// One of the kit's own actions.
    pub(crate) fn own(&self, operation: &str) -> Result<&Action, Not> {
        self.actions.iter().find(|action| action.operation == operation).ok_or_else(|| {
            Not::Skipped(format!("the provider does not declare the kit's action `{operation}`"))
        })
    }

    /// A call of one of the kit's own actions, as a run of its own when it changes something.
    pub(crate) fn call(&self, operation: &str, input: Value) -> Result<Call<'_>, Not> {
        Ok(Call::new(self, self.own(operation)?, input))
    }

    /// A call that changes nothing whatever becomes of it: the kit's own read, or any with an example or without required
    /// input, or the plan of an action with an example.
    pub(crate) fn harmless(&self) -> Result<Call<'_>, Not> {
        if let Ok(call) = self.call("conformance-echo", json!({"word": "harmless"})) {
            return Ok(call);
        }
        let reads = || self.actions.iter().filter(|action| action.effect == Effect::Read && !action.long);
        let example = reads().find_map(|read| read.examples.first().map(|e| (read, e.input.clone())));
        let bare = || {
            let mut bare = reads();
            bare.find(|read| guichet_contract::action::required_members(&read.input).next().is_none())
                .map(|read| (read, json!({})))
        };
        if let Some((read, input)) = example.or_else(bare) {
            return Ok(Call::new(self, read, input));
        }
        let mut plans = self.actions.iter().filter(|action| action.plan);
        let planned = plans.find_map(|action| action.examples.first().map(|e| (action, e.input.clone())));
        planned.map(|(action, input)| Call::new(self, action, input).mode("plan")).ok_or_else(|| {
            Not::Skipped(
                "the provider has no read with an example or without required input, and no plan with an example".to_owned(),
            )
        })
    }

    /// That a harmless call was believed. Of a provider that is not the kit's own, what an example names may be gone.
    pub(crate) fn believed(&self, answer: &Answer, why: &str) -> Result<(), Not> {
        let gone = (400..500).contains(&answer.status) && answer.status != 401;
        if self.own("conformance-echo").is_err() && gone {
            return Ok(());
        }
        answer.result(why).map(drop)
    }

    /// How often the provider says that it did this.
    pub(crate) async fn count(&self, name: &str) -> Result<u64, Not> {
        let answer = self.call("conformance-count", json!({"name": name}))?.send().await?;
        let told = answer.result("the count of what was done")?;
        told.get("count").and_then(Value::as_u64).ok_or_else(|| answer.not("`{\"count\": …}`, a number"))
    }

    /// Fails unless this was done so often.
    pub(crate) async fn done(&self, name: &str, times: u64, after: &str) -> Result<(), Not> {
        let count = self.count(name).await?;
        if count == times {
            return Ok(());
        }
        Err(Not::held(after, &format!("`{name}` done {times} times"), &format!("it was done {count} times")))
    }
}

/// A name that no other case uses.
pub(crate) fn fresh(what: &str) -> String {
    format!("{what}-{}", keys::fresh_id())
}
