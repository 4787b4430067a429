//! Scripts as Jobs: each run is one Job, found by its name, begun once.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::{future::BoxFuture, poll};
use guichet_contract::{JobId, SystemClock};
use guichet_provider_scripts::{
    Ended, Following, HowEnded, Job as Work, Lasting, Memory, NotRun, Program, Runner, Settings, Tell,
    output::Output,
};
use k8s_openapi::api::batch::v1::Job;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions};
use serde_json::json;

use crate::{
    cluster::{Cluster, not_begun, patiently, status_of, words},
    follow::{self, follow, put_away_what_it_was_given},
    log,
    manifest::{self, BEGUN, Ground, NO_IMAGE, SECRET_MOST, is_of, name_of},
    settings::Kubernetes,
    standing::{self, Standing},
};

/// How much longer than a script the gateway waits: until its pod is gone, or surely does not answer.
const MARGIN: Duration = Duration::from_secs(35);
/// How often a Job is looked at anew when somebody else changed it in between.
const TRIES: u32 = 8;

/// The runner of a namespace of a cluster.
pub struct KubernetesRunner {
    cluster: Cluster,
    ground: Ground,
}

impl KubernetesRunner {
    /// In this cluster, with these settings.
    pub fn new(cluster: Cluster, kubernetes: Kubernetes, settings: &Settings) -> Self {
        Self { cluster, ground: Ground::new(kubernetes, settings) }
    }

    /// Makes the Job, suspended, and its Secret; or finds them. Nothing runs before [`Self::begin`].
    async fn lay(&self, name: &str, work: &Work) -> Result<Job, NotRun> {
        let told = |why: String| NotRun::NotBegun(format!("{why}; nothing was run"));
        let wanted = manifest::job(&self.ground, work, name).map_err(told)?;
        // What does not fit is told before anything is made.
        let _ = manifest::secret(work, &wanted).map_err(told)?;
        let jobs = &self.cluster.jobs;
        let laid = match patiently(|| async { jobs.create(&PostParams::default(), &wanted).await }).await {
            Ok(job) => job,
            Err(error) if status_of(&error) == Some(409) => self.found(name, work).await?,
            Err(error) => return Err(not_begun("the Job could not be made", &error)),
        };
        let secret = manifest::secret(work, &laid).map_err(told)?;
        match patiently(|| async { self.cluster.secrets.create(&PostParams::default(), &secret).await }).await
        {
            Ok(_) => Ok(laid),
            Err(error) if status_of(&error) == Some(409) => Ok(laid),
            Err(error) => {
                follow::remove(&self.cluster, name).await?;
                Err(not_begun("the Secret for the Job could not be made", &error))
            }
        }
    }

    /// The Job that is there already, if it was laid down for the same.
    async fn found(&self, name: &str, work: &Work) -> Result<Job, NotRun> {
        let found = patiently(|| self.cluster.jobs.get(name)).await;
        let found = found.map_err(|error| not_begun("the Job that is there cannot be looked at", &error))?;
        if is_of(&found, work.run.as_deref().unwrap_or_default(), work) {
            return Ok(found);
        }
        Err(NotRun::NotBegun(format!(
            "the Job {name} is there already, and it is not for this program; nothing was run"
        )))
    }

    /// Begins what was laid down, once: that it was begun is written together with that.
    async fn begin(&self, name: &str, uid: &str) -> Result<(), NotRun> {
        let jobs = &self.cluster.jobs;
        for _ in 0..TRIES {
            let found = patiently(|| jobs.get_opt(name)).await;
            let unknown = |error: &kube::Error| {
                NotRun::Unknown(format!("the Job {name} cannot be looked at: {}", words(error)))
            };
            let Some(job) = found.map_err(|error| unknown(&error))? else {
                return Err(NotRun::Unknown(format!("the Job {name} is gone: somebody removed it")));
            };
            if job.metadata.uid.as_deref() != Some(uid) {
                return Err(NotRun::Unknown(format!(
                    "the Job {name} is another than was laid down for this run"
                )));
            }
            if standing::of(&job, None) != Standing::Laid {
                return Ok(());
            }
            let change = Patch::Merge(json!({
                "metadata": {"annotations": {BEGUN: "true"}, "resourceVersion": job.metadata.resource_version},
                "spec": {"suspend": false},
            }));
            match patiently(|| async { jobs.patch(name, &PatchParams::default(), &change).await }).await {
                Ok(_) => return Ok(()),
                // Another was quicker, or it was us, and the answer did not come.
                Err(error) if matches!(status_of(&error), Some(404 | 409)) => {}
                Err(error) if status_of(&error).is_some() => {
                    follow::remove(&self.cluster, name).await?;
                    return Err(not_begun("the Job could not be begun", &error));
                }
                Err(error) => return Err(unknown(&error)),
            }
        }
        Err(NotRun::Unknown(format!("the Job {name} is changed by others all the time, and may have begun")))
    }
}

/// A Job for a look, that nobody asks for again: it goes when nobody waits for it any more.
struct Look<'a> {
    cluster: &'a Cluster,
    name: String,
}

impl Drop for Look<'_> {
    fn drop(&mut self) {
        let (cluster, name) = (self.cluster.clone(), std::mem::take(&mut self.name));
        drop(tokio::spawn(async move {
            if let Err(NotRun::Unknown(why) | NotRun::NotBegun(why)) = follow::remove(&cluster, &name).await {
                tracing::error!("{why}");
            }
        }));
    }
}

#[async_trait]
impl Runner for KubernetesRunner {
    async fn run(&self, job: Work, tell: Tell<'_>, stop: BoxFuture<'_, ()>) -> Result<Ended, NotRun> {
        let look = Look {
            cluster: &self.cluster,
            name: format!("guichet-look-{}", JobId::new(&SystemClock)).to_ascii_lowercase(),
        };
        let job = Work { run: None, ..job };
        let laid = self.lay(&look.name, &job).await?;
        self.begin(&look.name, laid.metadata.uid.as_deref().unwrap_or_default()).await?;
        let following = Following { time: job.time, hidden: job.hidden };
        follow(&self.cluster, &look.name, following, self.ground.limits.output_lines, tell, stop).await
    }

    fn lasting(&self) -> Option<&dyn Lasting> {
        Some(self)
    }

    fn image(&self, named: Option<&str>) -> Option<String> {
        self.ground.image(named)
    }

    fn mistakes(&self, program: &Program, image: Option<&str>) -> Vec<String> {
        let mut mistakes = Vec::new();
        if self.ground.image(image).is_none() {
            mistakes.push(NO_IMAGE.to_owned());
        }
        let size = program.bytes.len();
        if size > SECRET_MOST {
            mistakes.push(format!(
                "its {size} bytes are more than the {SECRET_MOST} that Kubernetes hands over: put it into its image, and write a short \
                 script that calls it"
            ));
        }
        mistakes
    }

    fn margin(&self) -> Duration {
        MARGIN
    }
}

#[async_trait]
impl Lasting for KubernetesRunner {
    async fn lay_down(&self, run: &str, job: &Work) -> Result<String, NotRun> {
        let laid = self.lay(&name_of(run), job).await?;
        laid.metadata.uid.ok_or_else(|| {
            NotRun::NotBegun("the cluster made a Job without an id; nothing was run".to_owned())
        })
    }

    async fn go_on(
        &self,
        run: &str,
        laid: &str,
        following: Following,
        tell: Tell<'_>,
        mut stop: BoxFuture<'_, ()>,
    ) -> Result<Ended, NotRun> {
        let name = name_of(run);
        if poll!(stop.as_mut()).is_ready() {
            follow::remove(&self.cluster, &name).await?;
            return Ok(Ended {
                how: HowEnded::Stopped,
                result: None,
                lines: Vec::new(),
                complaints: Vec::new(),
                is_cut: false,
            });
        }
        self.begin(&name, laid).await?;
        follow(&self.cluster, &name, following, self.ground.limits.output_lines, tell, stop).await
    }

    async fn recall(&self, run: &str, hidden: &[String]) -> Result<Memory, String> {
        let (cluster, name) = (&self.cluster, name_of(run));
        let job = patiently(|| cluster.jobs.get_opt(&name)).await.map_err(|error| words(&error))?;
        let Some(job) = job else { return Ok(Memory::Nothing) };
        let its = ListParams::default().labels(&format!("batch.kubernetes.io/job-name={name}"));
        let pods = patiently(|| cluster.pods.list(&its)).await.map_err(|error| words(&error))?;
        let pod = pods.items.into_iter().next();
        let (how, beside) = match standing::of(&job, pod.as_ref()) {
            Standing::Laid => return self.take_back(&name, &job).await,
            Standing::Waiting(_) | Standing::Running | Standing::CannotRun(_) => return Ok(Memory::UnderWay),
            Standing::NotStarted(why) => return Ok(Memory::NotBegun(format!("{why}; nothing was run"))),
            Standing::Lost(why) => {
                tracing::warn!("of the Job {name} it is not known how it ended: {why}");
                return Ok(Memory::Nothing);
            }
            Standing::TimeOver if pod.as_ref().is_some_and(|pod| !standing::has_ended(pod)) => {
                return Ok(Memory::UnderWay);
            }
            Standing::TimeOver => (HowEnded::TimedOut, None),
            Standing::Ended(code, beside) => (HowEnded::Exited(code), beside),
        };
        let tell = |_: &str| ();
        let output = Output::new(&tell, hidden, self.ground.limits.output_lines);
        if let Some(pod) = pod.and_then(|pod| pod.metadata.name)
            && let Err(why) = log::read_all(cluster, &pod, &output).await
        {
            tracing::warn!("the log of the Job {name} cannot be read, so its result is not known: {why}");
        }
        put_away_what_it_was_given(cluster, &name).await;
        let mut ended = output.end(how);
        ended.complaints.extend(beside);
        Ok(Memory::Ended(ended))
    }

    async fn remove(&self, run: &str) -> Result<(), NotRun> {
        follow::remove(&self.cluster, &name_of(run)).await
    }
}

impl KubernetesRunner {
    /// What was never begun is taken away, if it still is so, and then never will be.
    async fn take_back(&self, name: &str, job: &Job) -> Result<Memory, String> {
        let is_still_so = Preconditions {
            resource_version: job.metadata.resource_version.clone(),
            uid: job.metadata.uid.clone(),
        };
        let how = DeleteParams { preconditions: Some(is_still_so), ..DeleteParams::background() };
        match patiently(|| self.cluster.jobs.delete(name, &how)).await {
            Ok(_) => {
                put_away_what_it_was_given(&self.cluster, name).await;
                Ok(Memory::NotBegun("its Job was laid down and never begun; nothing was run".to_owned()))
            }
            Err(error) if matches!(status_of(&error), Some(404 | 409)) => Ok(Memory::UnderWay),
            Err(error) => Err(words(&error)),
        }
    }
}
