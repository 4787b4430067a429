//! Lines of the log, gathered for some milliseconds and written together by a thread of its own: one system call and
//! one wake-up for many requests, in order and without loss. What a crash takes with it are the last milliseconds.

use std::{
    io::{self, Write},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use tracing_subscriber::fmt::MakeWriter;

/// How long lines are gathered.
const GATHER: Duration = Duration::from_millis(10);
/// So many bytes may wait. Beyond it whoever logs waits for whoever reads the log: the log is bounded, and complete.
const WAITING: usize = 1 << 20;

/// Where the log's lines are put.
#[derive(Clone)]
pub(crate) struct LogWriter {
    shared: Arc<Shared>,
}

/// Writes what waits and ends the thread, when dropped.
pub(crate) struct Flush {
    shared: Arc<Shared>,
    thread: Option<thread::JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    filled: Condvar,
    emptied: Condvar,
}

#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    closed: bool,
}

impl LogWriter {
    /// Starts the thread that writes to `sink`.
    ///
    /// # Errors
    /// A machine that starts no thread.
    pub(crate) fn start(sink: impl Write + Send + 'static) -> io::Result<(Self, Flush)> {
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        let thread =
            thread::Builder::new().name("log-writer".to_owned()).spawn(move || of_thread.write_to(sink))?;
        Ok((Self { shared: Arc::clone(&shared) }, Flush { shared, thread: Some(thread) }))
    }
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, line: &[u8]) {
        let mut waiting = self.waiting();
        while waiting.bytes.len() >= WAITING && !waiting.closed {
            waiting = self.emptied.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        if waiting.bytes.is_empty() {
            self.filled.notify_one();
        }
        waiting.bytes.extend_from_slice(line);
    }

    fn write_to(&self, mut sink: impl Write) {
        let mut batch = Vec::new();
        loop {
            let mut waiting = self.waiting();
            while waiting.bytes.is_empty() && !waiting.closed {
                waiting = self.filled.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            }
            if !waiting.closed {
                drop(waiting);
                thread::sleep(GATHER);
                waiting = self.waiting();
            }
            let closed = waiting.closed;
            std::mem::swap(&mut batch, &mut waiting.bytes);
            drop(waiting);
            self.emptied.notify_all();
            // A log that cannot be written cannot be told of in the log; the gateway goes on.
            let _ = sink.write_all(&batch).and_then(|()| sink.flush());
            batch.clear();
            if closed {
                return;
            }
        }
    }
}

impl Drop for Flush {
    fn drop(&mut self) {
        self.shared.waiting().closed = true;
        self.shared.filled.notify_one();
        self.shared.emptied.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.shared.put(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader of the log that takes its time.
    #[derive(Clone, Default)]
    struct Slow(Arc<Mutex<Vec<u8>>>);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            thread::sleep(Duration::from_millis(1));
            let part = &bytes[..bytes.len().min(64 << 10)];
            self.0.lock().unwrap().extend_from_slice(part);
            Ok(part.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_line_arrives_once_and_in_the_order_of_its_thread_however_slow_the_reader() {
        let sink = Slow::default();
        let (writer, flush) = LogWriter::start(sink.clone()).unwrap();
        let padding = "x".repeat(200);
        thread::scope(|scope| {
            for thread in 0..4 {
                let (mut writer, padding) = (writer.clone(), &padding);
                scope.spawn(move || {
                    for line in 0..5_000 {
                        writer.write_all(format!("{thread} {line} {padding}\n").as_bytes()).unwrap();
                    }
                });
            }
        });
        drop(flush);
        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        let mut next = [0; 4];
        for line in text.lines() {
            let mut words = line.split(' ');
            let thread: usize = words.next().unwrap().parse().unwrap();
            assert_eq!(words.next().unwrap().parse::<usize>().unwrap(), next[thread]);
            next[thread] += 1;
        }
        assert_eq!(next, [5_000; 4]);
    }
}
