//! What was laid down and not begun: taken back when nobody will begin it.

use std::time::Duration;

use guichet_contract::{Clock as _, SystemClock};
use guichet_provider_scripts::Memory;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use kube::api::{DeleteParams, ListParams, Preconditions};
use tokio::time::sleep;

use crate::{
    cluster::{Cluster, TRIES, patiently, status_of, words},
    follow::put_away_what_it_was_given,
    manifest::LABELS,
    standing::{self, Standing},
};

/// How much longer than its own time a Job that was laid down may still be begun: no gateway calls so late.
const LATE: SignedDuration = SignedDuration::from_hours(1);
/// Between two looks for what lies there.
const SWEEPS: Duration = Duration::from_hours(1);

/// Takes a Job away that was never begun, if it still is so: then it never will be.
///
/// # Errors
/// Nobody can be asked.
pub(crate) async fn take_back(cluster: &Cluster, name: &str) -> Result<Memory, String> {
    for _ in 0..TRIES {
        let job = patiently(|| cluster.jobs.get_opt(name)).await.map_err(|error| words(&error))?;
        let Some(job) = job else { return Ok(Memory::Nothing) };
        if standing::of(&job, None) != Standing::Laid {
            return Ok(Memory::UnderWay);
        }
        let is_still_so = Preconditions {
            resource_version: job.metadata.resource_version.clone(),
            uid: job.metadata.uid.clone(),
        };
        let how = DeleteParams { preconditions: Some(is_still_so), ..DeleteParams::background() };
        match patiently(|| cluster.jobs.delete(name, &how)).await {
            Ok(_) => {
                put_away_what_it_was_given(cluster, name).await;
                return Ok(Memory::NotBegun(
                    "its Job was laid down and never begun; nothing was run".to_owned(),
                ));
            }
            // It was changed since it was looked at: by its controller, or by who begins it.
            Err(error) if matches!(status_of(&error), Some(404 | 409)) => {}
            Err(error) => return Err(words(&error)),
        }
    }
    Ok(Memory::UnderWay)
}

/// Takes back what a process laid down and did not live to begin, and nobody will begin any more since its time is long over.
/// Answers how many those were.
///
/// # Errors
/// The Jobs cannot be listed.
pub async fn sweep(cluster: &Cluster, now: Timestamp) -> Result<usize, String> {
    let ours = ListParams::default().labels(LABELS);
    let all = patiently(|| cluster.jobs.list(&ours)).await.map_err(|error| words(&error))?;
    let mut swept = 0;
    for job in all.items.iter().filter(|job| is_left(job, now)) {
        let name = job.metadata.name.as_deref().unwrap_or_default();
        match take_back(cluster, name).await {
            Ok(taken) => swept += usize::from(matches!(taken, Memory::NotBegun(_))),
            Err(why) => {
                tracing::warn!("the Job {name} was laid down long ago and cannot be taken back: {why}");
            }
        }
    }
    Ok(swept)
}

/// Sweeps now and every hour, as long as this process lives.
pub async fn keep_swept(cluster: Cluster) {
    loop {
        match sweep(&cluster, SystemClock.now()).await {
            Ok(0) => {}
            Ok(swept) => tracing::info!("{swept} Jobs that were laid down and never begun are taken back"),
            Err(why) => tracing::warn!("it cannot be seen what an earlier process laid down: {why}"),
        }
        sleep(SWEEPS).await;
    }
}

fn is_left(job: &Job, now: Timestamp) -> bool {
    let time = job.spec.as_ref().and_then(|spec| spec.active_deadline_seconds).unwrap_or_default();
    let laid = job.metadata.creation_timestamp.as_ref().map(|time| time.0);
    let until =
        laid.and_then(|laid| laid.checked_add(SignedDuration::from_secs(time)).ok()?.checked_add(LATE).ok());
    standing::of(job, None) == Standing::Laid && until.is_some_and(|until| until < now)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        manifest::BEGUN,
        scripted::{Scripted, conflict, done, job},
    };

    #[test]
    fn only_what_nobody_will_begin_is_left() {
        let at = |annotations: Value| -> Job {
            serde_json::from_value(json!({
                "metadata": {"name": "x", "creationTimestamp": "2026-01-01T00:00:00Z", "annotations": annotations},
                "spec": {"activeDeadlineSeconds": 600, "suspend": true, "template": {}},
            }))
            .unwrap()
        };
        let (soon, late) = ("2026-01-01T01:09:00Z".parse().unwrap(), "2026-01-01T01:11:00Z".parse().unwrap());
        assert!(is_left(&at(json!({})), late) && !is_left(&at(json!({})), soon));
        assert!(!is_left(&at(json!({BEGUN: "true"})), late), "begun");
    }

    #[tokio::test(start_paused = true)]
    async fn what_its_controller_touched_in_between_is_taken_back_all_the_same() {
        let tries = std::sync::atomic::AtomicU32::new(0);
        let server = Scripted::new(move |asked| match asked.what() {
            ("DELETE", "jobs") if tries.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0 => conflict(),
            ("DELETE", _) => done(),
            _ => asked.shows(&job(&json!({}), &json!([]))),
        });
        let taken = take_back(&server.cluster(), "x").await.unwrap();
        assert!(matches!(taken, Memory::NotBegun(_)), "{taken:?}");
    }
}
