//! Policies, registry and people change while it runs; what is wrong changes nothing and is told.

use serde_json::json;

use crate::{
    gateway::{Gateway, until},
    rules::POLICY,
};

const FROZEN: &str = r#"@id("frozen") @description("a is frozen") @next("ask ops")
forbid (principal, action in Action::"change", resource == Resource::"things/a");
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_policy_keeps_the_old_ones_and_a_good_one_takes_effect() {
    let gateway = Gateway::started("", "").await;
    let dana = gateway.sign_in("dana").await;
    let change = async || dana.submit("things.change-item", json!({"name": "a"})).await;
    assert_eq!(change().await.status, 202);

    gateway.write("policy/rules.cedar", &POLICY.replace("Team::\"developers\"", "Team::\"developpers\""));
    let line = gateway.logged(&["what was in force stays in force"]).await;
    assert_eq!(line["level"], "ERROR", "{line}");
    let fault = line["fault"].as_str().unwrap();
    assert!(fault.contains("rules.cedar:4:") && fault.contains("developers"), "{fault}");
    assert_eq!(change().await.status, 202, "as before");

    gateway.write("policy/rules.cedar", &format!("{POLICY}{FROZEN}"));
    let refused = until("the refusal", || async {
        let answer = change().await;
        (answer.status != 202).then_some(answer)
    })
    .await;
    assert_eq!((refused.status.as_u16(), refused.code()), (403, "refused"));
    assert_eq!(refused.body["policies"], json!(["frozen"]));

    gateway.write("registry/registry.yaml", "teams: [}");
    gateway.logged(&["registry.yaml:1:", "stays in force"]).await;
    assert_eq!(change().await.code(), "refused", "still the last good ones");
    let records = dana.all("/v1/records?verb=reload_settings").await;
    let verdicts: Vec<_> = records.iter().rev().map(|record| record["verdict"].as_str().unwrap()).collect();
    assert_eq!(verdicts, ["failed", "allowed", "failed"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_no_longer_in_the_configuration_is_out_at_once() {
    let gateway = Gateway::started("", "").await;
    let (dana, eve) = (gateway.sign_in("dana").await, gateway.sign_in("eve").await);
    gateway.write("guichet.toml", "environment = \"staging\"\n[usr]\n");
    let line = gateway.logged(&["the old one stays in force"]).await;
    assert!(line["fault"].as_str().unwrap().contains("guichet.toml:2:2: unknown field `usr`"), "{line}");
    assert_eq!(dana.get("/v1/session").await.status, 200, "a broken file puts nobody out");

    gateway.configure(&["omar", "eve"]);
    let out = until("the end of the session", || async {
        let answer = dana.get("/v1/session").await;
        (answer.status != 200).then_some(answer)
    })
    .await;
    assert_eq!((out.status.as_u16(), out.code()), (401, "invalid-credentials"), "{}", out.body);
    assert_eq!(dana.submit("things.change-item", json!({"name": "a"})).await.status, 401);
    assert_eq!(eve.get("/v1/session").await.status, 200);
    assert_eq!(gateway.providers.effects.count("a"), 0);

    let text = std::fs::read_to_string(gateway.path("guichet.toml")).unwrap();
    gateway.write("guichet.toml", &format!("{text}[limits]\nruns_at_once = 1\n"));
    let warned = "take effect at the next start";
    gateway
        .logged(&[
            "review_seconds, limits, telemetry, ledger, registration and providers that are built in",
            warned,
        ])
        .await;
    // What is not taken over is told of each.
    let warnings = || gateway.log().lines().filter(|line| line.contains(warned)).count();
    let before = warnings();
    gateway.write("guichet.toml", &format!("{text}[approval]\nreview_seconds = 60\n"));
    until("another warning", || async { (warnings() > before).then_some(()) }).await;
}
