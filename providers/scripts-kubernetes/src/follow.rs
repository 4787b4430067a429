//! One Job from its beginning to its end: what is seen of it, its log, the wish to stop it, and its time.

use std::time::Duration;

use futures_util::{future::BoxFuture, poll};
use guichet_provider_scripts::{Ended, Following, HowEnded, NotRun, Tell, output::Output};
use k8s_openapi::api::core::v1::Event;
use kube::api::{DeleteParams, ListParams};
use tokio::time::{sleep, timeout};

use crate::{
    cluster::{Cluster, patiently, status_of, words},
    log::{self, Heard},
    manifest::GRACE_SECONDS,
    sight::{Seen, Sight},
    standing::{self, Standing},
};

/// How much longer than the Job's own time somebody waits for the cluster to end it.
const SLACK: Duration = Duration::from_secs(4);
/// How long the rest of a log may take.
const LAST_WORDS: Duration = Duration::from_secs(25);
/// How long a log is read anew that was not told to its end.
const WHOLE: Duration = Duration::from_secs(5);
/// How long a second look may take.
const SECOND_LOOK: Duration = Duration::from_secs(10);
/// How long the last news of a pod may take that is gone.
const LAST_NEWS: Duration = Duration::from_secs(3);
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
    let hidden = &following.hidden.texts;
    let output = Output::new(tell, hidden, output_lines);
    let heard = Heard::default();
    let mut words = std::pin::pin!(log::follow(cluster, name, sight.seen(), &output, &heard));
    let mut all_said = false;
    let mut late = std::pin::pin!(sleep(following.time + SLACK));
    let mut seen = sight.seen();
    let (turn, is_sure) = loop {
        let now = seen.borrow_and_update().clone();
        // A program that ended before it was told to has ended so, whoever asked for its end meanwhile.
        if let Some(end) = now.own_end() {
            break (Turn::Stands(end), true);
        }
        if let Some(turn) = turn_of(&now) {
            // Who asked for the end is not told that somebody else brought it.
            break (if poll!(stop.as_mut()).is_ready() { Turn::Stop } else { turn }, false);
        }
        tokio::select! {
            _ = seen.changed() => {}
            () = &mut words, if !all_said => all_said = true,
            () = &mut stop => break (Turn::Stop, false),
            () = &mut late => break (Turn::Late, false),
        }
    };
    let turn = if is_sure { turn } else { looked_at_again(cluster, name, turn).await };
    let rest = async {
        if !all_said && !sight.seen().borrow().has_no_pod() {
            let _ = timeout(LAST_WORDS, words).await;
        }
    };
    let how = match turn {
        Turn::Stands(Standing::Ended(code, beside)) => {
            rest.await;
            return ended(cluster, name, code, beside, &output, &heard, hidden).await;
        }
        Turn::Stands(Standing::NotStarted(why)) => {
            remove(cluster, name).await?;
            return Err(NotRun::NotBegun(format!("the script was not started: {why}; nothing was run")));
        }
        Turn::Stands(Standing::CannotRun(why)) => {
            remove(cluster, name).await?;
            // It may have been started after all, between the look and the end.
            let last = seen.borrow();
            return Err(if last.may_have_run() || last.missed() {
                NotRun::Unknown(why)
            } else {
                NotRun::NotBegun(format!("the script could not be started: {why}; nothing was run"))
            });
        }
        Turn::Stands(Standing::TimeOver) => {
            let (gone, ()) = tokio::join!(until_no_pod(cluster, name), rest);
            gone?;
            put_away_what_it_was_given(cluster, name).await;
            let _ = timeout(LAST_NEWS, seen.wait_for(|seen| !seen.missed())).await;
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
            // The last that its node told may come after the news that it is gone.
            let _ = timeout(LAST_NEWS, seen.wait_for(|seen| seen.is_silent() && !seen.missed())).await;
            let last = seen.borrow().own_end_of_pod();
            if let Some(Standing::Ended(code, beside)) = last {
                // It ended between the last look and the wish.
                return ended(cluster, name, code, beside, &output, &heard, hidden).await;
            }
            if matches!(turn, Turn::Stop) { HowEnded::Stopped } else { HowEnded::TimedOut }
        }
    };
    let last = seen.borrow().clone();
    if how != HowEnded::TimedOut {
        return Ok(output.end(how));
    }
    let time = following.time.as_secs();
    if let Some(why) = never_ran(cluster, name, &last).await {
        return Err(NotRun::NotBegun(format!(
            "the script was not started within the {time} s that it has: {why}; nothing was run"
        )));
    }
    // That it did not end by itself is known by who saw it run until then, or by the cluster, which ended it.
    let is_known = matches!(turn, Turn::Stands(_)) && last.may_have_run();
    if last.missed() && !is_known {
        return Err(NotRun::Unknown(format!(
            "the time of {time} s is over, and the cluster did not tell in it what became of the pod of the Job {name}"
        )));
    }
    Ok(output.end(how))
}

/// What is told of one that ended by itself, with its result, which is the last line of all.
async fn ended(
    cluster: &Cluster,
    name: &str,
    code: i32,
    beside: Option<String>,
    output: &Output<'_>,
    heard: &Heard,
    hidden: &[String],
) -> Result<Ended, NotRun> {
    let how = HowEnded::Exited(code);
    let mut ended =
        if heard.all() { output.end(how) } else { heard_out(cluster, name, hidden, how, WHOLE).await? };
    put_away_what_it_was_given(cluster, name).await;
    ended.complaints.extend(beside);
    Ok(ended)
}

/// All that the pod of a Job said that ended so. Where it is gone with its pod, that is told in the place of a result.
///
/// # Errors
/// It cannot be read to its end now; it may be later, since the pod is there.
pub(crate) async fn heard_out(
    cluster: &Cluster,
    name: &str,
    hidden: &[String],
    how: HowEnded,
    within: Duration,
) -> Result<Ended, NotRun> {
    let later = |why: String| {
        let HowEnded::Exited(code) = how else { return NotRun::Unknown(why) };
        NotRun::Unknown(format!(
            "the script ended with exit code {code}, and its result is not known yet: {why}"
        ))
    };
    let its = pods_of(name);
    let pods = patiently(|| cluster.pods.list(&its)).await.map_err(|error| later(words(&error)))?;
    let Some(pod) = pods.items.into_iter().next().and_then(|pod| pod.metadata.name) else {
        return Ok(log::unheard(how));
    };
    let whole = log::read_whole(cluster, &pod, hidden, how, within).await.map_err(later)?;
    Ok(whole.unwrap_or_else(|| log::unheard(how)))
}

/// The same, or what a new look says that is surer. Two watches may break together and come back one after the other, and an end
/// that was seen is more than that of a wish or of a time.
async fn looked_at_again(cluster: &Cluster, name: &str, turn: Turn) -> Turn {
    if !matches!(turn, Turn::Stands(Standing::Lost(_) | Standing::Ended(..)) | Turn::Stop | Turn::Late) {
        return turn;
    }
    let its = pods_of(name);
    let look = async {
        let job = patiently(|| cluster.jobs.get_opt(name)).await.ok()??;
        let pods = patiently(|| cluster.pods.list(&its)).await.ok()?;
        Some((job, pods.items.into_iter().next()))
    };
    let Ok(Some((job, pod))) = timeout(SECOND_LOOK, look).await else { return turn };
    match (standing::of(&job, pod.as_ref()), &turn) {
        (end @ Standing::Ended(..), Turn::Stands(_)) => Turn::Stands(end),
        (end @ Standing::Ended(..), _) if standing::ended_by_itself(&job, pod.as_ref()) => Turn::Stands(end),
        // The pod is ended by its time, and is seen to end before its Job.
        (Standing::TimeOver, Turn::Late | Turn::Stands(_)) => Turn::Stands(Standing::TimeOver),
        _ => turn,
    }
}

/// The pods of the Job of this name.
pub(crate) fn pods_of(name: &str) -> ListParams {
    ListParams::default().labels(&format!("batch.kubernetes.io/job-name={name}"))
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
    if last.may_have_run() || last.missed() {
        return None;
    }
    if let Some(why) = last.why_it_waits() {
        return Some(why);
    }
    // There never was a pod: what keeps the cluster from making one stands in an event of the Job alone.
    if last.had_pod() {
        return None;
    }
    let of_it = ListParams::default().fields(&format!("involvedObject.name={name}"));
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
    let its = pods_of(name);
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

    use futures_util::FutureExt as _;
    use guichet_provider_scripts::Hidden;
    use serde_json::json;
    use tokio::time::Instant;

    use super::*;
    use crate::scripted::{Answer, Asked, Scripted, begun, done, ended, pod};

    /// Follows for 5 s.
    async fn followed(server: &Scripted, stop: BoxFuture<'_, ()>) -> Result<Ended, NotRun> {
        let following = Following { time: Duration::from_secs(5), hidden: Hidden::default() };
        Box::pin(follow(&server.cluster(), "x", following, 10, &|_| (), stop)).await
    }

    fn never() -> BoxFuture<'static, ()> {
        std::future::pending().boxed()
    }

    fn said(asked: &Asked, lines: &[&str]) -> Answer {
        let time = "2026-01-01T00:00:01.5Z";
        let lines = if asked.query.contains("tailLines=1") { &lines[lines.len() - 1..] } else { lines };
        Answer::Is(200, lines.iter().flat_map(|line| [time, " ", line, "\n"]).collect())
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_could_see_until_its_time_was_over_is_not_claimed() {
        let start = Instant::now();
        let is_away = AtomicBool::new(false);
        let server = Scripted::new(move |asked| {
            // It is away from the first look at the pod on, until the time is over.
            if is_away.load(Ordering::SeqCst) && start.elapsed() < Duration::from_secs(12) {
                return Answer::Silence;
            }
            match asked.what() {
                ("GET", "pods") if is_away.swap(true, Ordering::SeqCst) => asked.shows_all(&[]),
                ("GET", "pods") => asked.shows(&pod(&json!({"waiting": {"reason": "ContainerCreating"}}))),
                ("GET", "jobs") => asked.shows(&begun(&json!([]))),
                _ => done(),
            }
        });
        let told = Box::pin(followed(&server, never())).await.unwrap_err();
        assert!(
            matches!(&told, NotRun::Unknown(why) if why.contains("did not tell in it what became")),
            "{told:?}"
        );
        assert!(server.times(("DELETE", "jobs")) > 0, "and it is ended");
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_told_also_when_its_job_is_seen_before_its_pod() {
        let looks = AtomicU32::new(0);
        let server = Scripted::new(move |asked| {
            match asked.what() {
            ("GET", "jobs") => asked.shows(&begun(
                &json!([{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "m"}]),
            )),
            ("GET", "pods") if !asked.query.contains("watch=") && looks.fetch_add(1, Ordering::SeqCst) == 0 => {
                asked.shows(&pod(&json!({"running": {}})))
            }
            ("GET", "pods") => asked.shows(&pod(&ended(3))),
            ("GET", "log") => said(asked, &["no such topic"]),
            _ => done(),
        }
        });
        let told = Box::pin(followed(&server, never())).await.unwrap();
        assert_eq!(
            (told.how, told.complaints.as_slice()),
            (HowEnded::Exited(3), ["no such topic".to_owned()].as_slice())
        );
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_was_ended_by_its_time_is_told_so_also_when_its_pod_is_seen_before_its_job() {
        let looks = AtomicU32::new(0);
        let server = Scripted::new(move |asked| match asked.what() {
            ("GET", "jobs") if looks.fetch_add(1, Ordering::SeqCst) == 0 => asked.shows(&begun(&json!([]))),
            ("GET", "jobs") => asked.shows(&begun(
                &json!([{"type": "Failed", "status": "True", "reason": "DeadlineExceeded", "message": "m"}]),
            )),
            ("GET", "pods") => {
                let mut told_to = pod(&ended(143));
                told_to["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:10Z");
                asked.shows(&told_to)
            }
            ("GET", "log") => said(asked, &["on the way"]),
            _ => done(),
        });
        assert_eq!(Box::pin(followed(&server, never())).await.unwrap().how, HowEnded::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn who_ended_before_the_wish_has_ended_so() {
        let server = Scripted::new(|asked| match asked.what() {
            ("GET", "jobs") => asked.shows(&begun(&json!([{"type": "Complete", "status": "True"}]))),
            ("GET", "pods") => asked.shows(&pod(&ended(0))),
            ("GET", "log") => said(asked, &["on the way", "{\"done\": 1}"]),
            _ => done(),
        });
        let told = Box::pin(followed(&server, std::future::ready(()).boxed())).await.unwrap();
        assert_eq!((told.how, told.result), (HowEnded::Exited(0), Some(json!({"done": 1}))));
        assert_eq!(server.times(("DELETE", "jobs")), 0, "it stays as memory");
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_ended_by_the_wish_is_stopped_whatever_it_answers() {
        let is_told = AtomicBool::new(false);
        let server = Scripted::new(move |asked| match asked.what() {
            ("DELETE", "jobs") => {
                is_told.store(true, Ordering::SeqCst);
                done()
            }
            ("GET", "jobs") => asked.shows(&begun(&json!([]))),
            ("GET", "pods") if is_told.load(Ordering::SeqCst) => {
                let mut ended = pod(&ended(0));
                // Told at 00:00:05, and it ended at 00:00:09.
                ended["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:10Z");
                ended["metadata"]["deletionGracePeriodSeconds"] = json!(5);
                asked.shows(&ended)
            }
            ("GET", "pods") => asked.shows(&pod(&json!({"running": {}}))),
            ("GET", "log") => said(asked, &["tidied"]),
            _ => done(),
        });
        let stop = sleep(Duration::from_secs(2)).boxed();
        assert_eq!(Box::pin(followed(&server, stop)).await.unwrap().how, HowEnded::Stopped);
    }

    #[tokio::test(start_paused = true)]
    async fn of_a_log_that_breaks_off_no_earlier_line_is_the_result() {
        let is_broken = std::sync::Arc::new(AtomicBool::new(true));
        let breaks = std::sync::Arc::clone(&is_broken);
        let server = Scripted::new(move |asked| match asked.what() {
            ("GET", "jobs") => asked.shows(&begun(&json!([{"type": "Complete", "status": "True"}]))),
            ("GET", "pods") => asked.shows(&pod(&ended(0))),
            ("GET", "log") if breaks.load(Ordering::SeqCst) && !asked.query.contains("tailLines") => {
                said(asked, &["{\"early\": 1}"])
            }
            ("GET", "log") => said(asked, &["{\"early\": 1}", "{\"late\": 2}"]),
            _ => done(),
        });
        let told = Box::pin(followed(&server, never())).await.unwrap_err();
        assert!(
            matches!(&told, NotRun::Unknown(why) if why.contains("exit code 0") && why.contains("broke off")),
            "{told:?}"
        );
        assert_eq!(server.times(("DELETE", "secrets")), 0, "it is asked for again");
        is_broken.store(false, Ordering::SeqCst);
        assert_eq!(Box::pin(followed(&server, never())).await.unwrap().result, Some(json!({"late": 2})));
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_pod_said_that_is_gone_is_not_made_up() {
        let server = Scripted::new(|asked| match asked.what() {
            ("GET", "jobs") => asked.shows(&begun(&json!([{"type": "Complete", "status": "True"}]))),
            ("GET", "pods") => asked.shows_all(&[]),
            _ => done(),
        });
        let told = Box::pin(followed(&server, never())).await.unwrap();
        assert_eq!((told.how, &told.result), (HowEnded::Exited(0), &None));
        assert!(told.complaints[0].contains("its pod is gone"), "{told:?}");
    }
}
