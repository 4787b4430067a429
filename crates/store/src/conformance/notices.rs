//! What people are to be told, and who was told.

use std::time::Duration;

use guichet_contract::{Clock as _, Notice, Occasion, RunState, SystemClock, Verdict};

use super::{Premises, fixtures::*};
use crate::{Change, Job, JobKind, Lane, Store, Told, UnitOfWork, Wake};

pub(crate) fn job() -> Job {
    Job { kind: JobKind::DeliverNotice, ..job_due(second(0)) }
}

pub(crate) fn notice() -> Notice {
    Notice {
        event: SystemClock.new_uuid(),
        at: second(3),
        occasion: Occasion::RunDecided,
        channel: "mail".into(),
        by: Some("grace".into()),
        verdict: Some(Verdict::Reject),
        because: Some("not on a Friday: é\"\\\u{1}".into()),
        state: RunState::Rejected,
        closed: ["p1".to_owned(), "p2".to_owned()].into(),
        open: ["p3".to_owned()].into(),
        asked: ["ada".to_owned()].into(),
    }
}

pub(crate) fn mail() -> Lane {
    Lane::Channel("mail".into())
}

pub(crate) fn told(notice: &Notice, recipient: &str) -> Told {
    Told {
        event: notice.event,
        channel: notice.channel.clone(),
        recipient: recipient.into(),
        run: run_id(),
        at: second(7),
        given_up: recipient == "eve",
    }
}

pub async fn a_notice_reads_as_it_was_written_until_it_is_told(premises: &impl Premises) {
    let store = premises.open().await;
    let (job, notice) = (job(), notice());
    store.commit(unit(Change::EnqueueNotice { job: job.clone(), notice: notice.clone() })).await.unwrap();
    assert_eq!(store.notice(job.id).await.unwrap(), Some(notice));
    assert_eq!(store.notice(job_id()).await.unwrap(), None);
    let claimed = store.claim_jobs(&mail(), "a", second(0), second(60), &Room::any(10)).await.unwrap();
    assert_eq!(claimed, [Job { attempts: 1, ..job.clone() }]);
    store.commit(unit(Change::FinishJob { job: job.id, lease: "a".into() })).await.unwrap();
    assert_eq!(store.notice(job.id).await.unwrap(), None, "what was told is not kept");
}

pub async fn channels_that_nobody_has_any_more_are_known(premises: &impl Premises) {
    let store = premises.open().await;
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    let mut work = UnitOfWork::new().enqueue_job(job_due(second(0)));
    for channel in ["mail", "hook", "hook", "pager"] {
        work.add(Change::EnqueueNotice {
            job: job(),
            notice: Notice { channel: channel.into(), ..notice() },
        });
    }
    store.commit(work).await.unwrap();
    let gone = async |kept: &[&str], seen_before| {
        store.gone_channels(&names(kept), second(seen_before)).await.unwrap()
    };
    assert_eq!(gone(&["mail"], 9).await, ["hook", "pager"], "nobody has ever had them");
    assert_eq!(store.channels_noted_at().await.unwrap(), None);
    store.note_channels(&names(&["hook", "idle", "hook"]), second(5)).await.unwrap();
    assert_eq!(gone(&["mail"], 5).await, ["pager"]);
    assert_eq!(gone(&["mail"], 6).await, ["hook", "pager"], "and what nothing waits for is of no interest");
    for at in [8, 2] {
        store.note_channels(&names(&["hook", "pager"]), second(at)).await.unwrap();
    }
    assert_eq!(gone(&["mail"], 8).await, Vec::<String>::new(), "it is the last time that counts");
    assert_eq!(gone(&[], 8).await, ["mail"]);
    store.note_channels(&[], second(9)).await.unwrap();
    store.note_channels(&names(&["idle"]), second(7)).await.unwrap();
    assert_eq!(store.channels_noted_at().await.unwrap(), Some(second(8)), "of all, the last");
}

pub async fn notices_never_keep_runs_waiting(premises: &impl Premises) {
    let store = premises.open().await;
    let (telling, running) = (job(), job_due(second(50)));
    let work = unit(Change::EnqueueNotice { job: telling.clone(), notice: notice() });
    store.commit(work.enqueue_job(running.clone())).await.unwrap();
    assert_eq!(store.next_due(&mail(), &Room::any(1)).await.unwrap(), Some(second(0)));
    assert_eq!(store.next_due(&Lane::Runs, &Room::any(1)).await.unwrap(), Some(second(50)));
    let claim = async |lane: &Lane| {
        store.claim_jobs(lane, "a", second(60), second(90), &Room::any(10)).await.unwrap()
    };
    assert_eq!(claim(&Lane::Runs).await, [Job { attempts: 1, ..running }]);
    assert_eq!(claim(&mail()).await, [Job { attempts: 1, ..telling }]);
}

pub async fn a_notice_needs_its_own_kind(premises: &impl Premises) {
    let store = premises.open().await;
    conflict(store.commit(unit(Change::EnqueueNotice { job: job_due(second(0)), notice: notice() })).await);
    conflict(store.commit(UnitOfWork::new().enqueue_job(job())).await);
    for lane in [Lane::Runs, mail()] {
        assert_eq!(store.next_due(&lane, &Room::any(1)).await.unwrap(), None);
    }
}

pub async fn nobody_is_told_twice(premises: &impl Premises) {
    let store = premises.open().await;
    let notice = notice();
    let (omar, eve) = (told(&notice, "omar"), told(&notice, "eve"));
    for told in [&omar, &eve] {
        store.commit(unit(Change::NoteTold(told.clone()))).await.unwrap();
        conflict(store.commit(unit(Change::NoteTold(told.clone()))).await);
    }
    let elsewhere = Told { channel: "hook".into(), ..omar.clone() };
    store.commit(unit(Change::NoteTold(elsewhere.clone()))).await.unwrap();
    assert_eq!(store.told(notice.event, "mail").await.unwrap(), [eve, omar]);
    assert_eq!(store.told(notice.event, "hook").await.unwrap(), [elsewhere]);
    assert_eq!(store.told(SystemClock.new_uuid(), "mail").await.unwrap(), []);
}

pub async fn a_retried_notice_wakes_its_own_lane(premises: &impl Premises) {
    let store = premises.open().await;
    let job = job();
    store.commit(unit(Change::EnqueueNotice { job: job.clone(), notice: notice() })).await.unwrap();
    store.claim_jobs(&mail(), "a", second(0), second(60), &Room::any(10)).await.unwrap();
    let mut wakes = store.wakes();
    let again = Change::RetryJob { job: job.id, lease: "a".into(), due: second(9) };
    store.commit(unit(again)).await.unwrap();
    let wake = tokio::time::timeout(Duration::from_secs(10), wakes.recv()).await.unwrap().unwrap();
    assert_eq!(wake, Wake::Notice);
}
