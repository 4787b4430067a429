//! The gateway's own OpenAPI document, tried by Schemathesis: whatever it is sent, it never answers with a 5xx, and never
//! with a status, a type or a body that its document does not tell of.

use std::{fs, path::PathBuf, process::Command};

use serde_json::json;

use crate::gateway::Gateway;

/// How many inputs each operation gets of each sort.
const EXAMPLES: usize = 20;
/// What is held against the document. Not asked: that all is refused that the document does not allow (unknown query
/// parameters are passed over), and that all is taken that it allows (a random run id is none that there is).
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
                      response_schema_conformance,unsupported_method,ignored_auth";

/// Where `cargo xtask test` puts it.
fn schemathesis() -> PathBuf {
    let place = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("../schemathesis/bin/schemathesis");
    assert!(place.is_file(), "{} is missing; `cargo xtask test` puts it there", place.display());
    place
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
    let named = gateway.path("schemathesis.toml");
    let settings = format!(
        "[parameters]\n\"path.run\" = [\"{done}\", \"{waiting}\", \"0199aaaa-bbbb-7ccc-8ddd-eeee1a2b3c4d\"]\n\
         \"path.action\" = [\"things.change-item\", \"things.destroy-item\", \"things.no-such\"]\n"
    );
    fs::write(&named, settings).unwrap();
    let document = dana.get("/v1/openapi.json").await.body;
    fs::write(gateway.path("openapi.json"), document.to_string()).unwrap();
    for person in [&dana, &omar] {
        let (program, named, folder) = (program.clone(), named.clone(), gateway.path("."));
        let (url, token) = (person.url(), person.token().to_owned());
        let output = tokio::task::spawn_blocking(move || {
            Command::new(program)
                .current_dir(folder)
                .arg("--config-file")
                .arg(named)
                .args(["run", "openapi.json", "--url", &url, "-H"])
                .arg(format!("Authorization: Bearer {token}"))
                // The one ends the very session that asks, the other does not end while a run waits.
                .args(["--exclude-operation-id", "sign_out", "--exclude-operation-id", "follow_run"])
                // Two workers would be threads of one Python, whose parser does not bear that everywhere (3.11).
                .args(["--checks", CHECKS, "--max-examples", &EXAMPLES.to_string(), "--workers", "1"])
                .args(["--phases", "coverage,fuzzing", "--generation-database", "none", "--seed", "1"])
                .args(["--request-timeout", "20", "--warnings", "off", "--continue-on-failure"])
                .output()
                .unwrap()
        });
        let output = output.await.unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
        assert!(told.contains("No issues found"), "it looked at nothing: {told}");
    }
    assert_eq!(dana.get("/healthz").await.status, 200);
}
