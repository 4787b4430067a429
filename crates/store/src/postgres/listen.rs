//! Wakes from other replicas: one connection that listens.
//!
//! Each transaction notifies of what it woke, under the name of its sender, who ignores it: it has woken its own callers
//! already. What was notified while the connection was broken is not known; then everybody looks anew.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use guichet_contract::{RunId, SystemClock};
use tokio_postgres::AsyncMessage;
use uuid::Uuid;

use super::{clock::DatabaseClock, connect::Connector, fault, unit::Woken};
use crate::wakes::{Wake, Waking};

/// The channel of the database.
pub(super) const CHANNEL: &str = "guichet";
/// Bytes of a payload; PostgreSQL takes less than 8,000.
const PAYLOAD_BYTES: usize = 7_900;
/// How often, and within what time, the connection is asked whether it still leads anywhere: nothing else is ever sent on
/// it, and who hears nothing does not know why.
const ASKED_EVERY: Duration = Duration::from_secs(20);
/// Each so many times it is asked for the time as well.
const TIME_EVERY: u32 = 3;
/// The pause between two tries to connect, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// What the others are told; nothing when nobody is woken. `SENDER:WORDS:RUN,RUN`, or `SENDER:*` when it is too long.
pub(super) fn payload(sender: Uuid, woken: &Woken) -> Option<String> {
    let mut runs = woken.runs.clone();
    runs.sort_unstable();
    runs.dedup();
    let words = [(woken.job, 'j'), (woken.notice, 'n'), (woken.record, 'r'), (woken.registration, 'g')];
    let words: String = words.into_iter().filter_map(|(woken, word)| woken.then_some(word)).collect();
    if words.is_empty() && runs.is_empty() {
        return None;
    }
    let sender = sender.simple();
    let ids: Vec<String> = runs.iter().map(|run| run.0.simple().to_string()).collect();
    let text = format!("{sender}:{words}:{}", ids.join(","));
    Some(if text.len() <= PAYLOAD_BYTES { text } else { format!("{sender}:*") })
}

/// What a payload wakes here; nothing when it is our own.
fn wakes_of(payload: &str, own: Uuid) -> Vec<Wake> {
    let Some((sender, rest)) = payload.split_once(':') else { return vec![Wake::Anything] };
    if sender.parse() == Ok(own) {
        return Vec::new();
    }
    let Some((words, runs)) = rest.split_once(':') else { return vec![Wake::Anything] };
    let words = words.chars().filter_map(|word| match word {
        'j' => Some(Wake::Job),
        'n' => Some(Wake::Notice),
        'r' => Some(Wake::Record),
        'g' => Some(Wake::Registration),
        _ => None,
    });
    let runs = runs.split(',').filter_map(|run| run.parse().ok()).map(|run| Wake::Run(RunId(run)));
    words.chain(runs).collect()
}

/// Listens until the receivers' side is dropped with the store, which aborts this.
pub(super) async fn listen(
    connector: Connector,
    own: Uuid,
    wakes: Waking,
    clock: DatabaseClock,
    ready: impl FnOnce(),
) {
    let mut ready = Some(ready);
    let mut pause = PAUSE.0;
    loop {
        match listen_once(&connector, own, &wakes, &clock, &mut ready).await {
            Ok(()) => pause = PAUSE.0,
            Err(error) => tracing::warn!(%error, "wakes from other replicas are not heard; connecting again"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE.1);
    }
}

/// Until the connection breaks. An error when there was none.
async fn listen_once(
    connector: &Connector,
    own: Uuid,
    wakes: &Waking,
    clock: &DatabaseClock,
    ready: &mut Option<impl FnOnce()>,
) -> Result<(), crate::StoreError> {
    let (client, mut connection) = connector.connect().await.map_err(fault::Fault::into_store_error)?;
    let mut messages = stream::poll_fn(move |context| connection.poll_message(context));
    let listening = async {
        clock.look(&client, &SystemClock).await?;
        client.batch_execute("LISTEN guichet").await
    };
    tokio::pin!(listening);
    let mut listens = false;
    let alive = async {
        for beat in (1..=TIME_EVERY).cycle() {
            tokio::time::sleep(ASKED_EVERY).await;
            let asking = async {
                if beat == TIME_EVERY {
                    clock.look(&client, &SystemClock).await
                } else {
                    client.check_connection().await
                }
            };
            match tokio::time::timeout(ASKED_EVERY, asking).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::debug!(error = fault::words(&error), "PostgreSQL was asked in vain");
                }
                Err(_) => {
                    tracing::warn!("PostgreSQL tells nothing any more; connecting again");
                    return;
                }
            }
        }
    };
    tokio::pin!(alive);
    loop {
        tokio::select! {
            () = &mut alive => return Ok(()),
            said = &mut listening, if !listens => {
                said.map_err(|error| fault::told(&error))?;
                listens = true;
                match ready.take() {
                    Some(ready) => ready(),
                    // What was told in between is not known.
                    None => wakes.wake(Wake::Anything),
                }
            }
            message = messages.next() => match message {
                Some(Ok(AsyncMessage::Notification(told))) => {
                    for wake in wakes_of(told.payload(), own) {
                        wakes.wake(wake);
                    }
                }
                Some(Ok(_)) => {}
                Some(Err(error)) if !listens => return Err(fault::told(&error)),
                Some(Err(_)) | None => return Ok(()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(number: u128) -> RunId {
        RunId(Uuid::from_u128(number))
    }

    #[test]
    fn what_is_told_is_heard_by_others_alone() {
        let (ours, theirs) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let woken = Woken {
            job: true,
            record: true,
            registration: true,
            notice: false,
            runs: vec![run(7), run(5), run(7)],
        };
        let told = payload(ours, &woken).unwrap();
        assert_eq!(wakes_of(&told, ours), []);
        assert_eq!(
            wakes_of(&told, theirs),
            [Wake::Job, Wake::Record, Wake::Registration, Wake::Run(run(5)), Wake::Run(run(7))]
        );
        assert_eq!(payload(ours, &Woken::default()), None);
    }

    #[test]
    fn too_much_wakes_everybody() {
        let woken = Woken { runs: (0..1_000).map(run).collect(), ..Woken::default() };
        let told = payload(Uuid::from_u128(1), &woken).unwrap();
        assert!(told.len() < 8_000);
        assert_eq!(wakes_of(&told, Uuid::from_u128(2)), [Wake::Anything]);
        assert_eq!(wakes_of("strange", Uuid::from_u128(2)), [Wake::Anything]);
    }
}
