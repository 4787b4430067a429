//! The conformance kit finds nothing to say against the Rust SDK, and says it in the right words where there is something.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;

use guichet_provider_check::{Options, Report, Status, Target, check};
use guichet_provider_sdk::{Keys, Provider, provider};

fn failures(report: &Report) -> String {
    let failed = report.cases.iter().filter(|case| case.status == Status::Failed);
    failed.map(|case| format!("{}: {:#?}", case.name, case.failure)).collect::<Vec<_>>().join("\n")
}

fn of(report: &Report, name: &str) -> Status {
    report.cases.iter().find(|case| case.name == name).unwrap().status
}

#[tokio::test]
async fn the_rust_sdk_passes_every_case() {
    let options = Options {
        target: Target::Command(vec![env!("CARGO_BIN_EXE_conformance_provider").to_owned()]),
        keys: SocketAddr::from(([127, 0, 0, 1], 0)),
        name: None,
        only: None,
    };
    let report = check(options, |_| {}).await.unwrap();
    assert!(report.holds(), "{}", failures(&report));
    assert_eq!(report.count(Status::Skipped), 0, "{report:#?}");
    assert_eq!(report.provider, "conformance");
}

/// Serves it and has it checked as one that somebody else has started.
async fn checked(provider: Provider, keys: impl FnOnce(&str) -> Keys, only: Option<&str>) -> Report {
    let free = async || tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let desk = free().await.local_addr().unwrap();
    let listener = free().await;
    let url = format!("http://{}", listener.local_addr().unwrap());
    let prepared = provider.prepare(keys(&format!("http://{desk}")));
    let serving = tokio::spawn(prepared.serve_until(listener, std::future::pending()));
    let options = Options { target: Target::Url(url), keys: desk, name: None, only: only.map(str::to_owned) };
    let report = check(options, |_| {}).await.unwrap();
    serving.abort();
    report
}

async fn greet(
    _: guichet_provider_sdk::Context,
    _: guichet_provider_sdk::NoInput,
) -> Result<String, guichet_provider_sdk::ActionError> {
    Ok("hello".to_owned())
}

#[tokio::test]
async fn of_another_provider_what_changes_nothing_is_tried() {
    let greeter = provider("greeter").action("greet", greet).read().done();
    let report = checked(greeter, |gateway| Keys::from_gateway(gateway).unwrap(), None).await;
    assert!(report.holds(), "{}", failures(&report));
    for (case, status) in [
        ("token-good", Status::Passed),
        ("token-expired", Status::Passed),
        ("keys-not-there", Status::Passed),
        ("keys-turned", Status::Passed),
        ("token-other-input", Status::Skipped),
        ("stop-finishes", Status::Skipped),
    ] {
        assert_eq!(of(&report, case), status, "{case}");
    }
}

#[tokio::test]
async fn who_believes_anybody_is_told_so() {
    let greeter = provider("greeter").action("greet", greet).read().done();
    let report = checked(greeter, |_| Keys::insecure_for_bench(), Some("token-")).await;
    let missing = report.cases.iter().find(|case| case.name == "token-missing").unwrap();
    let failure = missing.failure.as_ref().unwrap();
    assert_eq!((missing.section, failure.sent.as_str()), ("A call", "GET /greet"));
    assert!(failure.expected.starts_with("401"), "{failure:?}");
    assert!(failure.came.starts_with("200"), "{failure:?}");
    assert_eq!(of(&report, "token-good"), Status::Passed);
}
