//! The audit trail.

use std::{collections::HashSet, sync::Arc};

use guichet_contract::{ActionId, Principal, Record, RecordVerdict, Verb, record::LedgerRecord};

use super::{Premises, fixtures::*};
use crate::{Change, RecordsFilter, Store, UnitOfWork};

fn number_of(text: &str) -> usize {
    let record: Record = serde_json::from_str(text).unwrap();
    record.detail.unwrap().parse().unwrap()
}

pub async fn records_are_dense_and_in_order(premises: &impl Premises) {
    let store = premises.open().await;
    // 32 writers, 20 records each: half of them committed, half handed over.
    let writers = (0..32).map(|writer| {
        let store = Arc::clone(&store);
        async move {
            for step in 0..20 {
                let record = numbered_record(writer * 100 + step);
                if writer % 2 == 0 {
                    store.commit(UnitOfWork::new().append_record(record)).await.unwrap();
                } else {
                    store.append_soon(record).await.unwrap();
                }
            }
        }
    });
    at_once(writers).await;
    // Whatever is committed later stands behind all that was handed over before.
    store.commit(UnitOfWork::new().append_record(numbered_record(9_999))).await.unwrap();

    assert_eq!(store.record_count().await.unwrap(), 641);
    let leaves = store.leaves(0, 1_000).await.unwrap();
    let indexes: Vec<u64> = leaves.iter().map(|(index, _)| *index).collect();
    assert_eq!(indexes, (0..641).collect::<Vec<u64>>());
    let numbers: Vec<usize> = leaves.iter().map(|(_, text)| number_of(text)).collect();
    for writer in 0..32 {
        let own: Vec<usize> = numbers.iter().copied().filter(|number| number / 100 == writer).collect();
        assert_eq!(own, (0..20).map(|step| writer * 100 + step).collect::<Vec<_>>());
    }
    assert_eq!(numbers[640], 9_999);
}

pub async fn what_conflicts_leaves_no_hole(premises: &impl Premises) {
    let store = premises.open().await;
    let writers = (0..60).map(|number| {
        let store = Arc::clone(&store);
        let mut work = UnitOfWork::new().append_record(numbered_record(number));
        if number % 2 == 0 {
            work = work.with(moved(
                run_id(),
                guichet_contract::RunState::Queued,
                guichet_contract::RunState::Running,
            ));
        }
        async move { store.commit(work).await }
    });
    assert_eq!(wins(at_once(writers).await), 30);
    let leaves = store.leaves(0, 100).await.unwrap();
    assert_eq!(leaves.iter().map(|(index, _)| *index).collect::<Vec<_>>(), (0..30).collect::<Vec<u64>>());
    let numbers: HashSet<usize> = leaves.iter().map(|(_, text)| number_of(text)).collect();
    assert_eq!(numbers, (0..60).filter(|number| number % 2 == 1).collect());
}

pub async fn leaves_are_the_exact_text(premises: &impl Premises) {
    let store = premises.open().await;
    let records: Vec<Record> = (0..5)
        .map(|number| Record {
            input: Some(serde_json::json!({"b": 1.10, "a": "é\u{2028}\"", "n": number})),
            ..numbered_record(number)
        })
        .collect();
    let work = records.iter().cloned().fold(UnitOfWork::new(), UnitOfWork::append_record);
    store.commit(work).await.unwrap();
    let texts: Vec<(u64, String)> =
        (0..).zip(records.iter().map(|record| serde_json::to_string(record).unwrap())).collect();
    assert_eq!(store.leaves(0, 10).await.unwrap(), texts);
    assert_eq!(store.leaves(2, 2).await.unwrap(), texts[2..4]);
    assert_eq!(store.leaves(5, 10).await.unwrap(), []);
}

async fn all_pages(store: &impl Store, filter: &RecordsFilter, limit: usize) -> Vec<LedgerRecord> {
    let (mut page, mut found) = (first(limit), Vec::new());
    loop {
        let read = store.records(filter, &page).await.unwrap();
        assert!(read.items.len() <= limit);
        found.extend(read.items);
        page.cursor = read.next;
        if page.cursor.is_none() {
            return found;
        }
    }
}

type Wanted = fn(u64) -> bool;

pub async fn records_are_filtered(premises: &impl Premises) {
    let store = premises.open().await;
    let run = run_id();
    let mut work = UnitOfWork::new();
    for number in 0..48_u32 {
        let verdict = if number % 8 == 0 { RecordVerdict::Refused } else { RecordVerdict::Allowed };
        work = work.append_record(Record {
            at: second(i64::from(number)),
            verdict,
            principal: (number % 2 == 0).then(|| Principal::person("ada")),
            action: (number % 3 == 0).then(|| ActionId::new("postgres", "vacuum")),
            run: (number % 4 == 0).then_some(run),
            ..record(if number % 5 == 0 { Verb::SubmitRun } else { Verb::PerformRead })
        });
    }
    store.commit(work).await.unwrap();
    let all = all_pages(&*store, &RecordsFilter::default(), 500).await;
    assert_eq!(
        all.iter().map(|record| record.index).collect::<Vec<_>>(),
        (0..48).rev().collect::<Vec<u64>>()
    );

    let none = RecordsFilter::default;
    // Each filter, and which of the 48 it lets through.
    let cases: [(RecordsFilter, Wanted); 10] = [
        (RecordsFilter { principal: Some("ada".into()), ..none() }, |n| n % 2 == 0),
        (RecordsFilter { principal: Some("nobody".into()), ..none() }, |_| false),
        (RecordsFilter { action: Some(ActionId::new("postgres", "vacuum")), ..none() }, |n| n % 3 == 0),
        (RecordsFilter { run: Some(run), ..none() }, |n| n % 4 == 0),
        (RecordsFilter { verb: Some("submit_run".into()), ..none() }, |n| n % 5 == 0),
        (RecordsFilter { verdict: Some("refused".into()), ..none() }, |n| n % 8 == 0),
        (RecordsFilter { verdict: Some("allowed".into()), ..none() }, |n| n % 8 != 0),
        (RecordsFilter { since: Some(second(10)), ..none() }, |n| n >= 10),
        (RecordsFilter { until: Some(second(10)), ..none() }, |n| n < 10),
        (
            RecordsFilter {
                principal: Some("ada".into()),
                run: Some(run),
                verdict: Some("allowed".into()),
                since: Some(second(3)),
                until: Some(second(40)),
                ..none()
            },
            |n| n % 4 == 0 && n % 8 != 0 && (3..40).contains(&n),
        ),
    ];
    for (filter, wanted) in cases {
        let expected: Vec<&LedgerRecord> = all.iter().filter(|record| wanted(record.index)).collect();
        for limit in [3, 500] {
            let found = all_pages(&*store, &filter, limit).await;
            assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{filter:?}");
        }
    }
}

/// 5,000 records: every filter finds the same before, while and after they are indexed.
pub async fn records_are_found_whether_indexed_or_not(premises: &impl Premises) {
    let store = premises.open().await;
    let run = run_id();
    let records = (0..5_000_u32).map(|number| Record {
        // Two clocks that differ by ten minutes.
        at: second(i64::from(number) - if number % 2 == 0 { 600 } else { 0 }),
        principal: Some(Principal::person(format!("person {}", number % 7))),
        action: (number % 3 == 0).then(|| ActionId::new("postgres", "vacuum")),
        resource: Some(format!("postgres/shop{}/table-{}", number % 2, number % 11)),
        owner: (number % 50 == 0).then(|| "checkout".to_owned()),
        run: (number == 4_321).then_some(run),
        trace_id: Some(format!("{number:032x}")),
        reason: (number % 1_000 == 17).then(|| "Größere Wartung, Ticket OPS-4711".to_owned()),
        input: Some(serde_json::json!({"pid": number, "deep": [{"name": format!("name-{}", number % 13)}]})),
        ..record(Verb::PerformRead)
    });
    for part in records.collect::<Vec<_>>().chunks(500) {
        let work = part.iter().cloned().fold(UnitOfWork::new(), UnitOfWork::append_record);
        store.commit(work).await.unwrap();
    }
    let none = RecordsFilter::default;
    let text = |words: &str| RecordsFilter { text: Some(words.into()), ..none() };
    let cases: [(RecordsFilter, Wanted); 14] = [
        (RecordsFilter { owner: Some("checkout".into()), ..none() }, |n| n % 50 == 0),
        (RecordsFilter { resource: Some("postgres/shop1".into()), ..none() }, |n| n % 2 == 1),
        (RecordsFilter { resource: Some("postgres/shop1/".into()), ..none() }, |n| n % 2 == 1),
        (RecordsFilter { resource: Some("postgres/shop".into()), ..none() }, |_| false),
        (RecordsFilter { resource: Some("postgres/shop0/table-4".into()), ..none() }, |n| {
            n % 2 == 0 && n % 11 == 4
        }),
        (RecordsFilter { run: Some(run), ..none() }, |n| n == 4_321),
        (RecordsFilter { trace: Some(format!("{:032x}", 99)), ..none() }, |n| n == 99),
        (text("ops 4711"), |n| n % 1_000 == 17 || n == 9_999),
        (text("GRÖSSERE"), |_| false),
        (text("gröss"), |_| false),
        (text("GRÖß wart"), |n| n % 1_000 == 17),
        (text("1234"), |n| n == 1_234),
        (text("47"), |n| n == 47),
        (
            RecordsFilter {
                principal: Some("person 3".into()),
                action: Some(ActionId::new("postgres", "vacuum")),
                text: Some("name 12".into()),
                since: Some(second(100)),
                until: Some(second(4_000)),
                ..none()
            },
            |n| {
                let at = i64::try_from(n).unwrap() - if n % 2 == 0 { 600 } else { 0 };
                n % 7 == 3 && n % 3 == 0 && (n % 13 == 12 || n == 12) && (100..4_000).contains(&at)
            },
        ),
    ];
    for indexed in [0, 1_000, 10_000] {
        if indexed > 0 {
            let waiting = store.index_records(indexed).await.unwrap();
            assert!(waiting < 5_000, "{waiting}");
        }
        for (filter, wanted) in &cases {
            let expected: Vec<u64> = (0..5_000).rev().filter(|index| wanted(*index)).collect();
            for limit in [7, 500] {
                let found = all_pages(&*store, filter, limit).await;
                let found: Vec<u64> = found.iter().map(|record| record.index).collect();
                assert_eq!(found, expected, "{filter:?} with {indexed} to be indexed");
            }
        }
    }
}

pub async fn records_are_paged(premises: &impl Premises) {
    let store = premises.open().await;
    store
        .commit((0..100).map(numbered_record).fold(UnitOfWork::new(), UnitOfWork::append_record))
        .await
        .unwrap();
    let filter = RecordsFilter::default();
    let (mut page, mut seen) = (first(9), Vec::new());
    loop {
        let read = store.records(&filter, &page).await.unwrap();
        seen.extend(read.items.iter().map(|record| record.index));
        store.commit(UnitOfWork::new().append_record(numbered_record(0))).await.unwrap();
        page.cursor = read.next;
        if page.cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, (0..100).rev().collect::<Vec<u64>>());
    page.cursor = Some("not a cursor".into());
    assert!(store.records(&filter, &page).await.is_err());
}

pub async fn only_sealed_records_are_pruned(premises: &impl Premises) {
    let store = premises.open().await;
    store
        .commit((0..600).map(numbered_record).fold(UnitOfWork::new(), UnitOfWork::append_record))
        .await
        .unwrap();
    let prune = |before| unit(Change::PruneRecords { before }).append_record(numbered_record(9_999));
    conflict(store.commit(prune(256)).await);
    store.seal(520, "note of 520", second(1), &[(0, 0, vec![7; 256 * 32])]).await.unwrap();
    for before in [1, 255, 768] {
        conflict(store.commit(prune(before)).await);
    }
    assert_eq!((store.first_record().await.unwrap(), store.record_count().await.unwrap()), (0, 600));
    store.commit(prune(512)).await.unwrap();
    assert_eq!((store.first_record().await.unwrap(), store.record_count().await.unwrap()), (512, 601));
    assert_eq!(store.leaves(0, 1).await.unwrap()[0].0, 512);
    assert_eq!(store.tile(0, 0).await.unwrap(), Some(vec![7; 256 * 32]), "tiles stay");
    let left = all_pages(&*store, &RecordsFilter::default(), 500).await;
    assert_eq!(left.last().map(|record| record.index), Some(512));
    assert_eq!(left.len(), 89);
}
