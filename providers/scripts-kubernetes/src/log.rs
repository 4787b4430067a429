//! The log of a pod, followed to its end: broken connections are mended, and no line is told twice.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::{AsyncBufRead, AsyncBufReadExt as _};
use guichet_provider_scripts::{
    Ended, HowEnded,
    output::{LONGEST, Output, Stream},
};
use jiff::{RoundMode, Timestamp, TimestampRound, Unit};
use kube::api::{LogParams, Patch, PatchParams};
use serde_json::json;
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};

use crate::{
    cluster::{Cluster, status_of, words},
    manifest::{CONTAINER, TOLD},
    sight::Seen,
};

/// How long the rest of the log is asked for when the script has ended.
const LAST_WORDS: Duration = Duration::from_secs(20);
/// How often it is written down up to where it was told: what a process that dies told since then is told again by the next.
const NOTES: Duration = Duration::from_secs(1);
/// A line that is longer than this may be kept in pieces of 16 KiB, its time among them, bytes.
const PIECE: usize = 8 * 1024;
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
    /// The last line.
    last: Option<Line>,
}

/// A line of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    time: Option<Timestamp>,
    text: Vec<u8>,
    /// More of it was dropped.
    is_cut: bool,
    /// It came to its end; the last one of a program may not.
    is_whole: bool,
}

impl Line {
    /// Whether this is the last line of a log whose end says this, when it is asked for alone. A node keeps a long line in pieces, and
    /// then tells the last one.
    fn is_the_end(&self, end: &Self) -> bool {
        let is_same = self.is_cut || self.text.ends_with(&end.text);
        if self.time == end.time {
            return is_same && (self.is_cut || self.text.len() == end.text.len());
        }
        is_same && self.text.len() >= PIECE && self.time < end.time
    }
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

/// What a log that was followed came to.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// Another process has told a part of it.
    pub(crate) goes_on: AtomicBool,
    /// It was read to its end.
    pub(crate) to_its_end: AtomicBool,
}

impl Heard {
    /// Whether this process has told all of it.
    pub(crate) fn all(&self) -> bool {
        !self.goes_on.load(Ordering::Relaxed) && self.to_its_end.load(Ordering::Relaxed)
    }
}

/// Tells the log of the Job's pod, from where another process left it, to its end. Ends by itself when nothing more can come.
pub(crate) async fn follow(
    cluster: &Cluster,
    name: &str,
    mut seen: watch::Receiver<Seen>,
    output: &Output<'_>,
    heard: &Heard,
) {
    // The note of another process is on the Job, which may be seen later than the pod.
    let speaks = |seen: &Seen| seen.standing().is_some() && seen.speaking().is_some();
    let Ok(pod) = seen.wait_for(speaks).await.map(|seen| seen.speaking()) else { return };
    let Some(pod) = pod else { return };
    let noted = seen.borrow().annotation(TOLD).and_then(|note| Told::noted(&note));
    heard.goes_on.store(noted.is_some(), Ordering::Relaxed);
    let told = Mutex::new(noted.unwrap_or_default());
    tokio::select! {
        all = read_on(cluster, &pod, seen, output, &told) => heard.to_its_end.store(all, Ordering::Relaxed),
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

/// Whether it was read to its end.
async fn read_on(
    cluster: &Cluster,
    pod: &str,
    mut seen: watch::Receiver<Seen>,
    output: &Output<'_>,
    told: &Mutex<Told>,
) -> bool {
    let mut silent_since = None;
    loop {
        let is_silent = seen.borrow().is_silent();
        let read = read(cluster, pod, told, output, is_silent).await;
        if is_silent {
            let since: Instant = *silent_since.get_or_insert_with(Instant::now);
            match read {
                Ok(()) => return true,
                Err(Broken::Gone) if !seen.borrow().has_pod() => {
                    let told = "(its pod is gone, and with it what it may have said at its end)";
                    output.take(told.as_bytes(), true, Stream::Out);
                    return false;
                }
                Err(why) if since.elapsed() > LAST_WORDS => {
                    let told = format!("(the rest of its log cannot be read: {})", why.words());
                    output.take(told.as_bytes(), true, Stream::Out);
                    return false;
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

/// Why a log is not read to its end.
#[derive(Debug)]
enum Broken {
    /// Its pod is gone, or what it said is.
    Gone,
    /// It may be read later: why not now.
    Now(String),
}

impl Broken {
    fn words(&self) -> &str {
        match self {
            Self::Gone => "its pod is gone",
            Self::Now(why) => why,
        }
    }
}

impl From<kube::Error> for Broken {
    fn from(error: kube::Error) -> Self {
        if status_of(&error) == Some(404) { Self::Gone } else { Self::Now(words(&error)) }
    }
}

impl From<std::io::Error> for Broken {
    fn from(error: std::io::Error) -> Self {
        Self::Now(error.to_string())
    }
}

/// All that a pod said whose program has ended so; none when the pod is gone, and what it said with it. What breaks off half-way is
/// read again, for so long and at least once: the last line of a part is not what the program said last.
///
/// # Errors
/// It cannot be read to its end now.
pub(crate) async fn read_whole(
    cluster: &Cluster,
    pod: &str,
    hidden: &[String],
    how: HowEnded,
    within: Duration,
) -> Result<Option<Ended>, String> {
    let begun = Instant::now();
    let tell = |_: &str| ();
    loop {
        let output = Output::new(&tell, hidden, 0);
        let told = Mutex::default();
        let read = timeout(LAST_WORDS, read(cluster, pod, &told, &output, true));
        let why = match read.await {
            Ok(Ok(())) => return Ok(Some(output.end(how))),
            // A node that has just begun may not know its pods yet.
            Ok(Err(Broken::Gone)) if begun.elapsed() >= within => return Ok(None),
            Ok(Err(why)) => why.words().to_owned(),
            Err(_) => "it does not come to its end".to_owned(),
        };
        if begun.elapsed() >= within {
            return Err(format!("the log of its pod {pod} cannot be read to its end: {why}"));
        }
        sleep(PAUSE).await;
    }
}

/// How it ended, where what it said is gone with its pod.
pub(crate) fn unheard(how: HowEnded) -> Ended {
    let mut complaints = Vec::new();
    if matches!(how, HowEnded::Exited(_)) {
        complaints.push("(its pod is gone, and what it said with it: its result is not known)".to_owned());
    }
    Ended { how, result: None, lines: Vec::new(), is_cut: true, complaints }
}

/// Reads on from where it was told: to the end that it has when it is silent, otherwise until it breaks off.
async fn read(
    cluster: &Cluster,
    pod: &str,
    told: &Mutex<Told>,
    output: &Output<'_>,
    is_silent: bool,
) -> Result<(), Broken> {
    // The API server ends a log that breaks off on its way from the node as if that were its end.
    let end = if is_silent { last_line(cluster, pod).await? } else { None };
    let (from, mut skipped) = {
        let told = locked(told);
        (told.from, told.since())
    };
    let how = LogParams { follow: !is_silent, since_time: from, ..asked() };
    let log = cluster.pods.log_stream(pod, &how).await?;
    let mut log = std::pin::pin!(log);
    while let Some(line) = line(&mut log).await? {
        // The end of what broke off is read again; that of a silent one may be its last line.
        if !line.is_whole && !end.as_ref().is_some_and(|end| line.is_the_end(end)) {
            break;
        }
        let mut told = locked(told);
        if line.time.is_some() && skipped > 0 {
            skipped -= 1;
        } else {
            output.take(&line.text, line.is_cut, Stream::Both);
            if let Some(time) = line.time {
                told.add(time);
            }
        }
        told.last = Some(line);
    }
    if !is_silent {
        return Ok(());
    }
    match (&locked(told).last, &end) {
        (None, None) => Ok(()),
        (Some(last), Some(end)) if last.is_the_end(end) => Ok(()),
        _ => Err(Broken::Now("it broke off before its end".to_owned())),
    }
}

fn asked() -> LogParams {
    LogParams { container: Some(CONTAINER.to_owned()), timestamps: true, ..LogParams::default() }
}

/// The last line of a log, or the last piece of it, asked for alone.
async fn last_line(cluster: &Cluster, pod: &str) -> Result<Option<Line>, Broken> {
    let how = LogParams { tail_lines: Some(1), ..asked() };
    let log = cluster.pods.log_stream(pod, &how).await?;
    let mut log = std::pin::pin!(log);
    let mut last = None;
    while let Some(line) = line(&mut log).await? {
        last = Some(line);
    }
    Ok(last)
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

/// The next line; none at the end.
async fn line(log: &mut (impl AsyncBufRead + Unpin)) -> std::io::Result<Option<Line>> {
    let Some((line, is_cut, is_whole)) = bytes(log).await? else { return Ok(None) };
    let (time, text) = parted(&line);
    Ok(Some(Line { time, text: text.to_vec(), is_cut, is_whole }))
}

/// The bytes of the next line without its end, whether more of it was dropped, and whether it ended; none at the end.
async fn bytes(log: &mut (impl AsyncBufRead + Unpin)) -> std::io::Result<Option<(Vec<u8>, bool, bool)>> {
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
        assert_eq!(bytes(&mut text).await.unwrap(), Some((b"a".to_vec(), false, true)));
        assert_eq!(bytes(&mut text).await.unwrap(), Some((Vec::new(), false, true)));
        assert_eq!(bytes(&mut text).await.unwrap(), Some((b"b".to_vec(), false, false)));
        assert_eq!(bytes(&mut text).await.unwrap(), None);
        let long = vec![b'x'; LONGEST + 5];
        let (cut, is_cut, _) = bytes(&mut long.as_slice()).await.unwrap().unwrap();
        assert_eq!((cut.len(), is_cut), (LONGEST, true));
    }
}
