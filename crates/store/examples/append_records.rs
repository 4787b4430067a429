//! What records cost: `cargo run -p guichet-store --example append_records [--release] [-- [postgres] [RECORDS]]`.
//!
//! Hands 100,000 records over as reads do, in 8 tasks, and waits until all are on disk; then commits units one after the
//! other and many at once, to show what the group commit is worth; then indexes them all, and searches. In SQLite; or in a
//! PostgreSQL of its own, which syncs nothing to disk: what is measured there is everything but the disk.
#![expect(clippy::print_stdout, reason = "an example tells what it measured")]

use std::{error::Error, sync::Arc, time::Instant};

use guichet_contract::{ActionId, Principal, Record, RecordVerdict, Surface, Verb};
use guichet_store::{
    PageRequest, RecordsFilter, Store, UnitOfWork,
    postgres::{PostgresSettings, PostgresStore},
    sqlite::SqliteStore,
};
use guichet_throwaway_postgres::Cluster;
use jiff::{SignedDuration, Timestamp};

const RECORDS: u32 = 100_000;
const TASKS: u32 = 8;

#[tokio::main(flavor = "multi_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let in_postgres = arguments.first().is_some_and(|first| first == "postgres");
    if in_postgres {
        arguments.remove(0);
    }
    let records = arguments.first().map_or(Ok(RECORDS), |text| text.parse())?;
    if in_postgres {
        let cluster = Cluster::start()?;
        let settings =
            PostgresSettings { url: cluster.url_superuser().into(), password: None, ca_file: None };
        let store: Arc<dyn Store> = Arc::new(PostgresStore::open(&settings).await?);
        append(&store, records).await?;
        cluster.sql("ANALYZE")?;
        search(&store, records).await?;
        store.close().await;
    } else {
        let directory = tempfile::tempdir()?;
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&directory.path().join("guichet.db"))?);
        append(&store, records).await?;
        search(&store, records).await?;
        store.close().await;
    }
    Ok(())
}

async fn append(store: &Arc<dyn Store>, records: u32) -> Result<(), Box<dyn Error>> {
    let start = Instant::now();
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let store = Arc::clone(store);
            tokio::spawn(async move {
                for number in 0..records / TASKS {
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
    tell("record handed over", records, start);

    let start = Instant::now();
    for number in 0..500 {
        store.commit(UnitOfWork::new().append_record(read_by(0, number))).await?;
    }
    tell("unit committed, one after the other", 500, start);

    let start = Instant::now();
    let tasks: Vec<_> = (0..256)
        .map(|task| {
            let store = Arc::clone(store);
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

    let start = Instant::now();
    while store.index_records(20_000).await? > 0 {}
    tell("record indexed", records, start);
    Ok(())
}

async fn search(store: &Arc<dyn Store>, records: u32) -> Result<(), Box<dyn Error>> {
    let none = RecordsFilter::default;
    let text = |words: &str| RecordsFilter { text: Some(words.into()), ..none() };
    let late = moment(records / TASKS / 2);
    let filters = [
        ("no filter", none()),
        ("frequent principal", RecordsFilter { principal: Some("person 7".into()), ..none() }),
        ("one of a thousand", RecordsFilter { owner: Some("team 3".into()), ..none() }),
        ("one trace", RecordsFilter { trace: Some(format!("{:032x}", 4_711)), ..none() }),
        ("nobody", RecordsFilter { principal: Some("nobody".into()), ..none() }),
        ("resource and below", RecordsFilter { resource: Some("postgres/shop/7".into()), ..none() }),
        ("frequent word", text("because")),
        ("rare word", text("ticket-77")),
        ("no such word", text("zebra")),
        ("until a moment", RecordsFilter { until: Some(late), ..none() }),
        (
            "principal, action and word",
            RecordsFilter {
                principal: Some("person 7".into()),
                action: Some(ActionId::new("postgres", "list-3")),
                ..text("ticket-7")
            },
        ),
    ];
    for (what, filter) in filters {
        let page = PageRequest { limit: 50, cursor: None };
        store.records(&filter, &page).await?;
        let start = Instant::now();
        let found = store.records(&filter, &page).await?;
        let took = start.elapsed();
        println!("{what}: {} found in {:.1} ms", found.items.len(), took.as_secs_f64() * 1e3);
    }
    println!("{} records", store.record_count().await?);
    Ok(())
}

fn moment(number: u32) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(1_735_689_600 + i64::from(number))
}

fn read_by(task: u32, number: u32) -> Record {
    Record {
        principal: Some(Principal::person(format!("person {}", number % 50)).in_teams(["billing"])),
        action: Some(ActionId::new("postgres", &format!("list-{task}"))),
        resource: Some(format!("postgres/shop/{}", number % 5_000)),
        owner: Some(format!("team {}", number % 1_000)),
        trace_id: Some(format!("{:032x}", u64::from(task) * 10_000_000 + u64::from(number))),
        reason: Some(format!("because of ticket-{}", number % 10_000)),
        input: Some(serde_json::json!({"identifier": "shop", "limit": number})),
        duration_ms: Some(12),
        ..Record::new(moment(number), Verb::PerformRead, RecordVerdict::Allowed, "staging", Surface::Cli)
    }
}

fn tell(what: &str, count: u32, start: Instant) {
    let each = start.elapsed() / count;
    println!("{what}: {:.1} µs each, {:.0} a second", each.as_secs_f64() * 1e6, 1.0 / each.as_secs_f64());
}
