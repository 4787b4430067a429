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
    /// Nobody looks now, and something may come of the pod meanwhile.
    is_blind: bool,
    /// A pod went while nobody looked: what came of it is not known.
    missed: bool,
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

    /// Whether something may have come of it that nobody saw.
    pub(crate) fn missed(&self) -> bool {
        self.missed || self.is_blind
    }

    /// Whether it is seen that the program ended by itself, and how.
    pub(crate) fn own_end(&self) -> Option<Standing> {
        let standing = self.standing()?;
        let job = self.job.as_ref()?;
        own_end(job, self.pod.as_ref(), standing)
    }

    /// The same when the Job is gone, or is not seen: as its pod told it.
    pub(crate) fn own_end_of_pod(&self) -> Option<Standing> {
        let begun = standing::begun();
        let pod = self.pod.as_ref()?;
        own_end(&begun, Some(pod), standing::of(&begun, Some(pod)))
    }

    /// Why it does not run yet, where the cluster says so.
    pub(crate) fn why_it_waits(&self) -> Option<String> {
        self.why.clone()
    }

    /// Whether there ever was a pod.
    pub(crate) fn had_pod(&self) -> bool {
        self.pod.is_some()
    }

    /// There was a look, and there is none, and was none when anybody looked.
    pub(crate) fn has_no_pod(&self) -> bool {
        self.looked.1 && self.pod.is_none()
    }

    /// Whether there is one now.
    pub(crate) fn has_pod(&self) -> bool {
        self.pod_is_there
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

    fn be_blind(&mut self) {
        // One that was seen to go is gone. Whether there ever was one, the cluster's events tell, when they can be asked.
        self.is_blind |= self.pod_is_there || self.pod.is_none();
    }

    /// All pods that there are, where nobody may have looked for a time.
    fn take_all(&mut self, pods: Vec<Pod>) {
        self.looked.1 = true;
        let was_blind = std::mem::take(&mut self.is_blind) && self.pod_is_there;
        let uid = |pod: &Pod| pod.metadata.uid.clone();
        if let Some(pod) = pods.into_iter().next() {
            // The same one tells itself what came of it.
            self.missed |= was_blind && self.pod.as_ref().is_some_and(|known| uid(known) != uid(&pod));
            self.take_pod(pod);
        } else {
            self.missed |= was_blind;
            self.pod_is_there = false;
        }
    }

    fn take_pod(&mut self, pod: Pod) {
        self.ran |= standing::may_have_run(&pod);
        self.why = standing::why_it_waits(&pod).or(self.why.take());
        self.pod = Some(pod);
        self.pod_is_there = true;
    }
}

fn own_end(job: &Job, pod: Option<&Pod>, standing: Standing) -> Option<Standing> {
    let is_own = matches!(standing, Standing::Ended(..)) && standing::ended_by_itself(job, pod);
    is_own.then_some(standing)
}

/// What came.
enum News<K> {
    /// From now on nobody looks, until all is told again.
    Blind,
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
                News::Blind => {}
                News::Forbidden(why) => seen.forbidden = Some(why),
            });
        }));
        let of_pod = tokio::spawn(keep_up(pods, ListParams::default().labels(&its), move |news| {
            change.send_modify(|seen| match news {
                News::Blind => seen.be_blind(),
                News::All(all) => seen.take_all(all),
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
                tell(News::Blind);
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(uid: &str, state: &serde_json::Value) -> Pod {
        let own = json!({"name": "script", "state": state, "ready": false, "restartCount": 0, "image": "", "imageID": ""});
        serde_json::from_value(
            json!({"metadata": {"name": "x-1", "uid": uid}, "status": {"containerStatuses": [own]}}),
        )
        .unwrap()
    }

    #[test]
    fn a_pod_that_went_while_nobody_looked_may_have_run() {
        let creating = json!({"waiting": {"reason": "ContainerCreating"}});
        let mut seen = Seen::default();
        seen.be_blind();
        assert!(seen.missed());
        seen.take_all(vec![pod("1", &creating)]);
        assert!(!seen.may_have_run() && !seen.missed(), "it tells itself that it did not run");
        seen.be_blind();
        let mut other = seen.clone();
        seen.take_all(vec![pod("1", &creating)]);
        assert!(!seen.missed());
        other.take_all(vec![pod("2", &creating)]);
        assert!(other.missed(), "of the one before nobody tells");
        seen.be_blind();
        for _ in 0..2 {
            seen.take_all(Vec::new());
            assert!(seen.missed() && !seen.may_have_run());
            seen.be_blind();
        }
        // Seen to go, it was not missed.
        let mut seen = Seen::default();
        seen.take_all(vec![pod("1", &creating)]);
        seen.pod_is_there = false;
        seen.be_blind();
        seen.take_all(Vec::new());
        assert!(!seen.missed());
    }
}
