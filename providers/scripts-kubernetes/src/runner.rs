//! Scripts as Jobs: each run is one Job, found by its name, begun once.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::{FutureExt as _, future::BoxFuture, poll};
use guichet_contract::{JobId, SystemClock};
use guichet_provider_scripts::{
    Ended, Following, Hidden, HowEnded, Job as Work, Lasting, Memory, NotRun, Program, Runner, Settings, Tell,
};
use k8s_openapi::api::batch::v1::Job;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::{
    cluster::{Cluster, TRIES, is_refusal, made, not_begun, patiently, status_of, words},
    follow::{self, follow, put_away_what_it_was_given},
    laid,
    manifest::{self, BEGUN, Ground, NO_IMAGE, SEAL, SECRET_MOST, is_of, name_of},
    seal::{WITHHELD, can_be_shown, seal, without_words},
    settings::Kubernetes,
    standing::{self, Standing},
};

/// How much longer than a script the gateway waits: until its pod is gone, or surely does not answer.
const MARGIN: Duration = Duration::from_secs(35);
/// How long the log of one that has ended is read again when it breaks off, as somebody asks what became of it.
const RECALLING: Duration = Duration::from_secs(3);

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

    /// Makes the Job and its Secret; or finds them. Of a run nothing runs before [`Self::begin`]; of a look it runs as soon as its
    /// node has the Secret.
    async fn lay(&self, name: &str, work: &Work) -> Result<Job, NotRun> {
        let told = |why: String| NotRun::NotBegun(format!("{why}; nothing was run"));
        let seal = match &work.run {
            Some(run) => seal(run, &work.hidden.secrets).await,
            None => None,
        };
        let wanted = manifest::job(&self.ground, work, name, seal.as_deref()).map_err(told)?;
        // What does not fit is told before anything is made.
        let _ = manifest::secret(work, &wanted).map_err(told)?;
        let laid = match made(&self.cluster.jobs, &wanted).await {
            Ok(Some(job)) => job,
            Ok(None) => self.found(name, work).await?,
            Err(error) => return Err(not_begun("the Job could not be made", &error)),
        };
        let secret = manifest::secret(work, &laid).map_err(told)?;
        match made(&self.cluster.secrets, &secret).await {
            Ok(_) => Ok(laid),
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
        if is_of(&found, work) {
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
                Err(error) => return self.was_not_begun(name, &error).await,
            }
        }
        Err(NotRun::Unknown(format!("the Job {name} is changed by others all the time, and may have begun")))
    }

    /// The wish to begin it was not granted, as far as is known: only a refusal says so, and another answer, or none, may come of a
    /// wish that was. It is taken back where it still lies there, so that what is told stays true.
    async fn was_not_begun(&self, name: &str, error: &kube::Error) -> Result<(), NotRun> {
        let told = || Err(not_begun("the Job could not be begun", error));
        match laid::take_back(&self.cluster, name).await {
            Ok(Memory::NotBegun(_)) => told(),
            Ok(Memory::UnderWay | Memory::Ended(_)) => Ok(()),
            Ok(Memory::Nothing) => Err(NotRun::Unknown(format!(
                "the Job {name} may have been begun ({}), and is gone: somebody removed it",
                words(error)
            ))),
            Err(_) if is_refusal(error) => told(),
            Err(why) => Err(NotRun::Unknown(format!(
                "the Job {name} may have been begun ({}), and cannot be looked at: {why}",
                words(error)
            ))),
        }
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
        let _ = self.lay(&look.name, &job).await?;
        let following = Following { time: job.time, hidden: job.hidden };
        let lines = self.ground.limits.output_lines;
        Box::pin(follow(&self.cluster, &look.name, following, lines, tell, stop)).await
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
            // Not begun any more; and one that has ended before is told as it has ended.
            stop = std::future::ready(()).boxed();
        } else {
            Box::pin(self.begin(&name, laid)).await?;
        }
        let lines = self.ground.limits.output_lines;
        let job = patiently(|| self.cluster.jobs.get_opt(&name)).await;
        // One that is gone says nothing.
        let job = job.map_err(|error| NotRun::Unknown(words(&error)))?.unwrap_or_default();
        if can_be_shown(run, &following.hidden, annotation(&job, SEAL)).await {
            return Box::pin(follow(&self.cluster, &name, following, lines, tell, stop)).await;
        }
        tell(WITHHELD);
        let nobody = |_: &str| ();
        let following = Box::pin(follow(&self.cluster, &name, following, lines, &nobody, stop));
        Ok(without_words(&following.await?))
    }

    async fn recall(&self, run: &str, hidden: &Hidden) -> Result<Memory, String> {
        let (cluster, name) = (&self.cluster, name_of(run));
        let job = patiently(|| cluster.jobs.get_opt(&name)).await.map_err(|error| words(&error))?;
        let Some(job) = job else { return Ok(Memory::Nothing) };
        let its = follow::pods_of(&name);
        let pods = patiently(|| cluster.pods.list(&its)).await.map_err(|error| words(&error))?;
        let pod = pods.items.into_iter().next();
        let (how, beside) = match standing::of(&job, pod.as_ref()) {
            Standing::Laid => return laid::take_back(cluster, &name).await,
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
        let mut ended = match follow::heard_out(cluster, &name, &hidden.texts, how, RECALLING).await {
            Ok(ended) => ended,
            Err(NotRun::Unknown(why) | NotRun::NotBegun(why)) => return Err(why),
        };
        put_away_what_it_was_given(cluster, &name).await;
        if !can_be_shown(run, hidden, annotation(&job, SEAL)).await {
            ended = without_words(&ended);
        }
        ended.complaints.extend(beside);
        Ok(Memory::Ended(ended))
    }

    async fn remove(&self, run: &str) -> Result<(), NotRun> {
        follow::remove(&self.cluster, &name_of(run)).await
    }
}

fn annotation<'a>(job: &'a Job, name: &str) -> Option<&'a str> {
    job.metadata.annotations.as_ref()?.get(name).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use std::{
        path::Path,
        sync::atomic::{AtomicBool, AtomicU32, Ordering},
    };

    use guichet_contract::Digest;

    use super::*;
    use crate::scripted::{Answer, Scripted, begun, conflict, done, ended, job, pod, refused};

    const RUN: &str = "0199aaaa-0000-7000-8000-000000000000";

    fn runner(server: &Scripted) -> KubernetesRunner {
        let text = "folder = '.'\n[kubernetes]\nnamespace = 'scripts'\nimage = 'tools'\n";
        let settings = Settings::from_toml(text, Path::new(".")).unwrap();
        let kubernetes = Kubernetes::of(&settings, Path::new(".")).unwrap();
        KubernetesRunner::new(server.cluster(), kubernetes, &settings)
    }

    fn work() -> Work {
        let bytes: std::sync::Arc<[u8]> = std::sync::Arc::from(b"#!/bin/sh\n".as_slice());
        Work {
            program: Program { name: "a.sh".to_owned(), digest: Digest::of_bytes(&bytes), bytes },
            image: None,
            run: Some(RUN.to_owned()),
            arguments: Vec::new(),
            environment: Vec::new(),
            input: Vec::new(),
            time: Duration::from_secs(5),
            hidden: Hidden::default(),
        }
    }

    fn laid() -> serde_json::Value {
        job(&json!({}), &json!([]))
    }

    fn complete() -> serde_json::Value {
        begun(&json!([{"type": "Complete", "status": "True"}]))
    }

    async fn went_on(server: &Scripted) -> Result<Ended, NotRun> {
        let following = Following { time: Duration::from_secs(5), hidden: Hidden::default() };
        runner(server).go_on(RUN, "1", following, &|_| (), std::future::pending().boxed()).await
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_was_begun_though_the_answer_was_an_error_is_followed() {
        let is_begun = AtomicBool::new(false);
        let server = Scripted::new(move |asked| match asked.what() {
            // It is done, and what stands between says otherwise.
            ("PATCH", "jobs") if asked.body["spec"]["suspend"] == false => {
                is_begun.store(true, Ordering::SeqCst);
                refused(504, "Timeout")
            }
            ("GET", "jobs") if is_begun.load(Ordering::SeqCst) => asked.shows(&complete()),
            ("GET", "jobs") => asked.shows(&laid()),
            ("GET", "pods") => asked.shows(&pod(&ended(0))),
            ("GET", "log") => Answer::Is(200, String::new()),
            _ => done(),
        });
        assert_eq!(went_on(&server).await.unwrap().how, HowEnded::Exited(0));
        assert_eq!(server.times(("DELETE", "jobs")), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_lies_there_when_the_answer_was_an_error_is_taken_back() {
        for (code, reason) in [(503, "ServiceUnavailable"), (429, "TooManyRequests"), (403, "Forbidden")] {
            let server = Scripted::new(move |asked| match asked.what() {
                ("PATCH", "jobs") => refused(code, reason),
                ("GET", "jobs") => asked.shows(&laid()),
                _ => done(),
            });
            let told = went_on(&server).await.unwrap_err();
            assert!(matches!(&told, NotRun::NotBegun(why) if why.ends_with("nothing was run")), "{told:?}");
            assert_eq!(server.times(("DELETE", "jobs")), 1, "{code}: so it never will be begun");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_have_been_begun_and_cannot_be_looked_at_is_unknown() {
        for (code, is_known) in [(503, false), (408, false), (422, true)] {
            let is_asked = AtomicBool::new(false);
            let server = Scripted::new(move |asked| match asked.what() {
                ("PATCH", "jobs") => {
                    is_asked.store(true, Ordering::SeqCst);
                    refused(code, "X")
                }
                _ if is_asked.load(Ordering::SeqCst) => Answer::Silence,
                ("GET", "jobs") => asked.shows(&laid()),
                _ => done(),
            });
            let told = went_on(&server).await.unwrap_err();
            assert_eq!(matches!(told, NotRun::NotBegun(_)), is_known, "{code}: {told:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_quota_that_others_change_is_no_job_that_is_there() {
        let tries = AtomicU32::new(0);
        let server = Scripted::new(move |asked| match asked.what() {
            ("POST", "jobs") if tries.fetch_add(1, Ordering::SeqCst) == 0 => conflict(),
            ("POST", "jobs") => asked.shows(&laid()),
            ("POST", "secrets") => asked.shows(&json!({"metadata": {"name": "x"}})),
            _ => refused(404, "NotFound"),
        });
        assert_eq!(runner(&server).lay_down(RUN, &work()).await.unwrap(), "1");
        assert_eq!(server.times(("POST", "jobs")), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_whose_making_was_not_answered_is_found_again() {
        let made = std::sync::Arc::new(std::sync::Mutex::new(serde_json::Value::Null));
        let kept = std::sync::Arc::clone(&made);
        let server = Scripted::new(move |asked| match asked.what() {
            ("POST", "jobs") if kept.lock().unwrap().is_null() => {
                *kept.lock().unwrap() = asked.body.clone();
                Answer::Silence
            }
            ("POST", "jobs") => refused(409, "AlreadyExists"),
            ("POST", "secrets") => asked.shows(&json!({"metadata": {"name": "x"}})),
            ("GET", "jobs") => {
                let mut whole = kept.lock().unwrap().clone();
                whole["status"] = json!({"conditions": [{"type": "Complete", "status": "True"}]});
                asked.shows(&whole)
            }
            ("GET", "pods") => asked.shows(&pod(&ended(0))),
            ("GET", "log") => Answer::Is(200, "2026-01-01T00:00:01.5Z [1]\n".to_owned()),
            _ => done(),
        });
        let work = Work { run: None, ..work() };
        let ended = runner(&server).run(work, &|_| (), std::future::pending().boxed()).await.unwrap();
        assert_eq!(ended.result, Some(json!([1])));
        assert_eq!(made.lock().unwrap()["spec"]["suspend"], false, "nobody calls again for a look");
        assert_eq!(server.times(("PATCH", "jobs")), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_one_with_other_secrets_says_is_not_shown() {
        let hidden =
            |secret: &str| Hidden { texts: vec![secret.to_owned()], secrets: vec![secret.to_owned()] };
        let sealed = seal(RUN, &hidden("old-token").secrets).await.unwrap();
        let server = Scripted::new(move |asked| match asked.what() {
            ("GET", "jobs") => {
                let mut whole = complete();
                whole["metadata"]["annotations"][SEAL] = json!(sealed);
                asked.shows(&whole)
            }
            ("GET", "pods") => asked.shows(&pod(&ended(0))),
            ("GET", "log") => {
                Answer::Is(200, "2026-01-01T00:00:01.5Z {\"token\": \"old-token\"}\n".to_owned())
            }
            _ => done(),
        });
        let runner = runner(&server);
        let Memory::Ended(same) = runner.recall(RUN, &hidden("old-token")).await.unwrap() else { panic!() };
        assert_eq!(same.result, Some(json!({"token": "[redacted]"})));
        let Memory::Ended(other) = runner.recall(RUN, &hidden("new-token")).await.unwrap() else { panic!() };
        assert_eq!((other.how, &other.result), (HowEnded::Exited(0), &None));
        let told = std::sync::Mutex::new(Vec::new());
        let tell = |line: &str| told.lock().unwrap().push(line.to_owned());
        let following = Following { time: Duration::from_secs(5), hidden: hidden("new-token") };
        let gone_on = runner.go_on(RUN, "1", following, &tell, std::future::pending().boxed()).await.unwrap();
        assert_eq!((gone_on.how, &gone_on.result), (HowEnded::Exited(0), &None));
        assert_eq!(*told.lock().unwrap(), [WITHHELD]);
        assert!(!format!("{other:?}{gone_on:?}").contains("old-token"));
    }
}
