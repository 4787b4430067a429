//! The provider against a real PostgreSQL, as the role that its README asks for.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{process::Command, sync::LazyLock, time::Duration};

use guichet_contract::openapi::{self, Strictness};
use guichet_provider_postgres::{Settings, provider};
use guichet_provider_sdk::bench::Bench;
use guichet_throwaway_postgres::Cluster;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Error, NoTls, error::SqlState};

/// One cluster for all tests; its janitor removes it when this process ends.
static CLUSTER: LazyLock<Cluster> = LazyLock::new(|| {
    let cluster = Cluster::start().unwrap();
    cluster.role("guichet", "IN ROLE pg_monitor, pg_signal_backend CONNECTION LIMIT 40").unwrap();
    cluster.role("shop_app", "").unwrap();
    cluster.sql("CREATE TABLE stock (id int PRIMARY KEY, n int); GRANT ALL ON stock TO shop_app").unwrap();
    cluster.sql("INSERT INTO stock SELECT i, 0 FROM generate_series(1, 100) i").unwrap();
    cluster
});

fn bench_with(toml: &str) -> Bench {
    Bench::new(provider(&Settings::from_toml(toml).unwrap()).unwrap()).unwrap()
}

fn bench_as(role: &str) -> Bench {
    bench_with(&format!("[[instance]]\nidentifier = 'shop'\ntitle = 'Shop'\nurl = '{}'", CLUSTER.url(role)))
}

fn bench() -> Bench {
    bench_as("guichet")
}

/// A client's session.
struct Session {
    client: std::sync::Arc<Client>,
    pid: i32,
}

async fn session_as(role: &str, application: &str) -> Session {
    let url = CLUSTER.url(role);
    let mut config: tokio_postgres::Config = url.parse().unwrap();
    let (client, connection) = config.application_name(application).connect(NoTls).await.unwrap();
    drop(tokio::spawn(connection));
    let pid = client.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
    Session { client: client.into(), pid }
}

async fn session() -> Session {
    session_as("shop_app", "checkout").await
}

impl Session {
    async fn run(&self, sql: &str) {
        self.client.batch_execute(sql).await.unwrap();
    }

    /// Runs beside, and comes back when the server runs it.
    async fn begin(&self, sql: &'static str) -> JoinHandle<Result<(), Error>> {
        let client = std::sync::Arc::clone(&self.client);
        let running = tokio::spawn(async move { client.batch_execute(sql).await });
        self.until(&format!("state = 'active' AND query = '{}'", sql.replace('\'', "''"))).await;
        running
    }

    async fn until(&self, condition: &str) {
        until(&format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {} AND {condition}", self.pid))
            .await;
    }
}

/// Waits until this counts one.
async fn until(sql: &str) {
    for _ in 0..500 {
        if CLUSTER.sql(sql).unwrap() == "1" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {sql}");
}

fn is_cancelled(ended: &Result<(), Error>) -> bool {
    ended.as_ref().is_err_and(|error| error.code() == Some(&SqlState::QUERY_CANCELED))
}

fn row(rows: &Value, pid: i32) -> &Value {
    rows.as_array()
        .unwrap()
        .iter()
        .find(|row| row["pid"] == pid)
        .unwrap_or_else(|| panic!("{pid} is not in {rows}"))
}

const SLEEP: &str = "select pg_sleep(600)";

#[test]
fn the_gateway_reads_the_document() {
    let provider = provider(&Settings::default()).unwrap();
    provider.check().unwrap();
    let reading = openapi::read("postgres", &provider.document(), Strictness::Strict).unwrap();
    assert_eq!(reading.warnings, []);
    let commands: Vec<String> = reading.actions.iter().map(|action| action.command.join(" ")).collect();
    assert_eq!(
        commands,
        [
            "rds instances list",
            "rds activity",
            "rds slow-queries",
            "rds locks",
            "rds long-transactions",
            "rds replication-lag",
            "rds cancel-query",
            "rds terminate-backend",
        ]
    );
    let terminate = reading.actions.iter().find(|action| action.operation == "terminate-backend").unwrap();
    assert_eq!(terminate.approval.as_ref().unwrap().by.to_string(), "owner");
    assert_eq!(terminate.options["pid"].with["identifier"], "identifier");
}

#[tokio::test]
async fn the_tree_shows_who_blocks_whom() {
    let (root, middle, leaf, other) = (session().await, session().await, session().await, session().await);
    root.run("BEGIN; UPDATE stock SET n = 1 WHERE id = 1").await;
    let _other = other.begin(SLEEP).await;
    middle.run("BEGIN; UPDATE stock SET n = 1 WHERE id = 2").await;
    let _waits = middle.begin("UPDATE stock SET n = 2 WHERE id = 1").await;
    middle.until("wait_event_type = 'Lock'").await;
    let _waits = leaf.begin("UPDATE stock\n  SET n = 2 WHERE id = 2").await;
    leaf.until("wait_event_type = 'Lock'").await;

    let activity = bench().call("list-activity", json!({"identifier": "shop"})).await.unwrap();
    let rows = activity["sessions"].as_array().unwrap();
    let at = |pid: i32| rows.iter().position(|row| row["pid"] == pid).unwrap();
    let start = at(root.pid);
    assert_eq!((at(middle.pid), at(leaf.pid)), (start + 1, start + 2), "{activity:#}");
    assert!(at(other.pid) > at(leaf.pid), "who waits for nobody and blocks nobody comes after");
    let told = |pid: i32| {
        let row = &rows[at(pid)];
        (row["depth"].clone(), row["blocks"].clone(), row["blocked_by"].clone())
    };
    assert_eq!(told(root.pid), (json!(0), json!(2), json!([])));
    assert_eq!(told(middle.pid), (json!(1), json!(1), json!([root.pid])));
    assert_eq!(told(leaf.pid), (json!(2), json!(0), json!([middle.pid])));
    let leaf_row = &rows[at(leaf.pid)];
    assert_eq!(leaf_row["query"], "UPDATE stock SET n = 2 WHERE id = 2", "on one line");
    assert!(leaf_row["wait"].as_str().unwrap().starts_with("Lock: "));
    assert_eq!(rows[start]["state"], "idle in transaction");
    assert!(rows.iter().all(|row| row["state"] != "idle" && row["kind"] == "client backend"));

    let all = bench().call("list-activity", json!({"identifier": "shop", "all": true})).await.unwrap();
    let kinds: Vec<&str> =
        all["sessions"].as_array().unwrap().iter().filter_map(|row| row["kind"].as_str()).collect();
    assert!(kinds.contains(&"checkpointer"), "{kinds:?}");

    let locks = bench().call("list-locks", json!({"identifier": "shop", "awaited": true})).await.unwrap();
    let locks = locks["locks"].as_array().unwrap();
    assert_eq!(locks[0]["granted"], false);
    assert!(
        locks
            .iter()
            .any(|lock| lock["pid"] == root.pid && lock["granted"] == true && lock["object"] == "stock")
    );
    assert!(locks.iter().all(|lock| lock["pid"] != other.pid));
}

#[tokio::test]
async fn a_prepared_transaction_is_a_root_without_a_session() {
    let (holder, waiter) = (session().await, session().await);
    holder.run("BEGIN; UPDATE stock SET n = 1 WHERE id = 10; PREPARE TRANSACTION 'left-behind'").await;
    let waits = waiter.begin("UPDATE stock SET n = 2 WHERE id = 10").await;
    waiter.until("wait_event_type = 'Lock'").await;
    let activity = bench().call("list-activity", json!({"identifier": "shop"})).await.unwrap();
    let prepared = row(&activity["sessions"], 0);
    assert_eq!((&prepared["depth"], &prepared["blocks"]), (&json!(0), &json!(1)));
    assert!(prepared["query"].as_str().unwrap().contains("left-behind"));
    assert_eq!(row(&activity["sessions"], waiter.pid)["depth"], 1);
    holder.run("ROLLBACK PREPARED 'left-behind'").await;
    waits.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_cancelled_query_ends_and_its_session_stays() {
    let (sleeper, waiter) = (session().await, session().await);
    sleeper.run("BEGIN; UPDATE stock SET n = 1 WHERE id = 20").await;
    let running = sleeper.begin(SLEEP).await;
    let waiting = waiter.begin("UPDATE stock SET n = 2 WHERE id = 20").await;
    waiter.until("wait_event_type = 'Lock'").await;
    let input = json!({"identifier": "shop", "pid": sleeper.pid});
    let bench = bench();
    let plan = bench.plan("cancel-query", input.clone()).await.unwrap();
    assert_eq!(
        plan.sentence,
        format!(
            "Cancel the query of session {} (user shop_app, application checkout) on shop: '{SLEEP}'",
            sleeper.pid
        )
    );
    assert_eq!(plan.resource.as_deref(), Some("postgres/shop/applications/checkout"));
    let fact = |name: &str| plan.facts.iter().find(|fact| fact.name == name).unwrap();
    assert_eq!((&fact("state").value, fact("state").moves), (&json!("active"), false));
    assert_eq!((&fact("query").value, fact("query").moves), (&json!(SLEEP), false));
    assert_eq!((&fact("blocked sessions").value, fact("blocked sessions").moves), (&json!(1), true));
    assert!(fact("who is blocked").value[0].as_str().unwrap().contains(&waiter.pid.to_string()));
    let again = bench.plan("cancel-query", input.clone()).await.unwrap();
    assert_eq!(plan.digest(), again.digest(), "time alone does not change what was approved");

    let result = bench.perform("cancel-query", input, Some(&plan)).await.unwrap();
    assert_eq!(
        (&result["cancelled"], &result["gone"], &result["pid"]),
        (&json!(true), &json!(true), &json!(sleeper.pid))
    );
    assert!(is_cancelled(&running.await.unwrap()));
    sleeper.run("ROLLBACK").await;
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn what_was_not_planned_is_not_stopped() {
    let sleeper = session().await;
    let input = json!({"identifier": "shop", "pid": sleeper.pid});
    let bench = bench();
    let first = sleeper.begin(SLEEP).await;
    let plan = bench.plan("cancel-query", input.clone()).await.unwrap();
    let to_terminate = bench.plan("terminate-backend", input.clone()).await.unwrap();
    CLUSTER.sql(&format!("SELECT pg_cancel_backend({})", sleeper.pid)).unwrap();
    assert!(is_cancelled(&first.await.unwrap()));

    let refused = async |words: &str| {
        for (operation, plan) in [("cancel-query", &plan), ("terminate-backend", &to_terminate)] {
            let problem = bench.perform(operation, input.clone(), Some(plan)).await.unwrap_err();
            assert_eq!(problem.status, 409, "{}", problem.detail);
            assert!(
                problem.detail.contains("no longer runs the query that was planned"),
                "{}",
                problem.detail
            );
            assert!(problem.detail.contains(words), "{words}: {}", problem.detail);
            assert_eq!(problem.next.as_deref(), Some("run the command again to plan anew"));
        }
    };
    refused("is idle").await;
    // The same words again, but another query: only its start tells them apart.
    let second = sleeper.begin(SLEEP).await;
    refused(&format!("runs '{SLEEP}'")).await;
    sleeper.until("state = 'active'").await;
    assert!(!second.is_finished());

    // The same pid, but another backend, as when a pid is used again.
    let mut reused = bench.plan("cancel-query", input.clone()).await.unwrap();
    reused.bound.as_mut().unwrap()["backend_start"] = json!("2020-01-01T00:00:00Z");
    assert_eq!(bench.perform("cancel-query", input.clone(), Some(&reused)).await.unwrap_err().status, 409);
    // A plan for another session.
    let mut other = bench.plan("cancel-query", input.clone()).await.unwrap();
    other.bound.as_mut().unwrap()["pid"] = json!(1);
    assert_eq!(bench.perform("cancel-query", input.clone(), Some(&other)).await.unwrap_err().status, 409);
    assert!(!second.is_finished());

    // Without a plan, what runs now is what is meant.
    assert_eq!(bench.call("cancel-query", input.clone()).await.unwrap()["cancelled"], true);
    assert!(is_cancelled(&second.await.unwrap()));
    let problem = bench.call("cancel-query", input.clone()).await.unwrap_err();
    assert!(
        problem.status == 409 && problem.detail.contains("runs no query to cancel"),
        "{}",
        problem.detail
    );
    drop(sleeper.client);
    until(&format!("SELECT 1 - count(*) FROM pg_stat_activity WHERE pid = {}", sleeper.pid)).await;
    refused("is gone").await;
}

#[tokio::test]
async fn terminating_the_root_frees_who_waits() {
    let (root, waiter) = (session().await, session().await);
    root.run("BEGIN; UPDATE stock SET n = 1 WHERE id = 30").await;
    let waiting = waiter.begin("UPDATE stock SET n = 2 WHERE id = 30").await;
    waiter.until("wait_event_type = 'Lock'").await;
    let input = json!({"identifier": "shop", "pid": root.pid});
    let bench = bench();
    let problem = bench.plan("cancel-query", input.clone()).await.unwrap_err();
    assert!(
        problem.detail.contains("idle in transaction") && problem.next.unwrap().contains("terminate-backend")
    );
    let plan = bench.plan("terminate-backend", input.clone()).await.unwrap();
    assert!(plan.sentence.contains("idle in transaction"), "{}", plan.sentence);
    let result = bench.perform("terminate-backend", input, Some(&plan)).await.unwrap();
    assert_eq!((&result["terminated"], &result["gone"]), (&json!(true), &json!(true)));
    waiting.await.unwrap().unwrap();
    assert!(root.client.batch_execute("SELECT 1").await.is_err());
}

#[tokio::test]
async fn what_must_not_be_stopped_is_refused_in_clear_words() {
    let superuser = session_as("postgres", "psql").await;
    let sleeping = superuser.begin(SLEEP).await;
    let checkpointer: i32 = CLUSTER
        .sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'")
        .unwrap()
        .parse()
        .unwrap();
    let bench = bench();
    // Makes sure that the bench has a session of its own.
    let _ = bench.call("list-instances", json!({})).await.unwrap();
    let sql =
        "SELECT pid FROM pg_stat_activity WHERE usename = 'guichet' AND application_name = 'guichet' LIMIT 1";
    let own: i32 = CLUSTER.sql(sql).unwrap().parse().unwrap();
    for operation in ["cancel-query", "terminate-backend"] {
        for (pid, status, words) in [
            (superuser.pid, 403, "belongs to superuser `postgres`"),
            (checkpointer, 403, "no session of a client (checkpointer)"),
            (own, 403, "Guichet's own"),
            (2_147_483_647, 404, "has no session 2147483647"),
        ] {
            let input = json!({"identifier": "shop", "pid": pid});
            let planned = bench.plan(operation, input.clone()).await.unwrap_err();
            let performed = bench.call(operation, input).await.unwrap_err();
            for problem in [planned, performed] {
                assert_eq!(problem.status, status, "{}", problem.detail);
                assert!(problem.detail.contains(words), "{words}: {}", problem.detail);
            }
        }
        for pid in [
            json!(0),
            json!(-1),
            json!(2_147_483_648_u64),
            json!("1; DROP TABLE stock"),
            json!(1.5),
            json!(null),
        ] {
            let problem = bench.call(operation, json!({"identifier": "shop", "pid": pid})).await.unwrap_err();
            assert_eq!((problem.status, problem.errors[0].pointer.as_str()), (422, "/pid"), "{pid}");
        }
    }
    let problem = bench.call("cancel-query", json!({"identifier": "nowhere", "pid": 1})).await.unwrap_err();
    assert_eq!((problem.status, problem.next.as_deref()), (404, Some("instances: shop")));
    // A plan that someone forged for the superuser's session meets the statement's own conditions.
    let text = CLUSTER
        .sql(&format!("SELECT to_json(a) FROM (SELECT backend_start, query_start FROM pg_stat_activity WHERE pid = {}) a", superuser.pid))
        .unwrap();
    let mut bound: Value = serde_json::from_str(&text).unwrap();
    bound["identifier"] = json!("shop");
    bound["pid"] = json!(superuser.pid);
    bound["state"] = json!("active");
    let forged = guichet_provider_sdk::Plan::new("x").bound_to(bound);
    let input = json!({"identifier": "shop", "pid": superuser.pid});
    assert!(
        bench.perform("cancel-query", input, Some(&forged)).await.unwrap_err().detail.contains("superuser")
    );
    assert!(!sleeping.is_finished());
}

#[tokio::test]
async fn a_role_that_may_too_little_is_told_what_it_needs() {
    CLUSTER.role("only_monitor", "IN ROLE pg_monitor").unwrap();
    CLUSTER.role("nothing", "").unwrap();
    let sleeper = session().await;
    let running = sleeper.begin(SLEEP).await;
    let input = json!({"identifier": "shop", "pid": sleeper.pid});
    let problem = bench_as("only_monitor").call("cancel-query", input.clone()).await.unwrap_err();
    assert!(problem.next.as_ref().is_some_and(|next| next.contains("pg_signal_backend")), "{problem:?}");
    let problem = bench_as("nothing").call("cancel-query", input.clone()).await.unwrap_err();
    assert!(problem.detail.contains("not visible to Guichet's role"), "{}", problem.detail);
    let activity =
        bench_as("nothing").call("list-activity", json!({"identifier": "shop", "all": true})).await.unwrap();
    assert!(activity["note"].as_str().unwrap().contains("grant Guichet's role pg_monitor"));
    assert!(!running.is_finished());
    assert_eq!(bench().call("cancel-query", input).await.unwrap()["gone"], true);
    assert!(is_cancelled(&running.await.unwrap()));
}

#[tokio::test]
async fn a_signal_without_effect_is_told_as_that() {
    let sleeper = session().await;
    let running = sleeper.begin(SLEEP).await;
    // A stopped process stands for one that is in a stretch of work where PostgreSQL does not look for signals.
    let kill = |signal: &str| {
        Command::new("kill").args([signal, &sleeper.pid.to_string()]).status().unwrap().success()
    };
    assert!(kill("-STOP"));
    let result = bench().call("cancel-query", json!({"identifier": "shop", "pid": sleeper.pid})).await;
    assert!(kill("-CONT"));
    let result = result.unwrap();
    assert_eq!(
        (&result["signal_sent"], &result["cancelled"], &result["gone"]),
        (&json!(true), &json!(false), &json!(false))
    );
    assert!(result["note"].as_str().unwrap().contains("has not stopped within 5 s"));
    assert!(is_cancelled(&running.await.unwrap()));
}

#[tokio::test]
async fn instances_are_listed_with_their_replicas_and_those_that_are_down() {
    let replica = CLUSTER.replica().unwrap();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let bench = bench_with(&format!(
        "[[instance]]\nidentifier = 'shop'\nenvironment = 'test'\nurl = '{}'\n\
         [[instance.replica]]\nidentifier = 'shop-replica'\nurl = '{}'\n\
         [[instance]]\nidentifier = 'down'\nurl = 'postgres://guichet:s3cret@127.0.0.1:{closed}/postgres'\n\
         [[instance]]\nidentifier = 'locked'\nurl = 'postgres://guichet:s3cret@127.0.0.1:{}/postgres?sslmode=disable'\n\
         [[instance]]\nidentifier = 'swapped'\nurl = '{}'\n",
        CLUSTER.url("guichet"),
        replica.url("guichet"),
        CLUSTER.port(),
        replica.url("guichet"),
    ));
    let instances = loop {
        let list = bench.call("list-instances", json!({})).await.unwrap();
        if list["instances"][1]["lag_seconds"] == 0.0 {
            break list["instances"].clone();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let told: Vec<_> = instances
        .as_array()
        .unwrap()
        .iter()
        .map(|i| (i["identifier"].as_str().unwrap(), i["role"].as_str().unwrap(), i["up"].as_bool().unwrap()))
        .collect();
    assert_eq!(
        told,
        [
            ("shop", "primary", true),
            ("shop-replica", "replica", true),
            ("down", "primary", false),
            ("locked", "primary", false),
            ("swapped", "primary", true),
        ]
    );
    assert_eq!((&instances[0]["environment"], &instances[0]["in_recovery"]), (&json!("test"), &json!(false)));
    assert_eq!((&instances[1]["replica_of"], &instances[1]["in_recovery"]), (&json!("shop"), &json!(true)));
    assert!(instances[0]["connections_used"].as_i64().unwrap() >= 1 && instances[0]["connections_max"] == 60);
    let note = |at: usize| instances[at]["note"].as_str().unwrap();
    assert!(note(2).contains("cannot be reached") && note(3).contains("28P01"), "{instances:#}");
    assert!(note(4).contains("failover"), "{}", note(4));
    assert!(!instances.to_string().contains("s3cret"));

    let lag = bench.call("show-replication-lag", json!({"identifier": "shop"})).await.unwrap();
    let seen: Vec<_> = lag["copies"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| (c["seen_as"].as_str().unwrap(), c["state"].as_str().unwrap()))
        .collect();
    assert_eq!(seen, [("replica", "streaming"), ("standby", "streaming"), ("slot", "active")], "{lag:#}");

    // A replica that receives nothing has replayed all it has: that is no lag of zero.
    replica.sql("ALTER SYSTEM SET primary_conninfo = ''").unwrap();
    replica.sql("SELECT pg_reload_conf()").unwrap();
    loop {
        let lag = bench.call("show-replication-lag", json!({"identifier": "shop-replica"})).await.unwrap();
        if lag["copies"][0]["state"] == "not receiving" {
            assert_eq!(lag["copies"][0]["lag_seconds"], Value::Null, "{lag:#}");
            assert!(lag["copies"][0]["note"].as_str().unwrap().contains("receives nothing"));
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(bench);
    replica.remove().unwrap();
    CLUSTER
        .sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active")
        .unwrap();
}

#[tokio::test]
async fn slow_queries_are_told_or_how_to_measure_them() {
    let problem = bench().call("list-slow-queries", json!({"identifier": "shop"})).await.unwrap_err();
    assert_eq!(problem.status, 503);
    assert!(problem.next.unwrap().contains("CREATE EXTENSION pg_stat_statements"));
    CLUSTER.sql("CREATE DATABASE measured").unwrap();
    CLUSTER
        .sql_in("measured", "CREATE SCHEMA \"Odd\"; GRANT USAGE ON SCHEMA \"Odd\" TO guichet; CREATE EXTENSION pg_stat_statements SCHEMA \"Odd\"")
        .unwrap();
    CLUSTER.sql_in("measured", "SELECT pg_sleep(0.2), 4711").unwrap();
    let url = CLUSTER.url("guichet").replace("/postgres?", "/measured?");
    let bench = bench_with(&format!("[[instance]]\nidentifier = 'shop'\nurl = '{url}'"));
    let slow = bench
        .call("list-slow-queries", json!({"identifier": "shop", "by": "mean", "limit": 100}))
        .await
        .unwrap();
    let slept = slow["queries"].as_array().unwrap().iter().find(|q| q["query"] == "SELECT pg_sleep($1), $2");
    assert!(slept.unwrap()["mean_ms"].as_f64().unwrap() >= 200.0);
    let few = bench.call("list-slow-queries", json!({"identifier": "shop", "limit": 1})).await.unwrap();
    assert_eq!(few["queries"].as_array().unwrap().len(), 1);
    assert_eq!(
        bench.call("list-slow-queries", json!({"identifier": "shop", "limit": 0})).await.unwrap_err().status,
        422
    );
}

#[tokio::test]
async fn long_transactions_are_found_by_their_age() {
    let open = session().await;
    open.run("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM stock").await;
    let bench = bench();
    let all =
        bench.call("list-long-transactions", json!({"identifier": "shop", "longer_than": 0})).await.unwrap();
    let found = row(&all["transactions"], open.pid);
    assert_eq!((&found["state"], &found["user"]), (&json!("idle in transaction"), &json!("shop_app")));
    assert!(found["holds_back_vacuum_by"].is_i64());
    let old = bench.call("list-long-transactions", json!({"identifier": "shop"})).await.unwrap();
    assert!(old["transactions"].as_array().unwrap().iter().all(|row| row["pid"] != open.pid));
}
