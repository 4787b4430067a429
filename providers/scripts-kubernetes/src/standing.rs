//! What the cluster says of a Job and its pod, in one word: a function of both, and of nothing else.

use jiff::SignedDuration;
use k8s_openapi::{
    api::{
        batch::v1::Job,
        core::v1::{ContainerStateTerminated, ContainerStatus, Pod},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use crate::{
    manifest::{BEGUN, CONTAINER},
    start_line::{ANOTHER, NO_COPY, NOT_STARTED},
};

/// Where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Laid down and never begun.
    Laid,
    /// Begun, and the program does not run yet: why, where that is told.
    Waiting(Option<String>),
    /// It will not run, as far as can be seen: why.
    CannotRun(String),
    /// Its container ended before the program was started: why.
    NotStarted(String),
    /// It runs.
    Running,
    /// It ended with this exit code; and what the cluster says of it beside that.
    Ended(i32, Option<String>),
    /// The cluster ended it since its time was over.
    TimeOver,
    /// It may have run, and nobody saw its end: why.
    Lost(String),
}

/// Reasons for which a container that waits will wait forever.
const HOPELESS: &[&str] = &[
    "InvalidImageName",
    "ImageInspectError",
    "ErrImageNeverPull",
    "ImagePullBackOff",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "StartError",
];

/// Of a Job, and of the last that was seen of its pod.
pub(crate) fn of(job: &Job, pod: Option<&Pod>) -> Standing {
    let condition = |kind: &str| {
        let conditions = job.status.as_ref().and_then(|status| status.conditions.as_ref());
        conditions.into_iter().flatten().find(|one| one.type_ == kind && one.status == "True")
    };
    let failed = condition("Failed").or_else(|| condition("FailureTarget"));
    let own = pod.and_then(status_of);
    let ended =
        own.and_then(|status| status.state.as_ref()?.terminated.as_ref()).filter(|ended| has_run(ended));
    if failed.is_some_and(|failed| failed.reason.as_deref() == Some("DeadlineExceeded")) {
        return Standing::TimeOver;
    }
    if let Some(ended) = ended {
        return how(ended, pod);
    }
    if condition("Complete").is_some() || condition("SuccessCriteriaMet").is_some() {
        return Standing::Ended(0, None);
    }
    if let Some(failed) = failed {
        let why = pod.and_then(why_of_pod).or_else(|| failed.message.clone()).unwrap_or_default();
        // A pod that was turned away by its node, or taken away before it had one, has run nothing.
        let is_turned_away = pod.is_some_and(|pod| phase(pod) == Some("Failed") && own.is_none());
        return if is_turned_away {
            Standing::CannotRun(why)
        } else {
            Standing::Lost(format!("its pod is gone without having told how the script ended: {why}"))
        };
    }
    if own.is_some_and(is_running) {
        return Standing::Running;
    }
    if let Some(waiting) = own.and_then(|status| status.state.as_ref()?.waiting.as_ref()) {
        let reason = waiting.reason.as_deref().unwrap_or_default();
        let why = format!("{reason}: {}", waiting.message.as_deref().unwrap_or("no more is said"));
        return if HOPELESS.contains(&reason) {
            Standing::CannotRun(why)
        } else {
            Standing::Waiting((!reason.is_empty()).then_some(why))
        };
    }
    let is_begun = job.metadata.annotations.as_ref().is_some_and(|all| all.contains_key(BEGUN));
    if !is_begun {
        return Standing::Laid;
    }
    Standing::Waiting(pod.and_then(why_of_pod))
}

/// Whether the program of a pod ran, or may have.
pub(crate) fn may_have_run(pod: &Pod) -> bool {
    let state = |status: &ContainerStatus| {
        let ended = status.state.as_ref().and_then(|state| state.terminated.as_ref());
        is_running(status) || ended.is_some_and(has_run)
    };
    status_of(pod).is_some_and(state)
}

/// Why a pod's program does not run yet, where the cluster says so.
pub(crate) fn why_it_waits(pod: &Pod) -> Option<String> {
    match of(&begun(), Some(pod)) {
        Standing::Waiting(why) => why,
        Standing::CannotRun(why) => Some(why),
        _ => None,
    }
}

/// A Job of which nothing is known but that it was begun.
pub(crate) fn begun() -> Job {
    let annotations = [(BEGUN.to_owned(), "true".to_owned())].into();
    Job { metadata: ObjectMeta { annotations: Some(annotations), ..ObjectMeta::default() }, ..Job::default() }
}

/// Whether a program that has ended did so by itself: before it was told to, or without.
pub(crate) fn ended_by_itself(job: &Job, pod: Option<&Pod>) -> bool {
    let Some(pod) = pod else {
        return is(job, "Complete");
    };
    let ended = status_of(pod).and_then(|status| status.state.as_ref()?.terminated.as_ref());
    let Some(ended) = ended.filter(|ended| has_run(ended)) else { return false };
    let Some(gone_by) = &pod.metadata.deletion_timestamp else { return true };
    // Whatever the clock of its node says, nothing else sends these signals to one that is to go.
    if [128 + 15, 128 + 9].contains(&ended.exit_code) {
        return false;
    }
    // A pod is told when its time of grace will be over.
    let grace = SignedDuration::from_secs(pod.metadata.deletion_grace_period_seconds.unwrap_or_default());
    let told_to = gone_by.0.saturating_sub(grace).unwrap_or(gone_by.0);
    ended.finished_at.as_ref().is_some_and(|finished| finished.0 < told_to)
}

fn is(job: &Job, kind: &str) -> bool {
    let conditions = job.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|one| one.type_ == kind && one.status == "True")
}

/// Whether the container of a pod has ended.
pub(crate) fn has_ended(pod: &Pod) -> bool {
    status_of(pod).is_some_and(|status| status.state.as_ref().is_some_and(|state| state.terminated.is_some()))
}

fn status_of(pod: &Pod) -> Option<&ContainerStatus> {
    pod.status.as_ref()?.container_statuses.as_ref()?.iter().find(|status| status.name == CONTAINER)
}

fn is_running(status: &ContainerStatus) -> bool {
    status.state.as_ref().is_some_and(|state| state.running.is_some())
}

/// A container that was never started is told as ended, too, when its pod is taken away.
fn has_run(ended: &ContainerStateTerminated) -> bool {
    ended.started_at.is_some() || ended.container_id.as_ref().is_some_and(|id| !id.is_empty())
}

fn phase(pod: &Pod) -> Option<&str> {
    pod.status.as_ref()?.phase.as_deref()
}

fn how(ended: &ContainerStateTerminated, pod: Option<&Pod>) -> Standing {
    let code = ended.exit_code;
    match (code, ended.message.as_deref().map(str::trim)) {
        (NOT_STARTED, Some(ANOTHER)) => {
            return Standing::NotStarted(
                "what lies in its Secret is not the program that was approved".to_owned(),
            );
        }
        (NOT_STARTED, Some(NO_COPY)) => {
            return Standing::NotStarted(
                "the program could not be copied into its folder of the pod".to_owned(),
            );
        }
        _ => {}
    }
    // Its own end needs no more words; that it was killed does.
    let reason = ended.reason.as_deref().filter(|reason| !["Completed", "Error"].contains(reason));
    let beside = match reason {
        Some("StartError" | "ContainerCannotRun") => {
            let why = ended.message.as_deref().unwrap_or("its container cannot be started");
            return Standing::NotStarted(format!("{why} (exit code {code})"));
        }
        Some("OOMKilled") => Some("it took more memory than it may (OOMKilled)".to_owned()),
        Some("ContainerStatusUnknown") => {
            return Standing::Lost(
                "its node was gone, and its end was not seen (ContainerStatusUnknown)".to_owned(),
            );
        }
        Some(other) => Some(other.to_owned()),
        None => None,
    };
    Standing::Ended(code, beside.or_else(|| pod.and_then(why_of_pod)))
}

/// What is said of the pod as a whole: evicted, no node for it.
fn why_of_pod(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    if let Some(reason) = &status.reason {
        return Some(format!("{reason}: {}", status.message.as_deref().unwrap_or("no more is said")));
    }
    let unscheduled = status
        .conditions
        .as_ref()?
        .iter()
        .find(|one| one.type_ == "PodScheduled" && one.status == "False")?;
    let reason = unscheduled.reason.as_deref().unwrap_or("Unscheduled");
    Some(format!("{reason}: {}", unscheduled.message.as_deref().unwrap_or("no more is said")))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn job(conditions: &Value) -> Job {
        let whole = json!({
            "metadata": {"name": "x", "annotations": {BEGUN: "true"}},
            "status": {"conditions": conditions},
        });
        serde_json::from_value(whole).unwrap()
    }

    fn failed(reason: &str) -> Job {
        job(&json!([{"type": "Failed", "status": "True", "reason": reason, "message": "so it is"}]))
    }

    fn pod(status: &Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "x-1"}, "status": status})).unwrap()
    }

    fn container(state: &Value) -> Pod {
        let own = json!({"name": "script", "state": state, "ready": false, "restartCount": 0, "image": "", "imageID": ""});
        pod(&json!({"phase": "Running", "containerStatuses": [own]}))
    }

    fn ended(code: i32, reason: &str, message: &str) -> Pod {
        let id = "containerd://1";
        container(
            &json!({"terminated": {"exitCode": code, "reason": reason, "message": message, "containerID": id}}),
        )
    }

    #[test]
    fn an_end_is_believed_when_it_was_seen() {
        let none = job(&json!([]));
        for (job, pod, standing) in [
            (&none, ended(0, "Completed", ""), Standing::Ended(0, None)),
            (&failed("BackoffLimitExceeded"), ended(3, "Error", ""), Standing::Ended(3, None)),
            (&none, ended(120, "Error", "said by a script"), Standing::Ended(120, None)),
            (&failed("DeadlineExceeded"), ended(137, "Error", ""), Standing::TimeOver),
            (&none, container(&json!({"running": {}})), Standing::Running),
        ] {
            assert_eq!(of(job, Some(&pod)), standing);
        }
        let Standing::Ended(137, Some(why)) = of(&none, Some(&ended(137, "OOMKilled", ""))) else { panic!() };
        assert!(why.contains("memory"), "{why}");
        assert_eq!(of(&failed("DeadlineExceeded"), None), Standing::TimeOver);
    }

    #[test]
    fn an_end_is_its_own_when_it_came_before_the_wish() {
        let none = job(&json!([]));
        let state = |finished: &str| json!({"terminated": {"exitCode": 0, "containerID": "containerd://1", "finishedAt": finished}});
        let (early, late) =
            (container(&state("2026-01-01T00:00:09Z")), container(&state("2026-01-01T00:00:10Z")));
        assert!(ended_by_itself(&none, Some(&early)), "nobody told it to");
        let told = |mut pod: Pod| {
            // Told at 00:00:10.
            pod.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:15Z")).unwrap();
            pod.metadata.deletion_grace_period_seconds = Some(5);
            ended_by_itself(&none, Some(&pod))
        };
        assert!(told(early) && !told(late) && !told(container(&json!({"running": {}}))));
        let early = "2026-01-01T00:00:09Z";
        let killed =
            json!({"terminated": {"exitCode": 137, "containerID": "containerd://1", "finishedAt": early}});
        assert!(!told(container(&killed)), "though the clock of its node is behind");
        assert!(!ended_by_itself(&none, None));
        assert!(ended_by_itself(&job(&json!([{"type": "Complete", "status": "True"}])), None));
    }

    #[test]
    fn what_nobody_saw_is_lost_and_what_never_ran_is_not() {
        let lost = |job: &Job, pod: Option<&Pod>| matches!(of(job, pod), Standing::Lost(_));
        assert!(lost(&failed("BackoffLimitExceeded"), None));
        assert!(lost(&failed("BackoffLimitExceeded"), Some(&container(&json!({"running": {}})))));
        assert!(lost(&job(&json!([])), Some(&ended(137, "ContainerStatusUnknown", ""))));
        let turned_away =
            pod(&json!({"phase": "Failed", "reason": "OutOfcpu", "message": "node didn't have it"}));
        assert_eq!(
            of(&failed("BackoffLimitExceeded"), Some(&turned_away)),
            Standing::CannotRun("OutOfcpu: node didn't have it".to_owned())
        );
    }

    #[test]
    fn why_it_waits_is_told() {
        let none = job(&json!([]));
        let waits = |reason: &str| container(&json!({"waiting": {"reason": reason, "message": "words"}}));
        assert_eq!(
            of(&none, Some(&waits("ImagePullBackOff"))),
            Standing::CannotRun("ImagePullBackOff: words".to_owned())
        );
        assert_eq!(
            of(&none, Some(&waits("ContainerCreating"))),
            Standing::Waiting(Some("ContainerCreating: words".to_owned()))
        );
        let nowhere = json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"});
        let pod = pod(&json!({"phase": "Pending", "conditions": [nowhere]}));
        assert_eq!(of(&none, Some(&pod)), Standing::Waiting(Some("Unschedulable: 0/3 nodes".to_owned())));
        assert_eq!(of(&none, None), Standing::Waiting(None));
        assert_eq!(of(&Job::default(), None), Standing::Laid);
        let (another, copy) =
            (ended(120, "Error", "guichet: another program"), ended(120, "Error", "guichet: no copy"));
        assert!(
            matches!(of(&none, Some(&another)), Standing::NotStarted(why) if why.contains("not the program"))
        );
        assert!(matches!(of(&none, Some(&copy)), Standing::NotStarted(_)));
    }
}
