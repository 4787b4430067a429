//! The search index: that it is used at all, and what becomes of it when it is damaged, gone, or left over from before
//! records were pruned. That searches are complete with it and without it stands in `conformance`.

use std::fs;

use guichet_contract::Record;
use rusqlite::Connection;

use super::Directory;
use crate::{
    Change, RecordsFilter, UnitOfWork,
    conformance::fixtures::*,
    sqlite::{
        SqliteStore,
        fault::Fault,
        search,
        search_index::{self, drop_search_index},
    },
};

const RARE: u64 = 17;

/// 5,000 records, one of which has a word that no other has.
async fn filled(directory: &Directory) -> SqliteStore {
    let store = directory.store();
    let records = (0..5_000_u64).map(|number| {
        let reason = (number == RARE).then(|| "a quokka".to_owned());
        Record { reason, ..numbered_record(7) }
    });
    store.commit(records.fold(UnitOfWork::new(), UnitOfWork::append_record)).await.unwrap();
    store
}

fn quokkas() -> RecordsFilter {
    RecordsFilter { text: Some("quokka".into()), ..RecordsFilter::default() }
}

/// Where it is found by a search that may look at 1,000 records, whether there is more to look at, and what the index said.
async fn looked_for(store: &SqliteStore) -> (Vec<u64>, bool, Option<Fault>) {
    let (page, refused) =
        store.read(|connection| search::list(connection, &quokkas(), &first(10), 1_000)).await.unwrap();
    (page.items.iter().map(|found| found.index).collect(), page.next.is_some(), refused)
}

#[tokio::test]
async fn a_rare_word_is_found_without_reading_what_lies_between() {
    let directory = Directory::fresh();
    let store = filled(&directory).await;
    assert!(matches!(looked_for(&store).await, (found, true, None) if found.is_empty()), "not indexed");
    assert!(store.index_records(10_000).await.unwrap() < 64);
    assert!(matches!(looked_for(&store).await, (found, false, None) if found == [RARE]));
}

/// The part of the index that words are in, and not that which says how far it came.
fn damage(directory: &Directory) {
    let index = Connection::open(search_index::path_of(&directory.file())).unwrap();
    assert!(index.execute("DELETE FROM terms_data WHERE id > 10", []).unwrap() > 0);
}

#[tokio::test]
async fn a_damaged_index_breaks_no_search_and_is_made_anew() {
    let directory = Directory::fresh();
    let store = filled(&directory).await;
    store.index_records(10_000).await.unwrap();
    store.close().await;
    drop(store);
    damage(&directory);

    let store = directory.store();
    let (found, more, refused) = looked_for(&store).await;
    assert!(found.is_empty() && more && refused.is_some(), "it is found by reading on: {refused:?}");
    let page = store.records(&quokkas(), &first(10)).await.unwrap();
    assert_eq!((page.items.len(), page.items[0].index, page.next), (1, RARE, None));
    assert_eq!(store.index_records(64).await.unwrap(), 5_000 - 64, "from the beginning");
    store.index_records(10_000).await.unwrap();
    assert!(matches!(looked_for(&store).await, (found, false, None) if found == [RARE]));
}

#[tokio::test]
async fn an_index_that_is_removed_takes_nothing_along() {
    let directory = Directory::fresh();
    let store = filled(&directory).await;
    // Before the first connection that reads is opened.
    drop_search_index(&directory.file()).unwrap();
    assert_eq!(store.record_count().await.unwrap(), 5_000);
    assert_eq!(store.records(&quokkas(), &first(10)).await.unwrap().items.len(), 1);
    store.index_records(10_000).await.unwrap();
    assert!(search_index::path_of(&directory.file()).exists());
    assert!(matches!(looked_for(&store).await, (found, false, None) if found == [RARE]));
}

/// Whether the word stands in a file of the index, whose words share their beginnings.
fn is_in_the_index(directory: &Directory, word: &str) -> bool {
    let files = fs::read_dir(directory.0.path()).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.to_string_lossy().contains(".search")).any(|path| {
        let bytes = fs::read(path).unwrap();
        bytes.windows(word.len() - 1).any(|window| window == &word.as_bytes()[1..])
    })
}

/// As when the process dies between pruning and removing the index.
#[tokio::test]
async fn words_of_pruned_records_leave_the_index_at_the_next_start() {
    let directory = Directory::fresh();
    let store = filled(&directory).await;
    store.index_records(10_000).await.unwrap();
    store.seal(4_000, "note of 4,000", second(1), &[]).await.unwrap();
    store.commit(unit(Change::PruneRecords { before: 512 })).await.unwrap();
    store.close().await;
    drop(store);
    assert!(is_in_the_index(&directory, "quokka"));

    let store = directory.store();
    store.index_records(10_000).await.unwrap();
    store.close().await;
    drop(store);
    assert!(!is_in_the_index(&directory, "quokka"));
    // And it is kept from then on.
    let store = directory.store();
    assert!(store.index_records(64).await.unwrap() < 64);
}
