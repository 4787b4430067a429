//! What a record of the hot path costs: `cargo run -p guichet-store --example append_records [--release]`.
//!
//! Hands 100,000 records over as reads do, in 8 tasks, and waits until all are on disk; then commits units one
//! after the other and many at once, to show what the group commit is worth.
#![expect(clippy::print_stdout, reason = "an example tells what it measured")]

use std::{sync::Arc, time::Instant};

use guichet_contract::{ActionId, Principal, Record, RecordVerdict, Surface, Verb};
use guichet_store::{Records as _, Store as _, UnitOfWork, sqlite::SqliteStore};
use jiff::Timestamp;

const RECORDS: u32 = 100_000;
const TASKS: u32 = 8;

#[tokio::main(flavor = "multi_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let store = Arc::new(SqliteStore::open(&directory.path().join("guichet.db"))?);

    let start = Instant::now();
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for number in 0..RECORDS / TASKS {
                    store.append_soon(read_by(task, number)).await?;
                }
                Ok::<_, guichet_store::StoreError>(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    store.check_writable().await?; // behind them in the queue
    tell("record handed over", RECORDS, start);

    let start = Instant::now();
    for number in 0..500 {
        store.commit(UnitOfWork::new().append_record(read_by(0, number))).await?;
    }
    tell("unit committed, one after the other", 500, start);

    let start = Instant::now();
    let tasks: Vec<_> = (0..256)
        .map(|task| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for number in 0..40 {
                    store.commit(UnitOfWork::new().append_record(read_by(task, number))).await?;
                }
                Ok::<_, guichet_store::CommitError>(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    tell("unit committed, by 256 callers at once", 256 * 40, start);

    println!("{} records", store.record_count().await?);
    store.close().await;
    Ok(())
}

fn read_by(task: u32, number: u32) -> Record {
    let at =
        Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_micros(1_735_689_600_000_000 + i64::from(number));
    Record {
        principal: Some(Principal::person(format!("person {}", number % 50)).in_teams(["billing"])),
        action: Some(ActionId::new("postgres", &format!("list-{task}"))),
        resource: Some("postgres/shop".to_owned()),
        input: Some(serde_json::json!({"identifier": "shop", "limit": number})),
        duration_ms: Some(12),
        ..Record::new(at, Verb::PerformRead, RecordVerdict::Allowed, "staging", Surface::Cli)
    }
}

fn tell(what: &str, count: u32, start: Instant) {
    let each = start.elapsed() / count;
    println!("{what}: {:.1} µs each, {:.0} a second", each.as_secs_f64() * 1e6, 1.0 / each.as_secs_f64());
}
