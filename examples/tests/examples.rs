//! Every example is read as the gateway reads it, and called through its router.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use guichet_contract::{Action, openapi};
use guichet_provider_sdk::{
    Principal, Provider,
    bench::{Bench, LongRun},
};
use serde_json::json;

macro_rules! example {
    ($name:ident, $file:literal) => {
        #[allow(dead_code, reason = "`main` of the example is not called here")]
        #[path = $file]
        mod $name;
    };
}
example!(smallest, "../examples/01_smallest_provider.rs");
example!(approval, "../examples/02_needs_approval.rs");
example!(reads, "../examples/03_read_with_table.rs");
example!(long, "../examples/04_long_run.rs");
example!(registers, "../examples/05_registers_itself.rs");

fn actions(name: &str, provider: &Provider) -> Vec<Action> {
    provider.check().unwrap();
    let reading = openapi::read(name, &provider.document(), openapi::Strictness::Strict).unwrap();
    assert_eq!(reading.warnings, []);
    reading.actions
}

#[tokio::test]
async fn the_smallest_provider() {
    let actions = actions("greeter", &smallest::greeter());
    assert_eq!(actions[0].command, ["greeter", "say-hello"]);
    assert_eq!(actions[0].input["properties"]["name"]["description"], "Whom to greet.");
    let bench = Bench::new(smallest::greeter()).unwrap().acting_as(Principal::person("grace"));
    let greeting = bench.call("say-hello", json!({"name": "Ada", "times": 2})).await.unwrap();
    assert_eq!(greeting, json!({"text": "Hello, Ada! Hello, Ada!", "asked_by": "grace"}));
    assert_eq!(bench.call("say-hello", json!({"name": "Ada", "times": 11})).await.unwrap_err().status, 422);
}

#[tokio::test]
async fn one_that_registers_itself() {
    let actions = actions("my-service", &registers::my_service());
    assert_eq!(actions[0].approval.as_ref().unwrap().by.to_string(), "team:my-team");
    let bench = Bench::new(registers::my_service()).unwrap().acting_as(Principal::person("grace"));
    assert_eq!(bench.action("my-action-name").unwrap(), actions[0]);
    assert_eq!(bench.action("none").unwrap_err().code, "unknown-action");
    let result = bench.call("my-action-name", json!({"foo": "bar"})).await.unwrap();
    assert_eq!(result, json!({"letters": 3, "asked_by": "grace"}));
    assert_eq!(bench.call("my-action-name", json!({"foo": ""})).await.unwrap_err().status, 409);
    // The walk shows this very program.
    let (_, program) = include_str!("../examples/05_registers_itself.rs").split_once("\n\n").unwrap();
    let walk = include_str!("../../walks/add-a-provider.md");
    assert!(
        walk.contains(&program.replace("pub(crate) fn", "fn")),
        "walks/add-a-provider.md shows another program"
    );
}

#[tokio::test]
async fn an_action_that_needs_approval() {
    let actions = actions("caches", &approval::caches());
    assert_eq!(actions[0].approval.as_ref().unwrap().by.to_string(), "team:pricing");
    assert!(actions[0].plan);
    let bench = Bench::new(approval::caches()).unwrap();
    let input = json!({"cache": "prices"});
    let plan = bench.plan("flush", input.clone()).await.unwrap();
    assert_eq!(plan.sentence, "Empty cache 'prices'");
    assert_eq!(bench.perform("flush", input.clone(), Some(&plan)).await.unwrap(), json!(12_000));
    let stale = plan.bound_to(6);
    assert_eq!(bench.perform("flush", input, Some(&stale)).await.unwrap_err().status, 409);
}

#[tokio::test]
async fn a_read_with_a_table() {
    let actions = actions("queues", &reads::queues());
    assert_eq!(actions[0].view.as_ref().unwrap().row_actions, ["pause"]);
    assert_eq!(actions[1].options["name"].operation, "list");
    let bench = Bench::new(reads::queues()).unwrap();
    assert_eq!(bench.call("list", json!({})).await.unwrap()["queues"][1]["waiting"], 1_200);
    assert_eq!(bench.call("pause", json!({"name": "mail"})).await.unwrap(), json!(null));
}

#[tokio::test]
async fn a_long_run() {
    let actions = actions("buckets", &long::buckets());
    assert!(actions[0].long && actions[0].resumable && actions[0].remembers);
    let mut run = LongRun::new("move-bucket", json!({"bucket": "invoices", "region": "eu"}));
    // Each call goes to a process that never heard of the run.
    let outcome = loop {
        match run.call(&Bench::new(long::buckets()).unwrap()).await.unwrap().unwrap() {
            outcome if outcome["status"] == "noted" => {}
            outcome => break outcome,
        }
    };
    assert_eq!(outcome["result"], json!({"from": "invoices", "to": "invoices-eu", "objects": 600}));
    assert_eq!(
        run.done(),
        ["create the bucket", "copy part 1", "copy part 2", "copy part 3", "delete the old bucket"]
    );
    let mut locked = LongRun::new("move-bucket", json!({"bucket": "locked", "region": "eu"}));
    let outcome = locked.to_its_end(&Bench::new(long::buckets()).unwrap()).await.unwrap();
    assert_eq!((&outcome["status"], &outcome["problem"]["status"]), (&json!("failed"), &json!(409)));
    assert!(locked.done().contains(&"undo create the bucket"));
}
