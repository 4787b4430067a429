//! The gateway's own OpenAPI document, tried by Schemathesis: whatever it is sent, it never answers with a 5xx, and never
//! with a status, a type or a body that its document does not tell of, and it refuses what that does not allow.

use std::{fs, path::PathBuf, process::Command, time::Duration};

use guichet_contract::{Clock as _, SystemClock};
use guichet_testkit::patience::output_within;
use jiff::{SignedDuration, tz::TimeZone};
use reqwest::Method;
use serde_json::json;
use tokio::task::spawn_blocking;

use crate::{
    gateway::{Gateway, password_hash},
    person::Person,
};

/// How many inputs each operation gets of each sort.
const EXAMPLES: usize = 20;
/// How long one trial may take; some minutes on a busy machine.
const TRIED_WITHIN: Duration = Duration::from_mins(30);
/// Service accounts register as anything.
const SERVICES: &str = "@id(\"services-register\")
permit (principal is ServiceAccount, action == Action::\"register_instance\", resource);";
/// What is held against the document; also that what it does not allow is refused. Not asked: that all is taken that it allows
/// (a random run id is none that there is).
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
                      response_schema_conformance,negative_data_rejection,unsupported_method,ignored_auth";

/// Where `cargo xtask test` puts it.
fn schemathesis() -> PathBuf {
    let place = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("../schemathesis/bin/schemathesis");
    assert!(place.is_file(), "{} is missing; `cargo xtask test` puts it there", place.display());
    place
}

/// Makes a schedule of this name, far enough away that no run is made of it meanwhile.
async fn schedule(person: &Person, name: &str, action: &str) {
    let day = (SystemClock.now() + SignedDuration::from_hours(24 * 30)).to_zoned(TimeZone::UTC);
    let until = (day.timestamp() + SignedDuration::from_hours(24 * 30)).to_string();
    let body = json!({"name": name, "action": action, "input": {"name": "plate"}, "reason": "a test",
        "expression": format!("0 3 {} {} *", day.day(), day.month()), "until": until});
    let made = person.post("/v1/schedules", body).await;
    assert_eq!(made.status, 201, "{}", made.body);
}

/// What is tried.
struct Trial<'a> {
    gateway: &'a Gateway,
    program: PathBuf,
}

impl Trial<'_> {
    /// Tries operations as this person, with these values of parameters in paths; others are rubbish.
    async fn of(&self, person: &Person, operations: &[&str], known: &[(&str, &str)]) {
        let values = known.iter().map(|(name, value)| format!("\"path.{name}\" = \"{value}\"\n"));
        let settings = format!("[parameters]\n{}", values.collect::<String>());
        fs::write(self.gateway.path("schemathesis.toml"), settings).unwrap();
        let mut command = Command::new(&self.program);
        command
            .current_dir(self.gateway.path("."))
            .args(["--config-file", "schemathesis.toml", "run", "openapi.json", "--url", &person.url(), "-H"])
            .arg(format!("Authorization: Bearer {}", person.token()))
            .args(operations)
            // Two workers would be threads of one Python, whose parser does not bear that everywhere (3.11).
            .args(["--checks", CHECKS, "--max-examples", &EXAMPLES.to_string(), "--workers", "1"])
            .args(["--phases", "coverage,fuzzing", "--generation-database", "none", "--seed", "1"])
            .args(["--request-timeout", "20", "--warnings", "off", "--continue-on-failure"]);
        let output =
            spawn_blocking(move || output_within(TRIED_WITHIN, "the end of Schemathesis", &mut command));
        let output = output.await.unwrap().unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
        assert!(told.contains("No issues found"), "it looked at nothing: {told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_documented() {
    let program = schemathesis();
    // It asks faster than any person may.
    let limits = "[limits]\nrequests_per_second = 0\nrefusals_per_second = 0\n";
    let service = format!(
        "[[user]]\nname = \"greeter\"\nkind = \"service_account\"\npassword_hash = \"{}\"\n",
        password_hash()
    );
    let mut gateway = Gateway::prepared("", &format!("{limits}{service}")).await;
    gateway.write("policy/services.cedar", SERVICES);
    gateway.start().await;
    let (dana, omar) = (gateway.sign_in("dana").await, gateway.sign_in("omar").await);
    let done = dana.submitted("things.change-item", json!({"name": "plate"})).await;
    schedule(&dana, "active", "things.change-item").await;
    let document = dana.get("/v1/openapi.json").await.body;
    fs::write(gateway.path("openapi.json"), document.to_string()).unwrap();
    let trial = Trial { gateway: &gateway, program };
    // The first ends the very session that asks, the second does not end while a run waits, the third would leave no
    // schedules to be tried.
    let all: Vec<&str> = ["sign_out", "follow_run", "delete_schedule"]
        .iter()
        .flat_map(|operation| ["--exclude-operation-id", operation])
        .collect();
    trial.of(&dana, &all, &[]).await;
    let known = [("run", done.as_str()), ("action", "things.change-item"), ("schedule", "active")];
    trial.of(&dana, &all, &known).await;
    // Made here: what it finds in an answer it tries in other paths too, and dana may withdraw what is hers.
    let waiting = dana.submitted("things.destroy-item", json!({"name": "cup"})).await;
    schedule(&dana, "waiting", "things.destroy-item").await;
    let known = [("run", waiting.as_str()), ("action", "things.destroy-item"), ("schedule", "waiting")];
    trial.of(&omar, &all, &known).await;
    trial.of(&dana, &["--include-operation-id", "delete_schedule"], &[("schedule", "active")]).await;
    let greeter = gateway.sign_in("greeter").await;
    let registering: Vec<&str> = ["register_instance", "drain_instance", "remove_provider"]
        .iter()
        .flat_map(|operation| ["--include-operation-id", operation])
        .collect();
    let there = json!({"instance": "0", "url": "http://127.0.0.1:9"});
    let came = greeter.call(Method::PUT, "/v1/providers/greeter", Some(&there), &[]).await.unwrap();
    assert_eq!(came.status, 200, "{}", came.body);
    trial.of(&greeter, &registering, &[("provider", "greeter"), ("instance", "0")]).await;
    assert_eq!(dana.get("/healthz").await.status, 200);
    // What there was to be found was found: routes of runs and of schedules did more than answer that there is none.
    let mut never = Vec::new();
    for verbs in [
        &["submit_run"][..],
        &["approve_run", "reject_run"],
        &["read_schedules"],
        &["pause_schedule"],
        &["resume_schedule"],
        &["approve_schedule", "reject_schedule"],
        &["delete_schedule"],
        &["register_instance"],
        &["remove_provider"],
    ] {
        let mut found = 0;
        for verb in verbs {
            let path = format!("/v1/records?verb={verb}&verdict=allowed");
            found += dana.get(&path).await.body["items"].as_array().unwrap().len();
        }
        if found == 0 {
            never.push(verbs);
        }
    }
    assert!(never.is_empty(), "of {never:?} nothing came about");
}
