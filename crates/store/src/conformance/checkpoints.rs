//! The ledger's seal.

use super::{Premises, fixtures::*};

/// So many hashes, each of one byte repeated.
fn hashes(count: u8) -> Vec<u8> {
    (0..count).flat_map(|hash| [hash; 32]).collect()
}

pub async fn a_seal_reads_as_it_was_written(premises: &impl Premises) {
    let store = premises.open().await;
    assert_eq!(store.latest_checkpoint().await.unwrap(), None);
    assert_eq!(store.tile(0, 0).await.unwrap(), None);
    store.seal(3, "note of 3", second(1), &[(0, 0, hashes(3)), (1, 0, hashes(1))]).await.unwrap();
    store.seal(7, "note of 7", second(2), &[(0, 0, hashes(7)), (0, 1, hashes(2))]).await.unwrap();
    assert_eq!(store.latest_checkpoint().await.unwrap(), Some((7, "note of 7".to_owned())));
    assert_eq!(store.tile(0, 0).await.unwrap(), Some(hashes(7)));
    assert_eq!(store.tile(0, 1).await.unwrap(), Some(hashes(2)));
    assert_eq!(store.tile(1, 0).await.unwrap(), Some(hashes(1)));
}

pub async fn a_seal_never_goes_back(premises: &impl Premises) {
    let store = premises.open().await;
    store.seal(5, "five", second(1), &[(0, 0, hashes(5))]).await.unwrap();
    for size in [5, 4, 0] {
        conflict(store.seal(size, "again", second(2), &[(0, 0, hashes(6)), (0, 1, hashes(1))]).await);
    }
    assert_eq!(store.latest_checkpoint().await.unwrap(), Some((5, "five".to_owned())));
    assert_eq!(store.tile(0, 0).await.unwrap(), Some(hashes(5)), "nothing of a refused seal is kept");
    assert_eq!(store.tile(0, 1).await.unwrap(), None);
}

pub async fn a_tile_only_grows(premises: &impl Premises) {
    let store = premises.open().await;
    store.seal(5, "five", second(1), &[(0, 0, hashes(5))]).await.unwrap();
    let mut other = hashes(6);
    other[0] = 99;
    for (what, tile) in [("shorter", hashes(4)), ("changed", other), ("no multiple", vec![1; 33])] {
        let answer = store.seal(6, "six", second(2), &[(0, 1, hashes(1)), (0, 0, tile)]).await;
        assert!(conflict(answer).contains("tile 0/0"), "{what}");
    }
    assert_eq!(store.latest_checkpoint().await.unwrap(), Some((5, "five".to_owned())));
    assert_eq!(store.tile(0, 1).await.unwrap(), None);
}
