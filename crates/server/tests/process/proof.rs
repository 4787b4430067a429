//! What the ledger says is proven with its key alone, after whatever happened.

use std::convert::Infallible;

use guichet_ledger::{Verifier, open, verify};
use serde_json::Value;

use crate::{gateway::until, person::Person};

/// The signed checkpoint, once there is one.
pub(crate) async fn checkpoint(auditor: &Person) -> String {
    until("a checkpoint", || async {
        let note = auditor.get("/v1/ledger/checkpoint").await;
        note.status.is_success().then(|| note.body.as_str().unwrap().to_owned())
    })
    .await
}

/// All records, proven against the newest checkpoint and against these older ones.
pub(crate) async fn proven(auditor: &Person, older: &[String]) -> Vec<Value> {
    let key = auditor.get("/v1/ledger/key").await.body;
    let key: Verifier = key.as_str().unwrap().trim().parse().unwrap();
    let export = auditor.get("/v1/ledger/export").await.body;
    let leaves: Vec<String> = match export {
        Value::String(text) => text.lines().map(str::to_owned).collect(),
        one => vec![one.to_string()],
    };
    // Everything exported gets sealed, within about a second.
    let newest = until("a checkpoint over the whole export", || async {
        let note = checkpoint(auditor).await;
        (open(&note, &key).unwrap().size >= leaves.len() as u64).then_some(note)
    })
    .await;
    let size = open(&newest, &key).unwrap().size;
    let leaves = until("an export as long as the checkpoint", || async {
        let text = auditor.get("/v1/ledger/export").await.body;
        let leaves: Vec<String> = text.as_str()?.lines().map(str::to_owned).collect();
        (leaves.len() as u64 >= size).then_some(leaves)
    })
    .await;
    for note in older.iter().chain([&newest]) {
        let numbered =
            leaves.iter().enumerate().map(|(index, leaf)| Ok::<_, Infallible>((index as u64, leaf)));
        verify(numbered, &open(note, &key).unwrap()).unwrap();
    }
    leaves.iter().map(|leaf| serde_json::from_str(leaf).unwrap()).collect()
}

/// How many records of this run have this verb.
pub(crate) fn told(records: &[Value], run: &str, verb: &str) -> usize {
    records
        .iter()
        .filter(|record| record["run"] == run && record["verb"] == verb && record["verdict"] != "refused")
        .count()
}
