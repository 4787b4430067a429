//! The cluster: how it is reached, and what its refusals mean in words.

use std::{fmt::Debug, time::Duration};

use guichet_provider_scripts::{NotRun, SettingsError};
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{Event, Pod, Secret},
};
use kube::{
    Api, Client, Config,
    api::PostParams,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::{Instant, sleep, timeout};

use crate::settings::Kubernetes;

/// How long one question may take.
const ONE_CALL: Duration = Duration::from_secs(10);
/// How long a question is asked again when nobody answers: an API server that is restarted is back by then.
const PATIENCE: Duration = Duration::from_mins(1);
/// A stream on which nothing comes for so long is opened anew.
const SILENCE: Duration = Duration::from_secs(75);
/// How long a refusal is asked again: an API server that has just begun refuses what it will allow.
const REFUSED: Duration = Duration::from_secs(4);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(400);
/// How often a thing is looked at anew when somebody else changed it in between.
pub(crate) const TRIES: u32 = 8;

/// One namespace of a cluster.
#[derive(Clone)]
pub struct Cluster {
    pub(crate) client: Client,
    pub(crate) namespace: String,
    pub(crate) jobs: Api<Job>,
    pub(crate) pods: Api<Pod>,
    pub(crate) secrets: Api<Secret>,
    pub(crate) events: Api<Event>,
}

impl Cluster {
    /// Reads who calls and whom; calls nobody yet.
    ///
    /// # Errors
    /// No kubeconfig and no pod around this, or one that does not hold.
    pub async fn connect(settings: &Kubernetes) -> Result<Self, SettingsError> {
        let options = KubeConfigOptions { context: settings.context.clone(), ..KubeConfigOptions::default() };
        let wrong = |error: &dyn std::error::Error| {
            SettingsError::Wrong(format!(
                "[kubernetes]: it is not known how to reach the cluster: {}; name a `kubeconfig`, or run this in a pod with a service account",
                told(error)
            ))
        };
        let mut config = match &settings.kubeconfig {
            Some(file) => {
                let kubeconfig = Kubeconfig::read_from(file).map_err(|error| wrong(&error))?;
                Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|error| wrong(&error))?
            }
            None if settings.context.is_some() => {
                Config::from_kubeconfig(&options).await.map_err(|error| wrong(&error))?
            }
            None => Config::infer().await.map_err(|error| wrong(&error))?,
        };
        config.read_timeout = Some(SILENCE);
        config.reset_reader_on_write = true;
        let client = Client::try_from(config).map_err(|error| wrong(&error))?;
        Ok(Self::of(client, &settings.namespace))
    }

    /// The namespace of this name, for who calls so.
    pub(crate) fn of(client: Client, namespace: &str) -> Self {
        Self {
            jobs: Api::namespaced(client.clone(), namespace),
            pods: Api::namespaced(client.clone(), namespace),
            secrets: Api::namespaced(client.clone(), namespace),
            events: Api::namespaced(client.clone(), namespace),
            client,
            namespace: namespace.to_owned(),
        }
    }
}

/// Asks until somebody answers, for a minute at most. What is asked must be the same when it is asked twice.
pub(crate) async fn patiently<T, F>(ask: impl Fn() -> F) -> Result<T, kube::Error>
where
    F: Future<Output = Result<T, kube::Error>>,
{
    let begun = Instant::now();
    loop {
        let late = || kube::Error::Service("it did not answer in time".into());
        let answer = timeout(ONE_CALL, ask()).await.unwrap_or_else(|_| Err(late()));
        match answer {
            Err(error) if !is_final(&error) && begun.elapsed() < PATIENCE => sleep(PAUSE).await,
            Err(error) if matches!(status_of(&error), Some(401 | 403)) && begun.elapsed() < REFUSED => {
                sleep(PAUSE).await;
            }
            answer => return answer,
        }
    }
}

/// Whether asking again brings the same.
fn is_final(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => status.code < 500 && status.code != 429 && status.code != 408,
        kube::Error::Service(_) | kube::Error::HyperError(_) | kube::Error::ReadEvents(_) => false,
        _ => true,
    }
}

/// Makes a thing of this name; none where there is one already.
///
/// # Errors
/// Why it is not made.
pub(crate) async fn made<K>(api: &Api<K>, thing: &K) -> Result<Option<K>, kube::Error>
where
    K: Clone + DeserializeOwned + Serialize + Debug,
{
    let mut tries = 0;
    loop {
        match patiently(|| async { api.create(&PostParams::default(), thing).await }).await {
            Ok(made) => return Ok(Some(made)),
            Err(kube::Error::Api(status)) if status.is_already_exists() => return Ok(None),
            // Not the thing: what counts it, as a quota does, was changed by somebody else in the same moment.
            Err(kube::Error::Api(status)) if status.is_conflict() && tries < TRIES => {
                tries += 1;
                sleep(PAUSE).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Whether the cluster said no. Otherwise it is not known what it has done: nobody answered, or who answered could not tell.
pub(crate) fn is_refusal(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if (400..500).contains(&status.code) && is_final(error))
}

/// The HTTP status of a refusal.
pub(crate) fn status_of(error: &kube::Error) -> Option<u16> {
    match error {
        kube::Error::Api(status) => Some(status.code),
        _ => None,
    }
}

/// What an error means, for whoever asked and for the owners of the provider.
pub(crate) fn words(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => match status.code {
            401 => format!("the cluster does not know who calls: {}", status.message),
            403 if status.message.contains("exceeded quota") => {
                format!("the namespace's quota does not allow it: {}", status.message)
            }
            403 => format!(
                "the cluster does not allow it: {}; give the provider the rights of walks/run-scripts-on-kubernetes.md",
                status.message
            ),
            _ => format!("the cluster refuses: {}", status.message),
        },
        other => format!("the cluster does not answer: {}", told(other)),
    }
}

/// Nothing was begun, because of that.
pub(crate) fn not_begun(what: &str, error: &kube::Error) -> NotRun {
    NotRun::NotBegun(format!("{what}: {}; nothing was run", words(error)))
}

/// An error with all that caused it.
fn told(error: &dyn std::error::Error) -> String {
    let mut told = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if !told.contains(&text) {
            told = format!("{told}: {text}");
        }
        source = cause.source();
    }
    told
}
