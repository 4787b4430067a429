//! The gateway's own OpenAPI document, tried by Schemathesis: whatever it is sent, it never answers with a 5xx, and never
//! with a status, a type or a body that its document does not tell of, and it refuses what that does not allow.

use std::{fs, path::PathBuf, process::Command, time::Duration};

use guichet_contract::{Clock as _, SystemClock};
use guichet_testkit::patience::output_within;
use jiff::{SignedDuration, tz::TimeZone};
use serde_json::json;
use tokio::task::spawn_blocking;

use crate::{gateway::Gateway, person::Person};

/// How many inputs each operation gets of each sort.
const EXAMPLES: usize = 20;
/// How long one trial may take; some minutes on a busy machine.
const TRIED_WITHIN: Duration = Duration::from_mins(30);
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

/// Schedules of dana's that there are: of each, some wait for people, and some do not.
const SCHEDULES: usize = 4;

/// Makes them, and gives their names.
async fn schedules(dana: &Person) -> Vec<String> {
    // Far enough away that no run is made of them meanwhile.
    let day = (SystemClock.now() + SignedDuration::from_hours(24 * 30)).to_zoned(TimeZone::UTC);
    let expression = format!("0 3 {} {} *", day.day(), day.month());
    let until = (day.timestamp() + SignedDuration::from_hours(24 * 30)).to_string();
    let mut names = Vec::new();
    for number in 0..SCHEDULES {
        for (action, kind) in [("things.change-item", "active"), ("things.destroy-item", "waiting")] {
            let name = format!("{kind}-{number}");
            let body = json!({"name": name, "action": action, "input": {"name": "plate"}, "expression": expression,
                "reason": "a test", "until": until});
            let made = dana.post("/v1/schedules", body).await;
            assert_eq!(made.status, 201, "{}", made.body);
            names.push(name);
        }
    }
    names
}

/// What is tried, as whom.
struct Trial {
    gateway_folder: PathBuf,
    program: PathBuf,
    url: String,
}

impl Trial {
    /// Tries all operations, or all but these, or this one alone.
    async fn of(&self, person: &Person, which: &[&str]) {
        let mut command = Command::new(&self.program);
        command
            .current_dir(&self.gateway_folder)
            .args(["--config-file", "schemathesis.toml", "run", "openapi.json", "--url", &self.url, "-H"])
            .arg(format!("Authorization: Bearer {}", person.token()))
            .args(which)
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
    let gateway = Gateway::started("", limits).await;
    let (dana, omar) = (gateway.sign_in("dana").await, gateway.sign_in("omar").await);
    let done = dana.submitted("things.change-item", json!({"name": "plate"})).await;
    let waiting = dana.submitted("things.destroy-item", json!({"name": "cup"})).await;
    let known = schedules(&dana).await;
    let settings = format!(
        "[parameters]\n\"path.run\" = [\"{done}\", \"{waiting}\", \"0199aaaa-bbbb-7ccc-8ddd-eeee1a2b3c4d\"]\n\
         \"path.action\" = [\"things.change-item\", \"things.destroy-item\", \"things.no-such\"]\n\
         \"path.schedule\" = {}\n",
        json!([&known[..], &["no-such".to_owned()]].concat())
    );
    fs::write(gateway.path("schemathesis.toml"), settings).unwrap();
    let document = dana.get("/v1/openapi.json").await.body;
    fs::write(gateway.path("openapi.json"), document.to_string()).unwrap();
    let trial = Trial { gateway_folder: gateway.path("."), program, url: dana.url() };
    // The first ends the very session that asks, the second does not end while a run waits, the third would leave no
    // schedules to be tried.
    let excluded: Vec<&str> = ["sign_out", "follow_run", "delete_schedule"]
        .iter()
        .flat_map(|operation| ["--exclude-operation-id", operation])
        .collect();
    trial.of(&dana, &excluded).await;
    trial.of(&omar, &excluded).await;
    trial.of(&dana, &["--include-operation-id", "delete_schedule"]).await;
    assert_eq!(dana.get("/healthz").await.status, 200);
    // What there was to be found was found: routes of runs and of schedules did more than answer that there is none.
    for verbs in [
        &["read_runs"][..],
        &["comment_run"],
        &["read_schedules"],
        &["pause_schedule"],
        &["resume_schedule"],
        &["approve_schedule", "reject_schedule"],
        &["delete_schedule"],
    ] {
        let mut found = 0;
        for verb in verbs {
            let path = format!("/v1/records?verb={verb}&verdict=allowed");
            found += dana.get(&path).await.body["items"].as_array().unwrap().len();
        }
        assert!(found > 0, "nothing of {verbs:?} came about");
    }
}
