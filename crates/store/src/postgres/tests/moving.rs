//! Backups: from each store into each store, and nothing is lost.

use std::{collections::BTreeMap, fs, path::Path};

use guichet_contract::{
    Attempt, AttemptResult, Clock as _, DeliveryId, EventKind, Notice, Occasion, Review, Run, RunId,
    RunState, SystemClock,
};

use super::Database;
use crate::{
    Change, Job, JobKind, Lane, RecordsFilter, Store, TokenKind, Told, UnitOfWork,
    conformance::fixtures::*,
    postgres::{self},
    sqlite::{self, SqliteStore},
};

/// The run that another one undoes.
fn undone() -> RunId {
    RunId("0198c0de-0000-7000-8000-000000000000".parse().unwrap())
}

/// Something of everything.
async fn fill(store: &impl Store) {
    store
        .commit(UnitOfWork::new().insert_run(Run { id: undone(), ..run_in(RunState::Succeeded) }))
        .await
        .unwrap();
    for number in 0..600_usize {
        let run = run_in(if number % 2 == 0 { RunState::AwaitingApproval } else { RunState::Failed });
        let run = Run { undoes: (number == 500).then_some(undone()), ..run };
        let mut work = UnitOfWork::new()
            .insert_run(run.clone())
            .append_event(run.id, second(1), EventKind::Log { line: "é\"\\\u{0}\u{2028}".into() })
            .append_record(numbered_record(number));
        if number % 2 == 0 {
            work = work.with(Change::AddDecision { run: run.id, seen: 0, decision: yes_by("grace") });
        }
        if number % 100 == 0 {
            let notice = Notice {
                event: SystemClock.new_uuid(),
                at: second(3),
                occasion: Occasion::RunDecided,
                channel: "mail".into(),
                by: None,
                verdict: None,
                because: Some("\u{0}".into()),
                state: run.state,
                closed: [].into(),
                open: [].into(),
                asked: ["ada".to_owned()].into(),
            };
            let told = Told {
                event: notice.event,
                channel: "mail".into(),
                recipient: "omar".into(),
                run: run.id,
                at: second(4),
                given_up: number == 100,
            };
            let job = Job { kind: JobKind::DeliverNotice, ..job_due(second(5)) };
            let attempt = Attempt {
                replay: 0,
                number: 1,
                recipient: (number == 100).then(|| "omar".into()),
                at: second(4),
                duration_ms: 12,
                result: AttemptResult::Failed,
                status: Some(500),
                why: Some("\u{0}".into()),
                next_try_at: Some(second(5)),
            };
            work = work
                .with(Change::OpenReview(Review {
                    run: run.id,
                    opened_at: second(1),
                    due_at: second(2),
                    closed: None,
                }))
                .enqueue_job(job_due(second(7)))
                .enqueue_job(job_in_line("a key", second(7)))
                .with(Change::EnqueueNotice { job: job.clone(), notice })
                .with(Change::NoteAttempt { delivery: DeliveryId::of_job(job.id), attempt })
                .with(Change::NoteTold(told))
                .with(Change::InsertToken(token_of("ada", TokenKind::Personal)))
                .with(Change::InsertIdempotencyKey {
                    principal: "person/ada".into(),
                    key: number.to_string(),
                    request: guichet_contract::Digest::of_bytes(b"x"),
                    run: run.id,
                    at: second(0),
                });
        }
        store.commit(work).await.unwrap();
    }
    store.claim_jobs(&Lane::Runs, "somebody", second(9), second(60), &Room::any(1)).await.unwrap();
    store
        .seal(600, "note of 600", second(1), &[(0, 0, vec![7; 256 * 32]), (0, 1, vec![8; 32])])
        .await
        .unwrap();
    let prune = unit(Change::PruneRecords { before: 512 }).append_record(numbered_record(600));
    store.commit(prune).await.unwrap();
}

/// Name and content of each file.
pub(super) fn files(folder: &Path) -> BTreeMap<String, String> {
    let files = fs::read_dir(folder).unwrap().map(|file| {
        let path = file.unwrap().path();
        (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read_to_string(&path).unwrap())
    });
    files.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_store_moves_to_the_other_kind_and_back_without_losing_a_byte() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let store = SqliteStore::open(&path("guichet.db")).unwrap();
    fill(&store).await;
    // While it is in use.
    let manifest = sqlite::export(&path("guichet.db"), &path("first")).unwrap();
    assert_eq!((manifest.rows("runs"), manifest.rows("records"), manifest.rows("tiles")), (601, 89, 2));

    let database = Database::fresh();
    postgres::import(&database.settings(), &path("first")).await.unwrap();
    let moved = database.store().await;
    assert_eq!(moved.record_count().await.unwrap(), 601);
    assert_eq!(moved.leaves(0, 1_000).await.unwrap(), store.leaves(0, 1_000).await.unwrap());
    let page = moved.records(&RecordsFilter::default(), &first(100)).await.unwrap();
    assert_eq!(page, store.records(&RecordsFilter::default(), &first(100)).await.unwrap());
    postgres::export(&database.settings(), &path("second")).await.unwrap();
    assert_eq!(files(&path("first")), files(&path("second")), "through PostgreSQL");

    sqlite::import(&path("back.db"), &path("second")).unwrap();
    sqlite::export(&path("back.db"), &path("third")).unwrap();
    assert_eq!(files(&path("first")), files(&path("third")), "and back");
    let back = SqliteStore::open(&path("back.db")).unwrap();
    let by = RecordsFilter { verb: Some("perform_read".into()), ..RecordsFilter::default() };
    let found = back.records(&by, &first(100)).await.unwrap();
    assert_eq!(found, moved.records(&by, &first(100)).await.unwrap());
    assert!(!found.items.is_empty());
    for store in [&moved as &dyn Store, &back] {
        let undone = store.run(undone()).await.unwrap().unwrap();
        assert!(undone.undone_by.is_some(), "what another table's row or a column made of JSON tells");
    }
    // And both go on.
    for store in [&moved as &dyn Store, &back] {
        store.commit(UnitOfWork::new().append_record(numbered_record(601))).await.unwrap();
        assert_eq!(store.record_count().await.unwrap(), 602);
    }
}

#[tokio::test]
async fn what_is_damaged_or_not_empty_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let database = Database::fresh();
    let store = database.store().await;
    store.commit(UnitOfWork::new().append_record(numbered_record(0))).await.unwrap();
    postgres::export(&database.settings(), &path("backup")).await.unwrap();
    let again = postgres::export(&database.settings(), &path("backup")).await.unwrap_err().to_string();
    assert!(again.contains("is not empty"), "{again}");
    let full = postgres::import(&database.settings(), &path("backup")).await.unwrap_err().to_string();
    assert!(full.contains("the store is not empty (table records)"), "{full}");

    sqlite::import(&path("guichet.db"), &path("backup")).unwrap();
    let full = sqlite::import(&path("guichet.db"), &path("backup")).unwrap_err().to_string();
    assert!(full.contains("the store is not empty"), "{full}");

    let records = path("backup").join("records.ndjson");
    fs::write(&records, fs::read_to_string(&records).unwrap().replace('0', "1")).unwrap();
    let damaged = sqlite::import(&path("other.db"), &path("backup")).unwrap_err().to_string();
    assert!(damaged.contains("records.ndjson is not what the manifest says"), "{damaged}");
    fs::remove_file(path("backup").join("manifest.json")).unwrap();
    let cut_off = sqlite::import(&path("other.db"), &path("backup")).unwrap_err().to_string();
    assert!(cut_off.contains("is no complete backup"), "{cut_off}");
}

#[cfg(unix)]
#[tokio::test]
async fn nobody_else_can_read_a_backup() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let database = Database::fresh();
    drop(database.store().await);
    let backup = folder.path().join("backup");
    postgres::export(&database.settings(), &backup).await.unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&backup), 0o700);
    for name in files(&backup).keys() {
        assert_eq!(mode(&backup.join(name)), 0o600, "{name}");
    }
}
