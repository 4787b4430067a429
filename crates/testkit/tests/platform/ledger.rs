//! What the ledger holds can be proven by someone who trusts only a key.

use std::convert::Infallible;

use guichet_ledger::{Verifier, open, verify};
use guichet_testkit::patience::until;
use serde_json::json;

use crate::world::start;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_is_proven_by_the_checkpoint_and_a_changed_one_is_not() {
    let (bench, _) = start().await;
    let dana = bench.sign_in("dana").await.unwrap();
    for number in 0..5 {
        dana.submit("things.change-item", json!({"name": format!("i{number}")})).await.unwrap();
    }
    let key: Verifier =
        dana.get("/v1/ledger/key").await.unwrap().body.as_str().unwrap().trim().parse().unwrap();
    let (checkpoint, leaves) = until("a checkpoint over all of it", || async {
        let note = dana.get("/v1/ledger/checkpoint").await.unwrap();
        let export = dana.get("/v1/ledger/export").await.unwrap().body;
        let leaves: Vec<String> = match export {
            serde_json::Value::String(text) => text.lines().map(str::to_owned).collect(),
            one => vec![one.to_string()],
        };
        let checkpoint = open(note.body.as_str()?, &key).unwrap();
        let sealed = usize::try_from(checkpoint.size).unwrap();
        (sealed >= 10 && sealed <= leaves.len()).then_some((checkpoint, leaves))
    })
    .await;
    let numbered = |leaves: &[String]| {
        let leaves = leaves.to_vec();
        leaves
            .into_iter()
            .enumerate()
            .map(|(index, leaf)| Ok::<_, Infallible>((index as u64, leaf)))
            .collect::<Vec<_>>()
    };
    verify(numbered(&leaves), &checkpoint).unwrap();
    let mut changed = leaves.clone();
    changed[3] = changed[3].replacen("staging", "stagiNg", 1);
    assert_ne!(changed, leaves);
    assert!(verify(numbered(&changed), &checkpoint).is_err());
    assert!(verify(numbered(&leaves[..5]), &checkpoint).is_err());
    let tile = dana.get(&format!("/v1/ledger/tile/0/000.p/{}", checkpoint.size)).await.unwrap();
    assert_eq!(tile.status, 200);
}
