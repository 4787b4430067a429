//! What was answered survives SIGKILL.

use std::{
    collections::HashSet,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

use guichet_contract::{EventKind, Record, RunId, RunState, Verb};

use super::Directory;
use crate::{RunsFilter, UnitOfWork, conformance::fixtures::*, sqlite::SqliteStore};

/// Set for the process that is to be killed: the file it writes to.
const FILE: &str = "GUICHET_STORE_TEST_CRASH_FILE";

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "how a test tells itself, in a second process, which part it plays"
)]
fn what_was_answered_survives_sigkill() {
    if let Some(file) = std::env::var_os(FILE) {
        return commit_until_killed(Path::new(&file));
    }
    let directory = Directory::fresh();
    let mut acknowledged = HashSet::new();
    for round in 1..=3 {
        acknowledged.extend(acknowledged_before_the_kill(&directory.file(), 150));
        check(&directory, &acknowledged);
        assert!(acknowledged.len() >= round * 150);
    }
}

/// Eight callers at once, each telling what it was answered, without end.
fn commit_until_killed(file: &Path) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let store = Arc::new(SqliteStore::open(file).unwrap());
        at_once((0..8).map(|_| {
            let store = Arc::clone(&store);
            async move {
                loop {
                    let run = run_in(RunState::Queued);
                    let work = UnitOfWork::new()
                        .append_event(run.id, second(1), EventKind::Log { line: "submitted".into() })
                        .append_record(Record { run: Some(run.id), ..record(Verb::SubmitRun) });
                    let mut changes = UnitOfWork::new().insert_run(run.clone());
                    changes.changes.extend(work.changes);
                    store.commit(changes).await.unwrap();
                    writeln!(std::io::stdout().lock(), "acknowledged {}", run.id).unwrap();
                }
            }
        }))
        .await
    });
}

/// Starts this very test as a second process, lets it be answered `enough` times, kills it, and gives what it had
/// been answered by then.
fn acknowledged_before_the_kill(file: &Path, enough: usize) -> Vec<RunId> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "sqlite::tests::crash::what_was_answered_survives_sigkill", "--nocapture"])
        .env(FILE, file)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut acknowledged = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        // The last line may be cut off.
        if let Some(id) = line.unwrap().strip_prefix("acknowledged ").and_then(|id| id.parse().ok()) {
            acknowledged.push(id);
        }
        if acknowledged.len() == enough {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    acknowledged
}

/// All that was answered is there, and whatever is there is whole.
fn check(directory: &Directory, acknowledged: &HashSet<RunId>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let store = directory.store();
        let (mut page, mut kept) = (first(500), HashSet::new());
        loop {
            let read = store.runs(&RunsFilter::default(), &page).await.unwrap();
            kept.extend(read.items.iter().map(|run| run.id));
            page.cursor = read.next;
            if page.cursor.is_none() {
                break;
            }
        }
        assert!(acknowledged.is_subset(&kept), "answered, and lost: {:?}", acknowledged.difference(&kept));
        for run in &kept {
            assert_eq!(store.events(*run, 0, 10).await.unwrap().len(), 1);
        }
        let leaves = store.leaves(0, 1_000_000).await.unwrap();
        assert!(leaves.iter().map(|(index, _)| *index).eq(0..kept.len() as u64), "one record each, dense");
        let told: HashSet<RunId> = leaves
            .iter()
            .map(|(_, text)| serde_json::from_str::<Record>(text).unwrap().run.unwrap())
            .collect();
        assert_eq!(told, kept);
    });
}
