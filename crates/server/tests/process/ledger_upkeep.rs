//! The audit trail over the years: witnesses keep its checkpoints, keys are replaced, old records are archived; and it is
//! proven throughout.

use std::{
    convert::Infallible,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::Output,
    sync::{Arc, Mutex},
};

use axum::{Router, http::StatusCode, routing::post};
use guichet_ledger::{Edge, KeySet, LedgerError, Signer, Verifier, open, split_notes, verify, verify_from};
use guichet_server::archive;
use guichet_store::{Checkpoints as _, Records as _, Store as _, sqlite::SqliteStore};
use guichet_throwaway_postgres::Cluster;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::{
    gateway::{Gateway, guichetd, output_of, until},
    person::Person,
    proof::{checkpoint, proven},
    replica::on_postgres,
};

async fn keys_of(person: &Person) -> Vec<Verifier> {
    let text = person.get("/v1/ledger/key").await.body;
    text.as_str().unwrap().lines().map(|line| line.parse().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn witnesses_get_each_checkpoint_also_after_they_were_away() {
    let (seen, refusals) = (Arc::new(Mutex::new(Vec::<String>::new())), Arc::new(Mutex::new(2)));
    let router = Router::new().route(
        "/witness",
        post({
            let seen = Arc::clone(&seen);
            move |note: String| async move {
                let mut refusals = refusals.lock().unwrap();
                if *refusals > 0 {
                    *refusals -= 1;
                    return StatusCode::SERVICE_UNAVAILABLE;
                }
                seen.lock().unwrap().push(note);
                StatusCode::NO_CONTENT
            }
        }),
    );
    let stop = CancellationToken::new();
    let url = guichet_testkit::bench::serve(router, &stop).await.unwrap();
    let tables = format!("[ledger]\nwitness = [{{file = \"witness\"}}, {{url = \"{url}/witness\"}}]");
    let mut gateway = Gateway::started("", &tables).await;
    let dana = gateway.sign_in("dana").await;
    let key = keys_of(&dana).await.remove(0);
    until("two checkpoints at the endpoint", || async {
        dana.get("/v1/session").await;
        (seen.lock().unwrap().len() >= 2).then_some(())
    })
    .await;
    let metrics = dana.get("/metrics").await.body.as_str().unwrap().to_owned();
    let failures = format!("guichet_ledger_witness_failures_total{{witness=\"{url}/witness\"}} 2");
    assert!(metrics.contains(&failures), "{metrics}");
    assert!(metrics.contains("guichet_ledger_witnessed_entries{witness="), "{metrics}");
    gateway.logged(&["a witness of the ledger was not told", "status 503"]).await;

    // The stop sends the last checkpoint away too.
    gateway.ask_to_stop();
    assert!(gateway.ended().await.success());
    let file = fs::read_to_string(gateway.path("witness")).unwrap();
    let notes: Vec<String> = split_notes(&file).into_iter().map(str::to_owned).collect();
    assert_eq!(file, notes.join("\n") + "\n", "nothing is passed over");
    let sizes: Vec<u64> = notes.iter().map(|note| open(note, &key).unwrap().size).collect();
    assert!(sizes.len() >= 2 && sizes.is_sorted_by(|a, b| a < b), "{sizes:?}");
    assert_eq!(seen.lock().unwrap().last(), notes.last(), "both have the last one");
    let witnessed = seen.lock().unwrap().clone();
    gateway.start().await;
    proven(&dana, &notes).await;
    proven(&dana, &witnessed).await;
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_replaced_and_the_log_goes_on() {
    let mut gateway = Gateway::started("", "").await;
    let dana = gateway.sign_in("dana").await;
    let old = keys_of(&dana).await.remove(0);
    let before = checkpoint(&dana).await;
    let made = gateway.output(&["ledger", "new-key", "--config"]);
    assert!(made.status.success(), "{made:?}");
    let new: Verifier = String::from_utf8(made.stdout).unwrap().lines().next().unwrap().parse().unwrap();
    // Until the new key has signed, the old one is the only one that opens the log.
    let key_file = gateway.path("data/keys/ledger.key");
    let both = fs::read_to_string(&key_file).unwrap();
    let refused = |gateway: &Gateway, told: &str| {
        let refused = gateway.output(&["ledger", "drop-old-keys", "--config"]);
        let said = String::from_utf8(refused.stderr).unwrap();
        assert!(!refused.status.success() && said.contains(told), "{said}");
        assert_eq!(fs::read_to_string(&key_file).unwrap(), both);
    };
    refused(&gateway, "stop the gateway first");
    gateway.kill();
    refused(&gateway, "start the gateway once, so that the new key signs beside the old one");
    gateway.start().await;
    assert_eq!(keys_of(&dana).await, [new.clone(), old.clone()]);
    let size = open(&before, &old).unwrap().size;
    let both = until("a checkpoint that both signed", || async {
        let note = checkpoint(&dana).await;
        open(&note, &new).is_ok_and(|found| found.size > size).then_some(note)
    })
    .await;
    let export = dana.get("/v1/ledger/export").await.body.as_str().unwrap().to_owned();
    let leaves = || (0_u64..).zip(export.lines()).map(Ok::<_, Infallible>);
    for key in [&old, &new] {
        let earlier = [open(&before, &old).unwrap().tree()];
        verify_from(Edge::new(), leaves(), &open(&both, key).unwrap(), &earlier).unwrap();
    }
    // Who knows the old key only learns the new one from a record that the old key signed.
    let named = |line: &&str| line.contains("start_gateway") && line.contains(&new.to_string());
    assert!(export.lines().any(|line| named(&line)), "{export}");

    stopped(&mut gateway).await;
    let dropped = gateway.output(&["ledger", "drop-old-keys", "--config"]);
    assert!(String::from_utf8(dropped.stdout).unwrap().contains(&old.to_string()));
    gateway.start().await;
    assert_eq!(keys_of(&dana).await, std::slice::from_ref(&new));
    until("a checkpoint that the new key alone signed", || async {
        open(&checkpoint(&dana).await, &old).is_err().then_some(())
    })
    .await;
    verify(leaves(), &open(&both, &new).unwrap()).unwrap();
}

fn prune(gateway: &Gateway, before: &str, archive: &str) -> Output {
    let mut command = guichetd();
    command.args(["ledger", "prune", "--config"]).arg(gateway.path("guichet.toml"));
    command.args(["--before", before, "--archive"]).arg(gateway.path(archive));
    output_of(&mut command)
}

async fn stopped(gateway: &mut Gateway) {
    gateway.ask_to_stop();
    assert!(gateway.ended().await.success());
}

/// How many files and folders there are, each for its user alone.
fn closed_to_others(folder: &Path) -> usize {
    let inside = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let within: usize = inside
        .map(|path| {
            if path.is_dir() {
                return closed_to_others(&path);
            }
            let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{path:?} has mode {mode:o}");
            1
        })
        .sum();
    let mode = fs::metadata(folder).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o700, "{folder:?} has mode {mode:o}");
    within + 1
}

fn ledger_keys(gateway: &Gateway) -> KeySet {
    let seed = fs::read_to_string(gateway.path("data/keys/ledger.key")).unwrap();
    let seed: Vec<u8> =
        (0..32).map(|at| u8::from_str_radix(&seed[at * 2..at * 2 + 2], 16).unwrap()).collect();
    Signer::from_seed("guichet/staging", seed.try_into().unwrap()).unwrap().into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_records_are_archived_and_both_parts_verify() {
    let mut gateway = Gateway::started("", "").await;
    let dana = gateway.sign_in("dana").await;
    for _ in 0..300 {
        dana.get("/v1/session").await;
    }
    let remembered = checkpoint(&dana).await;
    let refused = prune(&gateway, "2100-01-01", "archive");
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && said.contains("stop the gateway first"), "{said}");
    stopped(&mut gateway).await;
    let nothing = prune(&gateway, "2020-01-01", "archive");
    assert!(String::from_utf8(nothing.stdout).unwrap().contains("nothing to prune"));

    // Somebody changed a record: what is not as it was signed is neither archived nor deleted.
    let database = gateway.path("data/guichet.sqlite");
    let edit = |from: &str, to: &str| {
        let connection = rusqlite::Connection::open(&database).unwrap();
        let edit = "UPDATE records SET body = replace(body, ?1, ?2) WHERE log_index = 100";
        assert_eq!(connection.execute(edit, [from, to]).unwrap(), 1);
    };
    edit("\"staging\"", "\"Staging\"");
    let refused = prune(&gateway, "2100-01-01", "changed");
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && said.contains("the ledger was changed"), "{said}");
    edit("\"Staging\"", "\"staging\"");

    // Records that a collector shall have and does not have yet stay.
    gateway.log_records_to("http://127.0.0.1:1");
    let refused = prune(&gateway, "2100-01-01", "archive");
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && said.contains("has taken the records before 0"), "{said}");
    assert!(!gateway.path("archive").exists());
    gateway.write("data/otlp-records.position", "256\n");

    let pruned = prune(&gateway, "2100-01-01", "archive");
    assert!(pruned.status.success(), "{pruned:?}");
    assert!(String::from_utf8(pruned.stdout).unwrap().contains("records 0 to 255 archived in"));
    // The archive alone.
    let keys = ledger_keys(&gateway);
    let folder = gateway.path("archive");
    assert_eq!(archive::verify(&folder, &keys).unwrap(), (0, 256));
    assert!(closed_to_others(&folder) > 5, "files and folders");
    let text = fs::read_to_string(folder.join("records.ndjson")).unwrap();
    assert_eq!(text.lines().count(), 256);
    for changed in
        [text.replacen("who_am_i", "whoami", 1), text.lines().skip(1).collect::<Vec<_>>().join("\n")]
    {
        fs::write(folder.join("records.ndjson"), changed).unwrap();
        archive::verify(&folder, &keys).unwrap_err();
    }
    fs::write(folder.join("records.ndjson"), &text).unwrap();
    archive::verify(&folder, &keys).unwrap();

    // Nothing of what was pruned is left in the data folder, nor in free pages of its files.
    let pruned: Value = serde_json::from_str(text.lines().nth(100).unwrap()).unwrap();
    let trace = pruned["trace_id"].as_str().unwrap().as_bytes();
    for file in fs::read_dir(gateway.path("data")).unwrap().map(|entry| entry.unwrap().path()) {
        let bytes = fs::read(&file).unwrap_or_default();
        assert!(!bytes.windows(trace.len()).any(|window| window == trace), "{file:?}");
    }

    // What is left, by the tiles of what is gone, and against a checkpoint from before.
    let store = SqliteStore::open(&database).unwrap();
    let first = store.first_record().await.unwrap();
    assert_eq!(first, 256);
    let (_, note) = store.latest_checkpoint().await.unwrap().unwrap();
    let leaves = store.leaves(0, 10_000).await.unwrap();
    let mut tiles = std::collections::HashMap::new();
    let edge = loop {
        match Edge::from_tiles(first, &tiles) {
            Err(LedgerError::TileMissing { level, index }) => {
                tiles.insert((level, index), store.tile(level, index).await.unwrap().unwrap());
            }
            edge => break edge.unwrap(),
        }
    };
    let before = keys.open(&remembered).unwrap().tree();
    let leaves = leaves.into_iter().map(Ok::<_, Infallible>);
    let report = verify_from(edge, leaves, &keys.open(&note).unwrap(), &[before]).unwrap();
    assert!(report.size > before.size);
    store.close().await;
    drop(store);

    gateway.start().await;
    let export = dana.get("/v1/ledger/export").await;
    assert_eq!(export.headers["guichet-first-index"], "256");
    let found = dana.get("/v1/records?verb=prune_records").await.body;
    let detail = found["items"][0]["detail"].as_str().unwrap();
    assert!(detail.starts_with("records 0 to 255; archived in"), "{detail}");
    assert_eq!(found["items"].as_array().map(Vec::len), Some(1), "{found}");
    let oldest = dana.all("/v1/records").await;
    assert_eq!(oldest.last().unwrap()["index"], Value::from(256));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_records_leave_a_database_while_gateways_go_on() {
    let cluster = Cluster::start().unwrap();
    let gateway = on_postgres(&cluster, "[limits]\nrequests_per_second = 0\n").await;
    let dana = gateway.sign_in("dana").await;
    // Somebody is always at work, so that the gateway seals beside the prune.
    let stop = CancellationToken::new();
    let at_work = tokio::spawn({
        let (dana, stop) = (dana.clone(), stop.clone());
        async move {
            while !stop.is_cancelled() {
                assert_eq!(dana.get("/v1/session").await.status, 200);
            }
        }
    });
    let key = keys_of(&dana).await.remove(0);
    let sealed = async || open(&checkpoint(&dana).await, &key).unwrap().size;
    let mut seen = 0;
    for number in 0..3 {
        until("records to prune", || async { (sealed().await > seen + 300).then_some(()) }).await;
        let folder = format!("archive-{number}");
        let prune = tokio::task::block_in_place(|| prune(&gateway, "2100-01-01", &folder));
        let said = String::from_utf8(prune.stdout).unwrap();
        assert!(prune.status.success(), "{said} {:?}", String::from_utf8(prune.stderr));
        assert!(said.contains("and pruned"), "{said}");
        archive::verify(&gateway.path(&folder), &ledger_keys(&gateway)).unwrap();
        seen = sealed().await;
    }
    stop.cancel();
    at_work.await.unwrap();
    let export = dana.get("/v1/ledger/export").await;
    let first: u64 = export.headers["guichet-first-index"].to_str().unwrap().parse().unwrap();
    assert!(first >= 768 && first.is_multiple_of(256), "{first}");
    let found = dana.get("/v1/records?verb=prune_records").await.body;
    // Each prune took the record of the one before along.
    assert_eq!(found["items"].as_array().map(Vec::len), Some(1), "{found}");
    assert!(found["items"][0]["detail"].as_str().unwrap().contains("archive-2"), "{found}");

    // Whoever cannot reach the database is not told to stop a gateway.
    cluster.stop().unwrap();
    let refused = tokio::task::block_in_place(|| prune(&gateway, "2100-01-01", "late"));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && said.contains("cannot be reached"), "{said}");
    assert!(!said.contains("stop the gateway"), "{said}");
}
