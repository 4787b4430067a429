//! What the cluster shows of one Job and its pod, kept up to date: listed, watched, listed again when the watch breaks.

use std::{fmt::Debug, time::Duration};

use futures_util::TryStreamExt as _;
use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::{
    Api, Resource,
    api::{ListParams, WatchEvent, WatchParams},
};
use serde::de::DeserializeOwned;
use tokio::{sync::watch, time::sleep};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    cluster::{Cluster, status_of, words},
    standing::{self, Standing},
};

/// How long the server keeps one watch open, seconds.
const WATCH_SECONDS: u32 = 60;
/// Before a watch that broke is begun again.
const PAUSE: Duration = Duration::from_millis(400);
/// So many refusals one after the other are believed: an API server that has just begun refuses what it will allow.
const REFUSALS: u32 = 12;

/// The last that was seen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    job: Option<Job>,
    /// The pod as it last was, also when it is gone.
    pod: Option<Pod>,
    pod_is_there: bool,
    /// Both were looked at.
    looked: (bool, bool),
    ran: bool,
    /// The last reason for which it waited.
    why: Option<String>,
    /// Why it cannot be looked at, and never will be.
    forbidden: Option<String>,
}

impl Seen {
    /// Where it stands; none as long as nobody has looked.
    pub(crate) fn standing(&self) -> Option<Standing> {
        let is_looked = self.looked == (true, true);
        let job = self.job.as_ref().filter(|_| is_looked)?;
        Some(standing::of(job, self.pod.as_ref()))
    }

    /// An annotation of the Job.
    pub(crate) fn annotation(&self, name: &str) -> Option<String> {
        self.job.as_ref()?.metadata.annotations.as_ref()?.get(name).cloned()
    }

    /// There was a look, and there is no such Job.
    pub(crate) fn is_gone(&self) -> bool {
        self.looked == (true, true) && self.job.is_none()
    }

    /// Whether the program ran, or may have, at any time that somebody looked.
    pub(crate) fn may_have_run(&self) -> bool {
        self.ran
    }

    /// Why it does not run yet, where the cluster says so.
    pub(crate) fn why_it_waits(&self) -> Option<String> {
        self.why.clone()
    }

    /// Whether there ever was a pod.
    pub(crate) fn had_pod(&self) -> bool {
        self.pod.is_some()
    }

    /// Why nobody may look.
    pub(crate) fn forbidden(&self) -> Option<&str> {
        self.forbidden.as_deref()
    }

    /// The name of the pod, once there is something that its log can tell.
    pub(crate) fn speaking(&self) -> Option<String> {
        self.pod.as_ref().filter(|_| self.ran)?.metadata.name.clone()
    }

    /// Whether nothing more will be said: the container has ended, or its pod is gone.
    pub(crate) fn is_silent(&self) -> bool {
        !self.pod_is_there || self.pod.as_ref().is_some_and(standing::has_ended)
    }

    fn take_pod(&mut self, pod: Pod) {
        self.ran |= standing::may_have_run(&pod);
        self.why = standing::why_it_waits(&pod).or(self.why.take());
        self.pod = Some(pod);
        self.pod_is_there = true;
    }
}

/// What came.
enum News<K> {
    All(Vec<K>),
    Is(K),
    Gone(K),
    Forbidden(String),
}

/// Looks as long as it lives.
pub(crate) struct Sight {
    seen: watch::Receiver<Seen>,
    _looking: [AbortOnDropHandle<()>; 2],
}

impl Sight {
    /// Of the Job of this name.
    pub(crate) fn of(cluster: &Cluster, name: &str) -> Self {
        let (change, seen) = watch::channel(Seen::default());
        let (jobs, pods) = (cluster.jobs.clone(), cluster.pods.clone());
        let (own, its) = (format!("metadata.name={name}"), format!("batch.kubernetes.io/job-name={name}"));
        let changes = change.clone();
        let of_job = tokio::spawn(keep_up(jobs, ListParams::default().fields(&own), move |news| {
            changes.send_modify(|seen| match news {
                News::All(all) => (seen.job, seen.looked.0) = (all.into_iter().next(), true),
                News::Is(job) => seen.job = Some(job),
                News::Gone(_) => seen.job = None,
                News::Forbidden(why) => seen.forbidden = Some(why),
            });
        }));
        let of_pod = tokio::spawn(keep_up(pods, ListParams::default().labels(&its), move |news| {
            change.send_modify(|seen| match news {
                News::All(all) => {
                    seen.looked.1 = true;
                    match all.into_iter().next() {
                        Some(pod) => seen.take_pod(pod),
                        None => seen.pod_is_there = false,
                    }
                }
                News::Is(pod) => seen.take_pod(pod),
                News::Gone(pod) => {
                    // The last that is told of it says how it ended.
                    seen.take_pod(pod);
                    seen.pod_is_there = false;
                }
                News::Forbidden(why) => seen.forbidden = Some(why),
            });
        }));
        Self { seen, _looking: [AbortOnDropHandle::new(of_job), AbortOnDropHandle::new(of_pod)] }
    }

    /// For whoever else looks.
    pub(crate) fn seen(&self) -> watch::Receiver<Seen> {
        self.seen.clone()
    }
}

async fn keep_up<K>(api: Api<K>, which: ListParams, tell: impl Fn(News<K>))
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    let mut refusals = 0;
    loop {
        match api.list(&which).await {
            Ok(found) => {
                refusals = 0;
                let version = found.metadata.resource_version.clone().unwrap_or_default();
                tell(News::All(found.items));
                watch_on(&api, &which, &version, &tell).await;
            }
            Err(error) if matches!(status_of(&error), Some(401 | 403 | 404)) => {
                refusals += 1;
                if refusals >= REFUSALS {
                    tell(News::Forbidden(words(&error)));
                }
            }
            Err(error) => tracing::debug!("{}", words(&error)),
        }
        sleep(PAUSE).await;
    }
}

/// Until it breaks, or the server has had enough.
async fn watch_on<K>(api: &Api<K>, which: &ListParams, version: &str, tell: &impl Fn(News<K>))
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    let how = WatchParams {
        label_selector: which.label_selector.clone(),
        field_selector: which.field_selector.clone(),
        timeout: Some(WATCH_SECONDS),
        bookmarks: false,
        ..WatchParams::default()
    };
    let Ok(events) = api.watch(&how, version).await else { return };
    let mut events = std::pin::pin!(events);
    while let Ok(Some(event)) = events.try_next().await {
        match event {
            WatchEvent::Added(one) | WatchEvent::Modified(one) => tell(News::Is(one)),
            WatchEvent::Deleted(one) => tell(News::Gone(one)),
            WatchEvent::Bookmark(_) => {}
            WatchEvent::Error(_) => return,
        }
    }
}
