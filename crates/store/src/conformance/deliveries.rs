//! What becomes of notices, try by try.

use std::{sync::Arc, time::Duration};

use guichet_contract::{
    Attempt, AttemptResult, Delivery, DeliveryId, DeliveryState, Notice, RunId, SystemClock,
};

use super::{
    Premises,
    fixtures::*,
    notices::{job, mail, notice, told},
};
use crate::{Change, DeliveriesFilter, Job, PageRequest, Store, Wake};

fn attempt(number: u32, result: AttemptResult) -> Attempt {
    Attempt {
        replay: 0,
        number,
        recipient: None,
        at: second(i64::from(number)),
        duration_ms: 17,
        result,
        status: Some(503),
        why: Some("it said no: é\"\\\u{1}".into()),
        next_try_at: Some(second(i64::from(number) + 1)),
    }
}

/// A notice that waits, and its delivery.
async fn begun(store: &impl Store, notice: &Notice) -> (Job, DeliveryId) {
    let job = job();
    store.commit(unit(Change::EnqueueNotice { job: job.clone(), notice: notice.clone() })).await.unwrap();
    let id = DeliveryId::of_job(job.id);
    (job, id)
}

/// It was tried, and came to its end.
async fn end(store: &impl Store, job: &Job, state: DeliveryState) {
    store.claim_jobs(&mail(), "a", second(1_000), second(2_000), &Room::any(100)).await.unwrap();
    let work = unit(Change::FinishJob { job: job.id, lease: "a".into() }).with(Change::EndDelivery {
        delivery: DeliveryId::of_job(job.id),
        state,
        at: second(9),
    });
    store.commit(work).await.unwrap();
}

async fn read(store: &impl Store, id: DeliveryId) -> Delivery {
    store.delivery(id).await.unwrap().unwrap()
}

pub async fn a_notice_begins_a_delivery_that_waits(premises: &impl Premises) {
    let store = premises.open().await;
    let notice = notice();
    let (job, id) = begun(&*store, &notice).await;
    let expected = Delivery {
        id,
        event: notice.event,
        channel: "mail".into(),
        occasion: notice.occasion,
        run: job.run,
        at: notice.at,
        state: DeliveryState::Waiting,
        replays: 0,
        tries: 0,
        next_try_at: Some(second(0)),
        ended_at: None,
        last: None,
        attempts: vec![],
    };
    assert_eq!(read(&*store, id).await, expected);
    assert_eq!(store.delivery(DeliveryId::new(&SystemClock)).await.unwrap(), None);
    end(&*store, &job, DeliveryState::Delivered).await;
    let ended = Delivery {
        state: DeliveryState::Delivered,
        next_try_at: None,
        ended_at: Some(second(9)),
        ..expected
    };
    assert_eq!(read(&*store, id).await, ended);
}

pub async fn tries_are_told_in_their_order_and_written_once(premises: &impl Premises) {
    let store = premises.open().await;
    let (_, id) = begun(&*store, &notice()).await;
    let second_try = attempt(2, AttemptResult::Delivered);
    let replayed = Attempt { replay: 1, ..attempt(1, AttemptResult::GivenUp) };
    let one = |name: &str| Attempt {
        recipient: Some(name.into()),
        status: None,
        why: None,
        next_try_at: None,
        ..attempt(1, AttemptResult::Unknown)
    };
    for attempt in [&replayed, &second_try, &one("omar"), &one("eve")] {
        let note = Change::NoteAttempt { delivery: id, attempt: attempt.clone() };
        store.commit(unit(note)).await.unwrap();
    }
    let again = Attempt { duration_ms: 99, ..second_try.clone() };
    store.commit(unit(Change::NoteAttempt { delivery: id, attempt: again })).await.unwrap();
    let delivery = read(&*store, id).await;
    assert_eq!(delivery.attempts, [one("eve"), one("omar"), second_try, replayed.clone()]);
    assert_eq!((delivery.tries, delivery.last), (4, Some(replayed.clone())));
    let listed = store.deliveries(&DeliveriesFilter::default(), &first(10)).await.unwrap().items;
    assert_eq!((listed[0].tries, &listed[0].last), (4, &Some(replayed)));
    assert!(listed[0].attempts.is_empty(), "a list tells the latest alone");
}

pub async fn a_delivery_that_ended_begins_anew_once(premises: &impl Premises) {
    let store = premises.open().await;
    let notice = notice();
    let (job, id) = begun(&*store, &notice).await;
    let replay = |replays| unit(Change::ReplayDelivery { delivery: id, replays, at: second(50) });
    conflict(store.commit(replay(0)).await);
    let elsewhere = crate::Told { channel: "hook".into(), ..told(&notice, "omar") };
    for told in [told(&notice, "eve"), elsewhere.clone()] {
        store.commit(unit(Change::NoteTold(told))).await.unwrap();
    }
    end(&*store, &job, DeliveryState::GivenUp).await;
    conflict(store.commit(replay(1)).await);
    let mut wakes = store.wakes();
    let answers = at_once((0..8).map(|_| {
        let store = Arc::clone(&store);
        async move {
            store.commit(unit(Change::ReplayDelivery { delivery: id, replays: 0, at: second(50) })).await
        }
    }))
    .await;
    assert_eq!(wins(answers), 1, "a double click sends it once");
    let wake = tokio::time::timeout(Duration::from_secs(10), wakes.recv()).await.unwrap().unwrap();
    assert_eq!(wake, Wake::Notice);
    let delivery = read(&*store, id).await;
    assert_eq!((delivery.state, delivery.replays), (DeliveryState::Waiting, 1));
    assert_eq!((delivery.next_try_at, delivery.ended_at), (Some(second(50)), None));
    assert_eq!(store.notice(job.id).await.unwrap(), Some(notice.clone()), "the same notice");
    assert_eq!(store.told(notice.event, "mail").await.unwrap(), [], "who was told is told again");
    assert_eq!(store.told(notice.event, "hook").await.unwrap(), [elsewhere], "through this channel alone");
    let claimed = store.claim_jobs(&mail(), "a", second(60), second(90), &Room::any(10)).await.unwrap();
    assert_eq!(claimed, [Job { attempts: 1, due: second(50), ..job }]);
    conflict(store.commit(replay(1)).await);
    let unknown = DeliveryId::new(&SystemClock);
    conflict(
        store.commit(unit(Change::ReplayDelivery { delivery: unknown, replays: 0, at: second(1) })).await,
    );
}

pub async fn what_waits_is_hastened_and_not_begun_anew(premises: &impl Premises) {
    let store = premises.open().await;
    let (job, id) = begun(&*store, &notice()).await;
    store.claim_jobs(&mail(), "a", second(0), second(60), &Room::any(10)).await.unwrap();
    let hasten = |due| unit(Change::HastenDelivery { delivery: id, due: second(due) });
    conflict(store.commit(hasten(5)).await);
    assert_eq!(read(&*store, id).await.next_try_at, Some(second(0)), "what is held stays as it is");
    let later = Change::RetryJob { job: job.id, lease: "a".into(), due: second(3_600) };
    store.commit(unit(later)).await.unwrap();
    for due in [5, 9] {
        store.commit(hasten(due)).await.unwrap();
        let delivery = read(&*store, id).await;
        assert_eq!((delivery.next_try_at, delivery.replays), (Some(second(5)), 0), "sooner, never later");
    }
    end(&*store, &job, DeliveryState::GivenUp).await;
    conflict(store.commit(hasten(5)).await);
    let gone = Change::HastenDelivery { delivery: DeliveryId::new(&SystemClock), due: second(5) };
    conflict(store.commit(unit(gone)).await);
}

pub async fn deliveries_are_filtered_and_paged(premises: &impl Premises) {
    let store = premises.open().await;
    let mut all = Vec::new();
    for number in 0..7 {
        let channel = if number % 2 == 0 { "mail" } else { "hook" };
        // Two at the same moment.
        let notice = Notice { channel: channel.into(), at: second(number / 2), ..notice() };
        let job = Job { run: RunId::new(&SystemClock), ..job() };
        let work = unit(Change::EnqueueNotice { job: job.clone(), notice: notice.clone() });
        store.commit(work).await.unwrap();
        all.push((DeliveryId::of_job(job.id), job, notice));
    }
    end(&*store, &all[2].1, DeliveryState::Delivered).await;
    let list = async |filter: DeliveriesFilter| {
        let (mut found, mut cursor) = (Vec::new(), None);
        loop {
            let page = PageRequest { limit: 2, cursor };
            let page = store.deliveries(&filter, &page).await.unwrap();
            found.extend(page.items.into_iter().map(|delivery| delivery.id));
            cursor = page.next;
            if cursor.is_none() {
                return found;
            }
        }
    };
    let those = |wanted: &dyn Fn(usize) -> bool| {
        let mut found: Vec<_> = (0..7).filter(|place| wanted(*place)).map(|place| &all[place]).collect();
        found.sort_by_key(|(id, _, notice)| std::cmp::Reverse((notice.at, *id)));
        found.into_iter().map(|(id, _, _)| *id).collect::<Vec<_>>()
    };
    let any = DeliveriesFilter::default;
    assert_eq!(list(any()).await, those(&|_| true));
    assert_eq!(
        list(DeliveriesFilter { channel: Some("hook".into()), ..any() }).await,
        those(&|n| n % 2 == 1)
    );
    let states = vec![DeliveryState::Delivered, DeliveryState::GivenUp];
    assert_eq!(list(DeliveriesFilter { states, ..any() }).await, those(&|n| n == 2));
    assert_eq!(list(DeliveriesFilter { run: Some(all[3].1.run), ..any() }).await, those(&|n| n == 3));
    assert_eq!(list(DeliveriesFilter { event: Some(all[4].2.event), ..any() }).await, those(&|n| n == 4));
    assert_eq!(list(DeliveriesFilter { since: Some(second(2)), ..any() }).await, those(&|n| n >= 4));
    let strange = PageRequest { limit: 2, cursor: Some("somewhere".into()) };
    let refused = store.deliveries(&any(), &strange).await;
    assert!(matches!(refused, Err(crate::StoreError::BadCursor)), "{refused:?}");
}

pub async fn old_deliveries_are_forgotten_and_those_that_wait_are_not(premises: &impl Premises) {
    let store = premises.open().await;
    let mut all = Vec::new();
    for number in 0..6 {
        let notice = Notice { at: second(number), ..notice() };
        let (job, id) = begun(&*store, &notice).await;
        let note = Change::NoteAttempt { delivery: id, attempt: attempt(1, AttemptResult::Delivered) };
        store.commit(unit(note).with(Change::NoteTold(told(&notice, "omar")))).await.unwrap();
        if number != 1 {
            end(&*store, &job, DeliveryState::Delivered).await;
        }
        all.push((id, notice));
    }
    let left = async || {
        let mut left = Vec::new();
        for (place, (id, notice)) in all.iter().enumerate() {
            let told = store.told(notice.event, "mail").await.unwrap().len();
            match store.delivery(*id).await.unwrap() {
                Some(delivery) => {
                    assert_eq!((delivery.tries, told), (1, 1));
                    left.push(place);
                }
                None => assert_eq!(told, 0),
            }
        }
        left
    };
    let forget = async |before| store.forget_deliveries(second(before)).await.unwrap();
    assert_eq!(forget(0).await, 0);
    assert_eq!(left().await, [0, 1, 2, 3, 4, 5]);
    assert_eq!(forget(3).await, 2);
    assert_eq!(left().await, [1, 3, 4, 5], "what waits stays");
    assert_eq!(forget(3).await, 0);
}

pub async fn a_log_that_was_overfull_tells_from_when_on_it_is_kept(premises: &impl Premises) {
    let store = premises.open().await;
    let kept = async |keep| store.oldest_kept_delivery(keep).await.unwrap();
    assert_eq!(kept(1).await, None);
    for at in [3, 1, 4, 1, 5] {
        begun(&*store, &Notice { at: second(at), ..notice() }).await;
    }
    for (keep, at) in [(0, None), (1, Some(5)), (2, Some(4)), (4, Some(1)), (5, Some(1)), (6, None)] {
        assert_eq!(kept(keep).await, at.map(second), "{keep}");
    }
}

/// As a gateway of before there was a log ends what it delivers.
pub async fn where_nobody_wrote_down_the_end_who_was_told_tells(premises: &impl Premises) {
    let store = premises.open().await;
    for (told_of, state) in [
        (&[][..], DeliveryState::Dropped),
        (&["omar"], DeliveryState::Delivered),
        (&["eve", "omar"], DeliveryState::GivenUp),
    ] {
        let notice = notice();
        let (job, id) = begun(&*store, &notice).await;
        for name in told_of {
            store.commit(unit(Change::NoteTold(told(&notice, name)))).await.unwrap();
        }
        assert_eq!(read(&*store, id).await.state, DeliveryState::Waiting);
        store.claim_jobs(&mail(), "a", second(1_000), second(2_000), &Room::any(100)).await.unwrap();
        store.commit(unit(Change::FinishJob { job: job.id, lease: "a".into() })).await.unwrap();

        let ended = read(&*store, id).await;
        let ended_at = (!told_of.is_empty()).then(|| second(7));
        assert_eq!((ended.state, ended.ended_at, ended.next_try_at), (state, ended_at, None));
        let of = |state| DeliveriesFilter {
            states: vec![state],
            event: Some(notice.event),
            ..DeliveriesFilter::default()
        };
        assert_eq!(store.deliveries(&of(state), &first(9)).await.unwrap().items, [ended]);
        let waiting = store.deliveries(&of(DeliveryState::Waiting), &first(9)).await.unwrap();
        assert_eq!(waiting.items, []);
        let again = unit(Change::ReplayDelivery { delivery: id, replays: 0, at: second(50) });
        store.commit(again.clone()).await.unwrap();
        conflict(store.commit(again).await);
        assert_eq!(read(&*store, id).await.state, DeliveryState::Waiting);
        assert_eq!(store.forget_deliveries(second(1_000)).await.unwrap(), 0, "it waits again");
        store.claim_jobs(&mail(), "a", second(1_000), second(2_000), &Room::any(100)).await.unwrap();
        store.commit(unit(Change::FinishJob { job: job.id, lease: "a".into() })).await.unwrap();
        assert_eq!(store.forget_deliveries(second(1_000)).await.unwrap(), 1);
        assert_eq!(store.delivery(id).await.unwrap(), None);
    }
}

pub async fn what_is_in_no_log_has_no_tries_and_is_forgotten_too(premises: &impl Premises) {
    let store = premises.open().await;
    let unknown = DeliveryId::new(&SystemClock);
    let note = |delivery| unit(Change::NoteAttempt { delivery, attempt: attempt(1, AttemptResult::Failed) });
    store.commit(note(unknown)).await.unwrap();
    let (before, logged) = (notice(), notice());
    let (_, id) = begun(&*store, &logged).await;
    store.commit(note(id)).await.unwrap();
    for told in [told(&before, "eve"), told(&before, "omar"), told(&logged, "omar")] {
        store.commit(unit(Change::NoteTold(told))).await.unwrap();
    }
    assert_eq!(store.forget_deliveries(second(7)).await.unwrap(), 0, "it was told at 7");
    assert_eq!(store.told(before.event, "mail").await.unwrap().len(), 2);
    assert_eq!(store.forget_deliveries(second(8)).await.unwrap(), 2);
    assert_eq!(store.told(before.event, "mail").await.unwrap(), []);
    assert_eq!(store.told(logged.event, "mail").await.unwrap().len(), 1, "that one waits");
    assert_eq!(read(&*store, id).await.tries, 1);
}
