//! The network between gateways and their PostgreSQL: connections that lead nowhere, long ways, cuts at any moment.

use std::time::Duration;

use guichet_testkit::Dice;
use guichet_throwaway_postgres::Cluster;
use reqwest::Method;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::{
    gateway::{Gateway, until, until_within},
    person::Person,
    proof::{checkpoint, proven, told},
    replica::{Replica, database},
    torture::{Load, workshop},
    wire::{Way, Weather, Wire},
};

/// How long connections that lead nowhere may take to be found out and replaced, with all that waits on the way.
const FOUND_OUT: Duration = Duration::from_secs(100);
/// How long the database's network is tortured.
const TORTURED: Duration = Duration::from_secs(20);

/// Two gateways on one database, each with a wire of its own to it.
struct Wired {
    gateway: Gateway,
    replica: Replica,
    wires: [Wire; 2],
    /// Dropped last.
    _cluster: Cluster,
}

async fn wired(tables: &str) -> Wired {
    let cluster = Cluster::start().unwrap();
    let wires = [Wire::before(cluster.port()).await, Wire::before(cluster.port()).await];
    let mut gateway = Gateway::prepared("", "").await;
    let port = |port: u16| format!(":{port}/guichet");
    let store = database(&cluster, &gateway).replace(&port(cluster.port()), &port(wires[0].port()));
    gateway.with_tables(&format!("{store}{tables}"));
    gateway.start().await;
    let replica = Replica::with(&gateway, &port(wires[0].port()), &port(wires[1].port())).await;
    Wired { gateway, replica, wires, _cluster: cluster }
}

/// Asks for a change of what has this name, with it as key, until it is accepted.
async fn insists(person: &Person, key: &str) -> String {
    let body = json!({"input": {"name": key}, "reason": "a test"});
    let path = "/v1/actions/things.change-item/runs";
    until_within(FOUND_OUT, "an answer", || async {
        // Who gets none asks again.
        let answer = person.call(Method::POST, path, Some(&body), &[("idempotency-key", key)]).await.ok()?;
        assert!(matches!(answer.status.as_u16(), 200 | 202 | 503), "{}", answer.body);
        (answer.status != 503).then(|| answer.id())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_the_database_does_not_hear_says_so_and_the_other_goes_on() {
    let Wired { gateway, replica, wires, _cluster } = wired("").await;
    let dana = gateway.sign_in("dana").await;
    let there = dana.at(&replica.address);
    let before = checkpoint(&dana).await;
    // Whichever takes them: some are at the one that is about to be cut off.
    let mut busy = Vec::new();
    for number in 0..16 {
        let input = json!({"name": format!("busy-{number}"), "milliseconds": 3_000});
        busy.push(there.submitted("things.slow-change", input).await);
    }
    until("all calls", || async {
        busy.iter().all(|run| gateway.providers.calls.of(run) == 1).then_some(())
    })
    .await;

    wires[1].set(Weather::Silent);
    until("it tells", || async { (!there.is_ready().await).then_some(()) }).await;
    assert!(dana.is_ready().await, "the other one is well");
    // In the midst of what it was, the silent one holds no locks for long.
    for number in 0..5 {
        let run = dana.submitted("things.change-item", json!({"name": format!("meanwhile-{number}")})).await;
        assert_eq!(dana.end_of(&run).await["state"], "succeeded");
        assert_eq!(gateway.providers.calls.of(&run), 1);
    }
    let unheard = json!({"input": {"name": "unheard"}, "reason": "a test"});
    let refused = there.call(
        Method::POST,
        "/v1/actions/things.change-item/runs",
        Some(&unheard),
        &[("idempotency-key", "unheard")],
    );
    if let Ok(refused) = refused.await {
        assert_eq!((refused.status.as_u16(), refused.code()), (503, "store-unavailable"), "{}", refused.body);
    }
    // What it was performing is found when its leases have run out; the provider says what became of it.
    for (number, run) in busy.iter().enumerate() {
        assert_eq!(dana.end_at_last(run, FOUND_OUT).await, "succeeded", "busy-{number}");
    }

    wires[1].set(Weather::Fair);
    until_within(FOUND_OUT, "it comes back by itself", || async { there.is_ready().await.then_some(()) })
        .await;
    let run = there.submitted("things.change-item", json!({"name": "after"})).await;
    assert_eq!(there.end_of(&run).await["state"], "succeeded");
    // The same key again: what was not answered was done once, or not at all before.
    let again = insists(&there, "unheard").await;
    assert_eq!(dana.end_of(&again).await["state"], "succeeded");
    assert_eq!(gateway.providers.effects.count("unheard"), 1);
    let records = proven(&there, &[before]).await;
    for (number, run) in busy.iter().enumerate() {
        assert_eq!(gateway.providers.calls.of(run), 1, "never called again");
        assert_eq!(gateway.providers.effects.count(&format!("busy-{number}")), 1);
        assert_eq!(told(&records, run, "execute_run"), 1);
        assert_eq!(dana.state(run).await, "succeeded", "what came late changed nothing");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_lead_nowhere_are_replaced_though_nobody_closes_them() {
    let Wired { gateway, replica, wires, _cluster } = wired("").await;
    let dana = gateway.sign_in("dana").await;
    let there = dana.at(&replica.address);
    let run = there.submitted("things.change-item", json!({"name": "before"})).await;
    there.end_of(&run).await;

    wires[1].lose();
    until_within(FOUND_OUT, "it writes again", || async { there.is_ready().await.then_some(()) }).await;
    let run = insists(&there, "after").await;
    assert_eq!(dana.end_of(&run).await["state"], "succeeded");
    // It hears what the other one does: who follows a run here learns of its end there.
    let waiting = dana.submit("things.destroy-item", json!({"name": "b"})).await;
    let id = waiting.id();
    let omar = gateway.sign_in("omar").await;
    let following = tokio::spawn({
        let (there, id) = (there.clone(), id.clone());
        async move { there.end_of(&id).await }
    });
    sleep(Duration::from_millis(300)).await;
    let path = format!("/v1/runs/{id}/approve");
    assert_eq!(omar.post(&path, json!({"binding": waiting.body["binding"]})).await.status, 200);
    assert_eq!(following.await.unwrap()["state"], "succeeded");
    assert_eq!(gateway.providers.effects.count("after"), 1);
    proven(&there, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_way_to_the_database_makes_nothing_wrong() {
    let Wired { gateway, replica, wires, _cluster } = wired("").await;
    let (dana, omar) = (gateway.sign_in("dana").await, gateway.sign_in("omar").await);
    let there = dana.at(&replica.address);
    for wire in &wires {
        wire.set(Weather::Slow { milliseconds: 200, jitter: 50 });
    }
    let changes: Vec<_> = (0..6)
        .map(|number| {
            let person = if number % 2 == 0 { dana.clone() } else { there.clone() };
            tokio::spawn(async move {
                let key = format!("far-{number}");
                let (one, two) = tokio::join!(insists(&person, &key), insists(&person, &key));
                assert_eq!(one, two, "one key, one run");
                assert_eq!(person.end_at_last(&one, FOUND_OUT).await, "succeeded");
                one
            })
        })
        .collect();
    let mut runs = Vec::new();
    for change in changes {
        runs.push(change.await.unwrap());
    }
    let waiting = there.submit("things.destroy-item", json!({"name": "far"})).await;
    let path = format!("/v1/runs/{}/approve", waiting.id());
    let approved = omar.post(&path, json!({"binding": waiting.body["binding"]})).await;
    assert_eq!(approved.status, 200, "{}", approved.body);
    assert_eq!(there.end_at_last(&waiting.id(), FOUND_OUT).await, "succeeded");
    runs.push(waiting.id());
    assert!(dana.is_ready().await && there.is_ready().await, "slow, and ready");
    for wire in &wires {
        wire.set(Weather::Fair);
    }
    let records = proven(&dana, &[]).await;
    for run in &runs {
        assert_eq!(gateway.providers.calls.of(run), 1);
        assert_eq!(told(&records, run, "record_outcome"), 1);
    }
    for number in 0..6 {
        assert_eq!(gateway.providers.effects.count(&format!("far-{number}")), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_at_any_moment_it_loses_nothing_and_does_nothing_twice() {
    let mut workshop = workshop::unborn();
    let Wired { gateway, replica, wires, _cluster } = wired(&workshop.table()).await;
    workshop.believe(&gateway).await;
    workshop.start();
    let addresses = vec![gateway.address().clone(), replica.address.clone()];
    let load = Load::begin(&gateway, addresses).await;
    let dana = gateway.sign_in("dana").await;
    until("the first runs", || async { (load.accepted() > 20).then_some(()) }).await;
    let before = checkpoint(&dana).await;

    let mut chance = Dice::of_the_moment(3);
    let (mut faults, began) = (0, Instant::now());
    while began.elapsed() < TORTURED {
        sleep(Duration::from_millis(chance.below(600))).await;
        let wire = &wires[usize::from(chance.below(2) == 0)];
        match chance.below(8) {
            0 => wire.end(Way::There),
            1 => wire.end(Way::Back),
            2 => {
                wire.set(Weather::Silent);
                sleep(Duration::from_millis(chance.below(1_500))).await;
                if chance.below(2) == 0 {
                    wire.cut();
                }
                wire.set(Weather::Fair);
            }
            3 => {
                wire.set(Weather::Refusing);
                wire.cut();
                sleep(Duration::from_millis(chance.below(1_000))).await;
                wire.set(Weather::Fair);
            }
            4 => {
                wire.set(Weather::Slow { milliseconds: 20, jitter: 100 });
                sleep(Duration::from_millis(chance.below(500))).await;
                wire.cut();
                wire.set(Weather::Fair);
            }
            _ => wire.cut(),
        }
        faults += 1;
    }
    println!("{faults} faults of the network");
    // On a slow machine cuts come faster than runs end.
    load.ends(&workshop, &[before], faults / 4).await;
}
