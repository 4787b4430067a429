//! The audit trail: writing, sealing, indexing, verifying, searching and trying policies on it, beside what SQLite can insert
//! at all.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use guichet_contract::{
    ActionId, Clock as _, Principal, Record, RecordVerdict, RunId, Surface, SystemClock, Verb,
};
use guichet_ledger::{KeySet, Signer, verify};
use guichet_operations::{PageRequest, RecordsFilter, seal_records::seal_records};
use guichet_store::{Checkpoints as _, Records as _, Store as _, UnitOfWork, sqlite::SqliteStore};
use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, params};

use crate::{
    figures::{Table, count, duration, of_durations},
    gateway::Site,
    roles::provider::LISTS,
    setting::Setting,
    simulate,
};

/// Tasks that hand records over at once.
const TASKS: u64 = 8;
/// How often each search is asked.
const ASKED: usize = 15;
/// One record in so many is rare: a change that was refused.
const RARE: u64 = 10_000;
/// Every byte of the seed of the key that signs.
const SEED: u8 = 7;
/// When the first record was made: a day ago, so that the last days' records are these.
static BEGAN: LazyLock<Timestamp> = LazyLock::new(|| SystemClock.now() - SignedDuration::from_hours(24));

/// Measures with so many records.
pub(crate) fn measure(setting: &Setting, records: u64) -> Result<String> {
    // The files of a gateway, which then tries other policies on what was recorded.
    let site = Site::new(setting, "ledger")?;
    let data = site.folder().join("data");
    fs::create_dir_all(data.join("keys"))?;
    let key = data.join("keys/ledger.key");
    fs::write(&key, format!("{}\n", format!("{SEED:02x}").repeat(32)))?;
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600))?;
    let bare = bare_inserts(&data, records)?;
    let text = setting
        .runtime
        .block_on(measure_store(&data, records, bare))
        .and_then(|text| Ok(format!("{text}\n{}", simulate::measure(setting, &site, records)?)));
    // Ten million records are as many kilobytes; other measurements want their disk.
    fs::remove_dir_all(site.folder())?;
    text
}

async fn measure_store(folder: &Path, records: u64, bare: Duration) -> Result<String> {
    let path = folder.join("guichet.sqlite");
    let store = Arc::new(SqliteStore::open(&path)?);
    let keys: KeySet = Signer::from_seed("guichet/staging", [SEED; 32])?.into();

    let written = write(&store, records).await?;
    let began = Instant::now();
    seal_records(&*store, &keys, &SystemClock).await?.context("nothing was sealed")?;
    let sealed = began.elapsed();
    let unindexed = search(&store, records, 1).await?;
    let began = Instant::now();
    while store.index_records(65_536).await? >= 64 {}
    let indexed = began.elapsed();
    let verified = verify_all(&store, &keys).await?;
    let found = search(&store, records, ASKED).await?;
    store.close().await;

    let mut speeds = Table::new(&["", "records a second", "each"]);
    for (what, took) in [
        ("bare SQLite: one table, one row, 1,024 a transaction", bare),
        ("written (handed over by 8 tasks, until durable)", written),
        ("sealed (hashed into tiles, signed)", sealed),
        ("indexed for searches, in the background", indexed),
        ("verified (read from the store, hashed, held against the checkpoint)", verified),
    ] {
        let each = took.as_secs_f64() / float(records);
        speeds.row(&[what.to_owned(), count(1.0 / each), duration(Duration::from_secs_f64(each))]);
    }
    let mut sizes = Table::new(&["", "bytes a record"]);
    for (what, file) in
        [("store (records, tiles, checkpoints)", "guichet.sqlite"), ("search index", "guichet.sqlite.search")]
    {
        let bytes = fs::metadata(folder.join(file)).map_or(0, |metadata| metadata.len());
        sizes.row(&[what.to_owned(), count(float(bytes) / float(records))]);
    }
    let mut searches =
        Table::new(&["the newest 50 with", "found", "indexed", "worst of 15", "not indexed yet, once"]);
    for (found, before) in found.iter().zip(&unindexed) {
        searches.row(&[
            found.what.to_owned(),
            found.rows.to_string(),
            duration(found.middle),
            duration(found.worst),
            if before.calls > 1 {
                format!("{} in {} calls", duration(before.middle), before.calls)
            } else {
                duration(before.middle)
            },
        ]);
    }
    Ok(format!(
        "## ledger\n\n{} records, as reads write them; one in {} is a refused change.\n\n{}\n{}\n{}",
        count(float(records)),
        count(float(RARE)),
        speeds.into_text(),
        sizes.into_text(),
        searches.into_text()
    ))
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn float(number: u64) -> f64 {
    number as f64
}

/// The floor: rows of the same size without any of ours.
fn bare_inserts(folder: &Path, records: u64) -> Result<Duration> {
    let path = folder.join("bare.sqlite");
    let mut connection = Connection::open(&path)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.execute_batch("CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT")?;
    let text = serde_json::to_string(&record(1))?;
    let began = Instant::now();
    let mut number = 0;
    while number < records {
        let transaction = connection.transaction()?;
        {
            let mut insert = transaction.prepare_cached("INSERT INTO note (text) VALUES (?1)")?;
            for _ in 0..1_024.min(records - number) {
                insert.execute(params![text])?;
                number += 1;
            }
        }
        transaction.commit()?;
    }
    let took = began.elapsed();
    drop(connection);
    fs::remove_file(path)?;
    Ok(took)
}

async fn write(store: &Arc<SqliteStore>, records: u64) -> Result<Duration> {
    let began = Instant::now();
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let store = Arc::clone(store);
            tokio::spawn(async move {
                for number in (task..records).step_by(8) {
                    store.append_soon(record(number)).await?;
                }
                Ok::<_, guichet_store::StoreError>(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    // Behind all of them in the queue.
    store.commit(UnitOfWork::new()).await?;
    ensure!(store.record_count().await? == records, "records were lost");
    Ok(began.elapsed())
}

async fn verify_all(store: &SqliteStore, keys: &KeySet) -> Result<Duration> {
    let (_, note) = store.latest_checkpoint().await?.context("no checkpoint")?;
    let checkpoint = keys.open(&note)?;
    let began = Instant::now();
    let (leaves, mut waiting) = tokio::sync::mpsc::channel(4);
    let hashing = tokio::task::spawn_blocking(move || {
        let batches = std::iter::from_fn(|| waiting.blocking_recv());
        verify(
            batches.flat_map(|batch: Vec<(u64, String)>| batch.into_iter().map(Ok::<_, String>)),
            &checkpoint,
        )
    });
    let mut next = 0;
    loop {
        let batch = store.leaves(next, 10_000).await?;
        let Some((last, _)) = batch.last() else { break };
        next = last + 1;
        if leaves.send(batch).await.is_err() {
            break;
        }
    }
    drop(leaves);
    hashing.await??;
    Ok(began.elapsed())
}

struct Found {
    what: &'static str,
    rows: usize,
    calls: usize,
    middle: Duration,
    worst: Duration,
}

async fn search(store: &SqliteStore, records: u64, asked: usize) -> Result<Vec<Found>> {
    let none = RecordsFilter::default;
    let middle = records / 2;
    let refused = || RecordsFilter { verdict: Some("refused".into()), ..none() };
    let filters = [
        ("no filter", none()),
        ("a person in a hundred", RecordsFilter { principal: Some("person 42".into()), ..none() }),
        ("an action in twenty", RecordsFilter { action: Some(ActionId::new("bench", "list-7")), ..none() }),
        (
            "a resource and what lies under it",
            RecordsFilter { resource: Some("postgres/shop-3".into()), ..none() },
        ),
        ("an owner", RecordsFilter { owner: Some("team 5".into()), ..none() }),
        ("verdict refused (rare)", refused()),
        ("verb submit_run (rare)", RecordsFilter { verb: Some("submit_run".into()), ..none() }),
        ("one trace", RecordsFilter { trace: Some(format!("{middle:032x}")), ..none() }),
        ("one run", RecordsFilter { run: record(middle / RARE * RARE).run, ..none() }),
        (
            "a rare word of a reason",
            RecordsFilter { text: Some(format!("ops {}", middle / RARE * RARE)), ..none() },
        ),
        ("a word of the input that occurs nowhere", RecordsFilter { text: Some("nowhere".into()), ..none() }),
        ("until a moment half way", RecordsFilter { until: Some(moment(middle)), ..none() }),
        (
            "person, owner, refused, first half",
            RecordsFilter {
                principal: record(RARE).principal.map(|person| person.name),
                owner: record(RARE).owner,
                until: Some(moment(middle)),
                ..refused()
            },
        ),
    ];
    let mut found = Vec::new();
    for (what, filter) in filters {
        let (mut durations, mut rows, mut calls) = (Vec::new(), 0, 0);
        for _ in 0..asked {
            let one = Instant::now();
            (rows, calls) = whole_page(store, &filter).await?;
            durations.push(one.elapsed());
        }
        let worst = durations.iter().max().copied().unwrap_or_default();
        let measured = of_durations(durations, Duration::from_secs(1));
        found.push(Found { what, rows, calls, middle: measured.p50, worst });
    }
    Ok(found)
}

/// As the command line asks: on and on, until there are 50 or no more.
async fn whole_page(store: &SqliteStore, filter: &RecordsFilter) -> Result<(usize, usize)> {
    let (mut rows, mut calls, mut cursor) = (0, 0, None);
    loop {
        let page = store.records(filter, &PageRequest { limit: 50 - rows, cursor }).await?;
        (rows, calls) = (rows + page.items.len(), calls + 1);
        cursor = page.next;
        if rows >= 50 || cursor.is_none() {
            return Ok((rows, calls));
        }
    }
}

fn moment(number: u64) -> Timestamp {
    let micros = i64::try_from(number).unwrap_or(i64::MAX / 2).saturating_mul(1_000);
    *BEGAN + SignedDuration::from_micros(micros)
}

/// A read, or a change that was refused: a record of about 700 bytes.
fn record(number: u64) -> Record {
    let rare = number.is_multiple_of(RARE);
    let (verb, verdict) = if rare {
        (Verb::SubmitRun, RecordVerdict::Refused)
    } else {
        (Verb::PerformRead, RecordVerdict::Allowed)
    };
    Record {
        principal: Some(Principal::person(format!("person {}", number % 100)).in_teams(["billing"])),
        action: Some(ActionId::new("bench", &format!("list-{}", number % LISTS))),
        resource: Some(format!("postgres/shop-{}/applications/{}", number % 10, number % 30)),
        owner: Some(format!("team {}", number % 15)),
        run: rare.then(|| RunId(run_number(number))),
        input: Some(
            serde_json::json!({"identifier": format!("shop-{}", number % 10), "limit": number % 500}),
        ),
        reason: rare.then(|| format!("the nightly job hangs, ticket OPS-{number}")),
        policies: vec!["everybody-reads".to_owned()],
        duration_ms: Some(number % 40),
        trace_id: Some(format!("{number:032x}")),
        ..Record::new(moment(number), verb, verdict, "staging", Surface::Cli)
    }
}

fn run_number(number: u64) -> uuid::Uuid {
    uuid::Uuid::from_u128(u128::from(number) | 0x0192_f0c1_0000_7000_8000_0000_0000_0000)
}
