//! A commit whose answer never comes: the connection is cut just before the server hears of it, or just after it obeyed. A
//! line between the store and the server does that, at the instant that is asked for.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use guichet_contract::{Record, RunId, RunState, Verb};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Mutex,
};

use super::{Database, PostgresStore, cluster};
use crate::{RecordsFilter, UnitOfWork, conformance::fixtures::*};

/// When a line is cut, for the next commit that passes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cut {
    /// The server never hears of the commit.
    Before,
    /// The server committed, and its answer is lost.
    After,
}

#[derive(Default)]
struct Line {
    next: Mutex<Option<Cut>>,
    cuts: AtomicUsize,
    /// Nothing passes any more, and nobody is told.
    leads_nowhere: AtomicBool,
}

impl Line {
    /// Listens for the store; gives the port.
    async fn laid(self: &Arc<Self>) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let line = Arc::clone(self);
        tokio::spawn(async move {
            while let Ok((ours, _)) = listener.accept().await {
                let theirs = TcpStream::connect(("127.0.0.1", cluster().port())).await.unwrap();
                let line = Arc::clone(&line);
                tokio::spawn(async move { line.carry(ours, theirs).await });
            }
        });
        port
    }

    /// Until either side ends, or the line is cut.
    async fn carry(&self, mut ours: TcpStream, mut theirs: TcpStream) {
        let (mut asked, mut said) = (vec![0; 1 << 16], vec![0; 1 << 16]);
        loop {
            tokio::select! {
                read = ours.read(&mut asked) => {
                    let Ok(count @ 1..) = read else { return };
                    if self.leads_nowhere.load(Ordering::Relaxed) {
                        continue;
                    }
                    // A query of its own, sent when all before it was answered: Q, length, text.
                    let is_commit = asked[..count].ends_with(b"COMMIT\0");
                    let cut = if is_commit { self.next.lock().await.take() } else { None };
                    if cut == Some(Cut::Before) {
                        self.cuts.fetch_add(1, Ordering::Relaxed);
                        return;
                    }
                    theirs.write_all(&asked[..count]).await.unwrap();
                    if cut == Some(Cut::After) {
                        let count = theirs.read(&mut said).await.unwrap();
                        assert!(said[..count].windows(6).any(|word| word == b"COMMIT"), "it was committed");
                        self.cuts.fetch_add(1, Ordering::Relaxed);
                        return;
                    }
                }
                read = theirs.read(&mut said) => {
                    let Ok(count @ 1..) = read else { return };
                    if ours.write_all(&said[..count]).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

async fn over(line: &Arc<Line>, database: &Database) -> PostgresStore {
    let port = line.laid().await;
    let mut settings = database.settings();
    let url = secrecy::ExposeSecret::expose_secret(&settings.url).to_owned();
    settings.url = url.replace(&format!(":{}/", cluster().port()), &format!(":{port}/")).into();
    PostgresStore::open(&settings).await.unwrap()
}

fn submission() -> (RunId, UnitOfWork) {
    let run = run_in(RunState::Queued);
    let record = Record { run: Some(run.id), ..record(Verb::SubmitRun) };
    (run.id, UnitOfWork::new().insert_run(run).append_record(record))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_is_cut_off_becomes_true_once_and_is_told_so() {
    let database = Database::fresh();
    let line = Arc::new(Line::default());
    let store = over(&line, &database).await;
    let mut wakes = store.wakes();
    for (number, cut) in [Cut::Before, Cut::After, Cut::After, Cut::Before].into_iter().enumerate() {
        *line.next.lock().await = Some(cut);
        let (run, work) = submission();
        store.commit(work).await.unwrap();
        assert_eq!(line.cuts.load(Ordering::Relaxed), number + 1, "it was cut");
        assert!(store.run(run).await.unwrap().is_some());
        assert_eq!(database.sql("SELECT count(*) FROM runs"), (number + 1).to_string());
        assert_eq!(database.sql("SELECT count(*) FROM records"), (number + 1).to_string());
        assert_eq!(database.sql("SELECT next_index FROM ledger_head"), (number + 1).to_string());
        assert!(wakes.try_recv().is_ok(), "whoever follows is woken all the same");
    }
}

/// Many callers in one commit, one of whom conflicts: each hears what became of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_unit_of_a_commit_that_is_cut_off_hears_its_own_answer() {
    let database = Database::fresh();
    let line = Arc::new(Line::default());
    let store = over(&line, &database).await;
    let (known, work) = submission();
    store.commit(work).await.unwrap();
    for cut in [Cut::After, Cut::Before] {
        *line.next.lock().await = Some(cut);
        let good: Vec<_> = (0..20).map(|_| submission()).collect();
        let bad = UnitOfWork::new().with(moved(known, RunState::Running, RunState::Succeeded));
        let good = good.into_iter().map(|(run, work)| {
            let store = &store;
            async move { (run, store.commit(work).await) }
        });
        let (good, bad) = tokio::join!(futures_util::future::join_all(good), store.commit(bad));
        assert!(conflict(bad).contains("found queued"));
        for (run, answer) in good {
            answer.unwrap();
            assert!(store.run(run).await.unwrap().is_some());
        }
    }
    assert_eq!(line.cuts.load(Ordering::Relaxed), 2);
    assert_eq!(database.sql("SELECT count(*) FROM runs"), "41");
    assert_eq!(database.sql("SELECT next_index, (SELECT count(*) FROM records) FROM ledger_head"), "41|41");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_searches_over_a_line_that_leads_nowhere_is_told_so() {
    let database = Database::fresh();
    let line = Arc::new(Line::default());
    let store = over(&line, &database).await;
    store.commit(UnitOfWork::new().append_record(numbered_record(0))).await.unwrap();
    assert_eq!(store.index_records(10).await.unwrap(), 0);
    let filter = RecordsFilter { owner: Some("nobody".into()), ..RecordsFilter::default() };
    store.records(&filter, &first(10)).await.unwrap();
    line.leads_nowhere.store(true, Ordering::Relaxed);
    let page = first(10);
    let asked = async { tokio::join!(store.records(&filter, &page), store.index_records(10)) };
    let (found, indexed) = tokio::time::timeout(Duration::from_mins(1), asked).await.unwrap();
    assert!(found.unwrap_err().to_string().contains("narrow it"));
    indexed.unwrap_err();
}
