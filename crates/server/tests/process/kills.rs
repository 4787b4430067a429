//! `kill -9` in each state of a run, and a new start on the same folder: what was accepted is there, what is known is
//! said, and nothing is done twice.

use serde_json::{Value, json};

use crate::{
    gateway::{Gateway, until},
    person::Person,
    proof::{checkpoint, proven, told},
};

async fn reaches(person: &Person, run: &str, state: &str) -> Value {
    until(state, || async {
        let now = person.run(run).await;
        (now["state"] == state).then_some(now)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_waits_for_people_waits_on_and_is_done_once_when_they_say_yes() {
    let mut gateway = Gateway::started("", "").await;
    let (dana, omar) = (gateway.sign_in("dana").await, gateway.sign_in("omar").await);
    let run = dana.submit("things.destroy-item", json!({"name": "a"})).await;
    let id = run.id();
    let before = checkpoint(&dana).await;
    gateway.kill_and_start().await;
    let after = dana.run(&id).await;
    assert_eq!(after, run.body, "it is as it was, and so is dana's session");
    assert_eq!(after["state"], "awaiting_approval");
    assert_eq!(omar.get("/v1/approvals?mine=true").await.body["items"][0]["id"], id);
    let approved =
        omar.post(&format!("/v1/runs/{id}/approve"), json!({"binding": run.body["binding"]})).await;
    assert_eq!(approved.status, 200, "{}", approved.body);
    assert_eq!(dana.end_of(&id).await["state"], "succeeded");
    gateway.kill_and_start().await;
    assert_eq!(dana.state(&id).await, "succeeded");
    assert_eq!((gateway.providers.effects.count("a"), gateway.providers.calls.of(&id)), (1, 1));
    let records = proven(&dana, &[before]).await;
    for verb in ["submit_run", "approve_run", "execute_run", "record_outcome"] {
        assert_eq!(told(&records, &id, verb), 1, "{verb}: {records:#?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queued_run_is_performed_once_after_the_start() {
    let mut gateway = Gateway::started("", "[limits]\nruns_at_once = 1").await;
    let dana = gateway.sign_in("dana").await;
    let ahead = dana.submitted("things.slow-change", json!({"name": "ahead", "milliseconds": 30_000})).await;
    reaches(&dana, &ahead, "running").await;
    let queued = dana.submitted("things.change-item", json!({"name": "queued"})).await;
    let another = dana.submitted("things.change-item", json!({"name": "another"})).await;
    assert_eq!(dana.state(&queued).await, "queued", "one at a time");
    assert_eq!(gateway.providers.calls.of(&queued), 0);
    gateway.kill_and_start().await;
    for (run, item) in [(&queued, "queued"), (&another, "another")] {
        let ended = dana.end_of(run).await;
        assert_eq!(ended["state"], "succeeded", "{ended}");
        assert_eq!((gateway.providers.effects.count(item), gateway.providers.calls.of(run)), (1, 1));
    }
    assert_eq!(dana.end_of(&ahead).await["state"], "unknown");
    let records = proven(&dana, &[]).await;
    assert_eq!((told(&records, &queued, "execute_run"), told(&records, &queued, "record_outcome")), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_run_is_unknown_and_asked_after_and_never_called_again() {
    let mut gateway = Gateway::started("", "").await;
    let dana = gateway.sign_in("dana").await;
    let run = dana.submitted("things.slow-change", json!({"name": "a", "milliseconds": 1_000})).await;
    until("the call", || async { (gateway.providers.calls.of(&run) == 1).then_some(()) }).await;
    gateway.kill_and_start().await;
    let ended = dana.end_of(&run).await;
    assert_eq!(ended["state"], "unknown", "{ended}");
    assert_eq!(ended["outcome"]["problem"]["code"], "gateway-stopped");
    assert!(ended["outcome"]["problem"]["next"].as_str().unwrap().contains("may have been done"), "{ended}");
    // Its provider is asked, which knows: also when the gateway is killed once more before it could ask.
    gateway.kill_and_start().await;
    let settled = reaches(&dana, &run, "succeeded").await;
    assert_eq!(settled["outcome"]["result"], json!({"done": "a"}));
    assert_eq!((gateway.providers.calls.of(&run), gateway.providers.effects.count("a")), (1, 1));
    let records = proven(&dana, &[]).await;
    for verb in ["execute_run", "record_outcome", "reconcile_run"] {
        assert_eq!(told(&records, &run, verb), 1, "{verb}");
    }
    assert!(records.iter().any(|record| record["run"] == run.as_str() && record["verdict"] == "unknown"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resumable_run_goes_on_after_its_last_step() {
    let mut gateway = Gateway::started("", "").await;
    let dana = gateway.sign_in("dana").await;
    let build = json!({"name": "a", "steps": 5, "step_milliseconds": 400});
    let run = dana.submitted("builder.build", build).await;
    let builder = gateway.providers.builder.clone();
    for done in [1, 3] {
        until("a step", || async { (builder.done().len() >= done).then_some(()) }).await;
        gateway.kill_and_start().await;
        assert_eq!(dana.state(&run).await, "running");
    }
    let ended = dana.end_of(&run).await;
    assert_eq!(ended["state"], "succeeded", "{ended}");
    assert_eq!(builder.done(), ["a 1", "a 2", "a 3", "a 4", "a 5"], "each once");
    let records = proven(&dana, &[]).await;
    assert_eq!((told(&records, &run, "execute_run"), told(&records, &run, "record_outcome")), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_outlives_the_gateway_that_took_it() {
    let mut gateway = Gateway::started("", "").await;
    let dana = gateway.sign_in("dana").await;
    let build = json!({"name": "a", "steps": 9, "step_milliseconds": 700});
    let run = dana.submitted("builder.build", build).await;
    let builder = gateway.providers.builder.clone();
    until("a step", || async { (!builder.done().is_empty()).then_some(()) }).await;
    let asked = dana.post(&format!("/v1/runs/{run}/cancel"), json!({"reason": "the wrong one"})).await;
    assert_eq!(asked.status, 200, "{}", asked.body);
    gateway.kill_and_start().await;
    let ended = dana.end_of(&run).await;
    assert_eq!(ended["state"], "cancelled", "{ended}");
    assert_eq!(builder.done().last().map(String::as_str), Some("undo a 1"), "{:?}", builder.done());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_final_state_stays() {
    let mut gateway = Gateway::started("", "").await;
    let (dana, omar) = (gateway.sign_in("dana").await, gateway.sign_in("omar").await);
    let waiting = async |name: &str| dana.submitted("things.destroy-item", json!({"name": name})).await;
    let expired = waiting("short").await;
    let succeeded = dana.submitted("things.change-item", json!({"name": "a"})).await;
    let failed = dana.submitted("things.fail-item", json!({"name": "b"})).await;
    let (cancelled, rejected, voided) = (waiting("c").await, waiting("d").await, waiting("e").await);
    dana.post(&format!("/v1/runs/{cancelled}/cancel"), json!({"reason": "not needed"})).await;
    omar.post(&format!("/v1/runs/{rejected}/reject"), json!({"reason": "not on a Friday"})).await;
    gateway.providers.effects.touch("e");
    omar.post(&format!("/v1/runs/{voided}/approve"), json!({})).await;
    let mut before = Vec::new();
    for (run, state) in [
        (succeeded, "succeeded"),
        (failed, "failed"),
        (cancelled, "cancelled"),
        (rejected, "rejected"),
        (voided, "voided"),
        (expired, "expired"),
    ] {
        let ended = dana.end_of(&run).await;
        assert_eq!(ended["state"], state, "{ended}");
        before.push((run, ended));
    }
    gateway.kill_and_start().await;
    // Whatever a start takes up, it has taken up by the time a new run is through.
    let new = dana.submitted("things.change-item", json!({"name": "new"})).await;
    dana.end_of(&new).await;
    for (run, ended) in &before {
        assert_eq!(&dana.run(run).await, ended);
    }
    let counts = ["a", "b", "c", "d", "e", "short", "new"].map(|item| gateway.providers.effects.count(item));
    assert_eq!(counts, [1, 0, 0, 0, 0, 0, 1]);
    let records = proven(&dana, &[]).await;
    assert!(before.iter().all(|(run, _)| told(&records, run, "submit_run") == 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sensitive_is_in_no_log_and_in_no_record() {
    use crate::gateway::SECRET;
    let mut gateway = Gateway::started("", "").await;
    let dana = gateway.sign_in("dana").await;
    let secret = dana.submitted("vault.put-secret", json!({"place": "p", "value": SECRET})).await;
    let letter = dana.submitted("vault.put-letter", json!({"text": SECRET})).await;
    for run in [&secret, &letter] {
        let ended = dana.end_of(run).await;
        assert_eq!(ended["state"], "succeeded", "{ended}");
        assert_eq!(ended["outcome"]["result"]["length"], SECRET.len(), "the provider had the true one");
    }
    // What is refused is logged and recorded too.
    for input in [
        json!({"place": 7, "value": SECRET}),
        json!({"place": "p", "value": [SECRET]}),
        json!({"vlaue": SECRET}),
    ] {
        assert_eq!(dana.submit("vault.put-secret", input).await.status, 422);
    }
    let eve = gateway.sign_in("eve").await;
    assert_eq!(eve.submit("vault.put-letter", json!({"text": SECRET})).await.status, 403);
    let wrong = gateway.nobody().post("/v1/session", json!({"user": "dana", "password": SECRET})).await;
    assert_eq!((wrong.status.as_u16(), wrong.code()), (401, "invalid-credentials"));
    gateway.kill_and_start().await;
    let records = proven(&dana, &[]).await;
    assert!(!format!("{records:?}").contains(SECRET), "{records:#?}");
    let shown = dana.all("/v1/runs").await;
    assert!(!format!("{shown:?}").contains(SECRET), "{shown:#?}");
    let token =
        dana.post("/v1/tokens", json!({"name": "ci", "expires_in_seconds": 3600, "scopes": []})).await;
    assert_eq!(token.status, 201, "{}", token.body);
    // The log itself is read when the gateway is dropped.
}
