//! One Job from its beginning to its end: what is seen of it, its log, the wish to stop it, and its time.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use futures_util::{future::BoxFuture, poll};
use guichet_provider_scripts::{Ended, Following, HowEnded, NotRun, Tell, output::Output};
use k8s_openapi::api::core::v1::Event;
use kube::api::DeleteParams;
use tokio::time::{sleep, timeout};

use crate::{
    cluster::{Cluster, patiently, status_of, words},
    log,
    manifest::GRACE_SECONDS,
    sight::{Seen, Sight},
    standing::Standing,
};

/// How much longer than the Job's own time somebody waits for the cluster to end it.
const SLACK: Duration = Duration::from_secs(4);
/// How long the rest of a log may take.
const LAST_WORDS: Duration = Duration::from_secs(25);
/// How long a pod may take to be gone when it has to: the time of grace, and what the cluster needs.
const TO_BE_GONE: Duration = Duration::from_secs(GRACE_SECONDS.unsigned_abs() + 15);
/// Between two looks whether a pod is gone.
const LOOK: Duration = Duration::from_millis(250);

/// Why nobody looks any longer.
enum Turn {
    Stands(Standing),
    Gone,
    Forbidden(String),
    Stop,
    Late,
}

/// Follows a Job that was begun.
///
/// # Errors
/// It did not begin, or nobody can say how it ended.
pub(crate) async fn follow(
    cluster: &Cluster,
    name: &str,
    following: Following,
    output_lines: usize,
    tell: Tell<'_>,
    mut stop: BoxFuture<'_, ()>,
) -> Result<Ended, NotRun> {
    let sight = Sight::of(cluster, name);
    let output = Output::new(tell, &following.hidden, output_lines);
    let goes_on = AtomicBool::new(false);
    let mut words = std::pin::pin!(log::follow(cluster, name, sight.seen(), &output, &goes_on));
    let mut all_said = false;
    let mut late = std::pin::pin!(sleep(following.time + SLACK));
    let mut seen = sight.seen();
    let turn = loop {
        let now = seen.borrow_and_update().clone();
        if let Some(turn) = turn_of(&now) {
            // Who asked for the end is not told that somebody else brought it.
            break if poll!(stop.as_mut()).is_ready() { Turn::Stop } else { turn };
        }
        tokio::select! {
            _ = seen.changed() => {}
            () = &mut words, if !all_said => all_said = true,
            () = &mut stop => break Turn::Stop,
            () = &mut late => break Turn::Late,
        }
    };
    let rest = async {
        if !all_said {
            let _ = timeout(LAST_WORDS, words).await;
        }
    };
    let how = match turn {
        Turn::Stands(Standing::Ended(code, beside)) => {
            rest.await;
            put_away_what_it_was_given(cluster, name).await;
            let pod = seen.borrow().speaking().filter(|_| goes_on.load(Ordering::Relaxed));
            let how = HowEnded::Exited(code);
            let mut ended = match pod {
                Some(pod) => whole(cluster, &pod, &following.hidden, how).await,
                None => output.end(how),
            };
            ended.complaints.extend(beside);
            return Ok(ended);
        }
        Turn::Stands(Standing::NotStarted(why)) => {
            remove(cluster, name).await?;
            return Err(NotRun::NotBegun(format!("the script was not started: {why}; nothing was run")));
        }
        Turn::Stands(Standing::CannotRun(why)) => {
            remove(cluster, name).await?;
            // It may have been started after all, between the look and the end.
            return Err(if seen.borrow().may_have_run() {
                NotRun::Unknown(why)
            } else {
                NotRun::NotBegun(format!("the script could not be started: {why}; nothing was run"))
            });
        }
        Turn::Stands(Standing::TimeOver) => {
            let (gone, ()) = tokio::join!(until_no_pod(cluster, name), rest);
            gone?;
            put_away_what_it_was_given(cluster, name).await;
            HowEnded::TimedOut
        }
        Turn::Stands(Standing::Lost(why)) | Turn::Forbidden(why) => return Err(NotRun::Unknown(why)),
        Turn::Stands(standing) => {
            return Err(NotRun::Unknown(format!("the Job {name} stands so: {standing:?}")));
        }
        Turn::Gone => {
            return Err(NotRun::Unknown(format!("somebody removed the Job {name} while it was followed")));
        }
        Turn::Stop | Turn::Late => {
            let (gone, ()) = tokio::join!(remove(cluster, name), rest);
            gone?;
            if matches!(turn, Turn::Stop) { HowEnded::Stopped } else { HowEnded::TimedOut }
        }
    };
    let last = seen.borrow().clone();
    if how == HowEnded::TimedOut
        && let Some(why) = never_ran(cluster, name, &last).await
    {
        let time = following.time.as_secs();
        return Err(NotRun::NotBegun(format!(
            "the script was not started within the {time} s that it has: {why}; nothing was run"
        )));
    }
    Ok(output.end(how))
}

/// What the whole log comes to, where this process has told the end of it alone.
async fn whole(cluster: &Cluster, pod: &str, hidden: &[String], how: HowEnded) -> Ended {
    let tell = |_: &str| ();
    let output = Output::new(&tell, hidden, 0);
    if let Err(why) = log::read_all(cluster, pod, &output).await {
        tracing::warn!(
            "the log of the pod {pod} cannot be read as a whole, so a result may be missing: {why}"
        );
    }
    output.end(how)
}

fn turn_of(seen: &Seen) -> Option<Turn> {
    if let Some(why) = seen.forbidden() {
        return Some(Turn::Forbidden(why.to_owned()));
    }
    if seen.is_gone() {
        return Some(Turn::Gone);
    }
    match seen.standing()? {
        Standing::Laid | Standing::Waiting(_) | Standing::Running => None,
        other => Some(Turn::Stands(other)),
    }
}

/// Why a program whose time is over never ran, where that is sure.
async fn never_ran(cluster: &Cluster, name: &str, last: &Seen) -> Option<String> {
    if last.may_have_run() {
        return None;
    }
    if let Some(why) = last.why_it_waits() {
        return Some(why);
    }
    // There never was a pod: what keeps the cluster from making one stands in an event of the Job alone.
    if last.had_pod() {
        return None;
    }
    let of_it = kube::api::ListParams::default().fields(&format!("involvedObject.name={name}"));
    let events = patiently(|| cluster.events.list(&of_it)).await.ok()?;
    let is = |event: &Event, reason: &str| event.reason.as_deref() == Some(reason);
    if events.items.iter().any(|event| is(event, "SuccessfulCreate")) {
        return None;
    }
    events
        .items
        .into_iter()
        .filter(|event| is(event, "FailedCreate"))
        .filter_map(|event| event.message)
        .next_back()
}

/// Takes a Job away, with its pod and its Secret, and answers when nothing of it runs any longer.
///
/// # Errors
/// It may still run.
pub(crate) async fn remove(cluster: &Cluster, name: &str) -> Result<(), NotRun> {
    match patiently(|| async { cluster.jobs.delete(name, &DeleteParams::foreground()).await }).await {
        Ok(_) => {}
        Err(error) if status_of(&error) == Some(404) => {}
        Err(error) => {
            return Err(NotRun::Unknown(format!("the Job {name} may still run: {}", words(&error))));
        }
    }
    put_away_what_it_was_given(cluster, name).await;
    until_no_pod(cluster, name).await
}

/// The Secret would go with the Job; it goes now, since nobody needs it any more.
pub(crate) async fn put_away_what_it_was_given(cluster: &Cluster, name: &str) {
    match patiently(|| async { cluster.secrets.delete(name, &DeleteParams::background()).await }).await {
        Ok(_) => {}
        Err(error) if status_of(&error) == Some(404) => {}
        Err(error) => {
            tracing::error!("the Secret {name} is still there, and goes with its Job: {}", words(&error));
        }
    }
}

async fn until_no_pod(cluster: &Cluster, name: &str) -> Result<(), NotRun> {
    let its = kube::api::ListParams::default().labels(&format!("batch.kubernetes.io/job-name={name}"));
    let gone = async {
        loop {
            let pods = patiently(|| cluster.pods.list(&its)).await.map_err(|error| words(&error))?;
            if pods.items.iter().all(crate::standing::has_ended) {
                return Ok(());
            }
            sleep(LOOK).await;
        }
    };
    let why = match timeout(TO_BE_GONE, gone).await {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(why)) => why,
        Err(_) => "its pod is still there: its node does not answer".to_owned(),
    };
    Err(NotRun::Unknown(format!("the Job {name} was told to end, and may still run: {why}")))
}
