//! The log of a pod, followed to its end: broken connections are mended, and no line is told twice.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::{AsyncBufRead, AsyncBufReadExt as _};
use guichet_provider_scripts::output::{LONGEST, Output, Stream};
use jiff::{RoundMode, Timestamp, TimestampRound, Unit};
use kube::api::{LogParams, Patch, PatchParams};
use serde_json::json;
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};

use crate::{
    cluster::{Cluster, words},
    manifest::{CONTAINER, TOLD},
    sight::Seen,
};

/// How long the rest of the log is asked for when the script has ended.
const LAST_WORDS: Duration = Duration::from_secs(20);
/// How often it is written down up to where it was told: what a process that dies told since then is told again by the next.
const NOTES: Duration = Duration::from_secs(1);
/// Before a log that broke off is asked for again.
const PAUSE: Duration = Duration::from_millis(300);

/// Up to where it was told.
///
/// A log can only be asked for from a whole second on, so what was told of that second is left out: as many lines as have its
/// time, or a later one. The log only grows, and its order stays.
#[derive(Debug, Clone, Default)]
struct Told {
    /// The second of the last line.
    from: Option<Timestamp>,
    /// Lines of that second that another process told.
    earlier: usize,
    /// Times of those that this one told.
    times: Vec<Timestamp>,
    /// The same before the last line.
    before: Option<(Timestamp, usize)>,
}

impl Told {
    fn add(&mut self, time: Timestamp) {
        self.before = self.from.map(|from| (from, self.since()));
        let second = TimestampRound::new().smallest(Unit::Second).mode(RoundMode::Floor);
        let floor = time.round(second).unwrap_or(time);
        if self.from.is_none_or(|from| floor > from) {
            self.from = Some(floor);
            self.earlier = 0;
        }
        self.times.push(time);
        if let Some(from) = self.from {
            self.times.retain(|time| *time >= from);
        }
    }

    /// How many lines there are from that second on.
    fn since(&self) -> usize {
        self.earlier + self.times.len()
    }

    /// For another process. What is only held back was not told.
    fn note(&self, holds_one: bool) -> Option<String> {
        let now = self.from.map(|from| (from, self.since()));
        let (from, lines) = if holds_one { self.before } else { now }?;
        Some(format!("{from} {lines}"))
    }

    /// What another process noted.
    fn noted(note: &str) -> Option<Self> {
        let (from, lines) = note.split_once(' ')?;
        Some(Self { from: Some(from.parse().ok()?), earlier: lines.parse().ok()?, ..Self::default() })
    }
}

/// Tells the log of the Job's pod, from where another process left it, to its end. Ends by itself when nothing more can come.
/// `goes_on` becomes true when another process has told a part of it.
pub(crate) async fn follow(
    cluster: &Cluster,
    name: &str,
    mut seen: watch::Receiver<Seen>,
    output: &Output<'_>,
    goes_on: &AtomicBool,
) {
    // The note of another process is on the Job, which may be seen later than the pod.
    let speaks = |seen: &Seen| seen.standing().is_some() && seen.speaking().is_some();
    let Ok(pod) = seen.wait_for(speaks).await.map(|seen| seen.speaking()) else { return };
    let Some(pod) = pod else { return };
    let noted = seen.borrow().annotation(TOLD).and_then(|note| Told::noted(&note));
    goes_on.store(noted.is_some(), Ordering::Relaxed);
    let told = Mutex::new(noted.unwrap_or_default());
    tokio::select! {
        () = read_on(cluster, &pod, seen, output, &told) => {}
        () = note_on(cluster, name, output, &told) => {}
    }
}

/// Writes down, once a second, up to where it was told. Never ends.
async fn note_on(cluster: &Cluster, name: &str, output: &Output<'_>, told: &Mutex<Told>) {
    let mut last = None;
    loop {
        sleep(NOTES).await;
        let note = locked(told).note(output.holds_one());
        if note == last {
            continue;
        }
        let change = Patch::Merge(json!({"metadata": {"annotations": {TOLD: note}}}));
        if cluster.jobs.patch_metadata(name, &PatchParams::default(), &change).await.is_ok() {
            last = note;
        }
    }
}

async fn read_on(
    cluster: &Cluster,
    pod: &str,
    mut seen: watch::Receiver<Seen>,
    output: &Output<'_>,
    told: &Mutex<Told>,
) {
    let mut silent_since = None;
    loop {
        let is_silent = seen.borrow().is_silent();
        let read = read(cluster, pod, told, output, is_silent).await;
        if is_silent {
            let since: Instant = *silent_since.get_or_insert_with(Instant::now);
            match read {
                Ok(()) => return,
                Err(why) if since.elapsed() > LAST_WORDS => {
                    let told = format!("(the rest of its log cannot be read: {why})");
                    return output.take(told.as_bytes(), true, Stream::Out);
                }
                Err(_) => {}
            }
            sleep(PAUSE).await;
        } else {
            let _ = timeout(PAUSE, seen.changed()).await;
        }
    }
}

fn locked(told: &Mutex<Told>) -> MutexGuard<'_, Told> {
    told.lock().unwrap_or_else(PoisonError::into_inner)
}

/// All of the log that there is now, once.
pub(crate) async fn read_all(cluster: &Cluster, pod: &str, output: &Output<'_>) -> Result<(), String> {
    read(cluster, pod, &Mutex::default(), output, true).await
}

/// Reads on from where it was told: to the end that it has now when it is silent, otherwise until it breaks off.
async fn read(
    cluster: &Cluster,
    pod: &str,
    told: &Mutex<Told>,
    output: &Output<'_>,
    is_silent: bool,
) -> Result<(), String> {
    let (from, mut skipped) = {
        let told = locked(told);
        (told.from, told.since())
    };
    let how = LogParams {
        container: Some(CONTAINER.to_owned()),
        follow: !is_silent,
        timestamps: true,
        since_time: from,
        ..LogParams::default()
    };
    let log = cluster.pods.log_stream(pod, &how).await.map_err(|error| words(&error))?;
    let mut log = std::pin::pin!(log);
    while let Some((line, is_cut, is_whole)) = line(&mut log).await.map_err(|error| error.to_string())? {
        // The end of what broke off is read again; that of a silent one is its last line.
        if !is_whole && !is_silent {
            return Ok(());
        }
        let (time, text) = parted(&line);
        if time.is_some() && skipped > 0 {
            skipped -= 1;
            continue;
        }
        output.take(text, is_cut, Stream::Both);
        if let Some(time) = time {
            locked(told).add(time);
        }
    }
    Ok(())
}

/// The time that the node put before a line.
fn parted(line: &[u8]) -> (Option<Timestamp>, &[u8]) {
    let Some(space) = line.iter().position(|byte| *byte == b' ') else {
        let time = std::str::from_utf8(line).ok().and_then(|text| text.parse().ok());
        return if time.is_some() { (time, b"") } else { (None, line) };
    };
    let (time, text) = line.split_at(space);
    let time = std::str::from_utf8(time).ok().and_then(|text| text.parse::<Timestamp>().ok());
    if time.is_some() { (time, text.get(1..).unwrap_or_default()) } else { (None, line) }
}

/// The next line without its end, whether more of it was dropped, and whether it ended; none at the end.
async fn line(log: &mut (impl AsyncBufRead + Unpin)) -> std::io::Result<Option<(Vec<u8>, bool, bool)>> {
    let mut line = Vec::new();
    let mut is_cut = false;
    loop {
        let there = log.fill_buf().await?;
        if there.is_empty() {
            return Ok((!line.is_empty()).then_some((line, is_cut, false)));
        }
        let end = there.iter().position(|byte| *byte == b'\n');
        let piece = there.get(..end.unwrap_or(there.len())).unwrap_or_default();
        let room = LONGEST.saturating_sub(line.len());
        is_cut |= piece.len() > room;
        line.extend_from_slice(piece.get(..room.min(piece.len())).unwrap_or_default());
        let used = piece.len() + usize::from(end.is_some());
        log.consume_unpin(used);
        if end.is_some() {
            return Ok(Some((line, is_cut, true)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_told_of_a_second_is_left_out() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let mut told = Told::default();
        assert_eq!((told.from, told.since(), told.note(false)), (None, 0, None));
        for time in ["2026-01-01T00:00:01.9Z", "2026-01-01T00:00:02.1Z", "2026-01-01T00:00:02.1Z"] {
            told.add(at(time));
        }
        let second = Some(at("2026-01-01T00:00:02Z"));
        assert_eq!((told.from, told.since()), (second, 2));
        // Two streams may be out of order by a little.
        told.add(at("2026-01-01T00:00:01.99Z"));
        told.add(at("2026-01-01T00:00:02.05Z"));
        assert_eq!((told.from, told.since()), (second, 3));
        assert_eq!(told.note(false).unwrap(), "2026-01-01T00:00:02Z 3");
        assert_eq!(told.note(true).unwrap(), "2026-01-01T00:00:02Z 2");
        let mut next = Told::noted("2026-01-01T00:00:02Z 3").unwrap();
        next.add(at("2026-01-01T00:00:02.9Z"));
        assert_eq!((next.from, next.since()), (second, 4));
        next.add(at("2026-01-01T00:00:03.1Z"));
        assert_eq!(next.note(false).unwrap(), "2026-01-01T00:00:03Z 1");
    }

    #[tokio::test]
    async fn lines_are_parted_from_their_times() {
        assert_eq!(parted(b"2026-01-01T00:00:02.123456789Z a b").1, b"a b");
        assert_eq!(parted(b"2026-01-01T00:00:02.1+02:00 ").1, b"");
        assert_eq!(parted(b"unable to retrieve"), (None, b"unable to retrieve".as_slice()));
        let mut text: &[u8] = b"a\n\nb";
        assert_eq!(line(&mut text).await.unwrap(), Some((b"a".to_vec(), false, true)));
        assert_eq!(line(&mut text).await.unwrap(), Some((Vec::new(), false, true)));
        assert_eq!(line(&mut text).await.unwrap(), Some((b"b".to_vec(), false, false)));
        assert_eq!(line(&mut text).await.unwrap(), None);
        let long = vec![b'x'; LONGEST + 5];
        let (cut, is_cut, _) = line(&mut long.as_slice()).await.unwrap().unwrap();
        assert_eq!((cut.len(), is_cut), (LONGEST, true));
    }
}
