//! `guichetd policy test`: cases beside the policies, with and without a configuration; run by `guichetd check` too.

use std::{fs, path::Path, process::Output};

use crate::gateway::{Gateway, guichetd, output_of};

/// The policies a company can start from.
fn starter(part: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies/starter").join(part)
}

fn test_folders(policy: &Path) -> Output {
    let mut command = guichetd();
    command.args(["policy", "test", "--policy"]).arg(policy);
    command.arg("--registry").arg(starter("registry")).arg("--documents").arg(starter("documents"));
    output_of(&mut command)
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn the_starter_policies_answer_as_their_cases_say() {
    let output = test_folders(&starter("policy"));
    let said = said(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert_eq!(said, "21 cases of policy in 1 file: all hold\nall is well\n");
}

#[test]
fn what_does_not_hold_is_told_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    for file in ["permits.cedar", "production.cedar"] {
        fs::copy(starter("policy").join(file), folder.path().join(file)).unwrap();
    }
    let cases = "cases:
  - {who: paul, action: orders.list-queues, expect: refused}
  - name: wrong policy
    who: lena
    action: orders.delete-queue
    input: {queue: returns}
    reason: old
    expect: needs-approval
    by: [destroying-in-staging]
    approvers: [lena, li]
  - {who: lena, action: orders.delete-queues, expect: allowed}
  - {who: lena, action: orders.delete-queue, input: {que: 1}, expect: allowed}
  - {who: lena, action: orders.delete-queue, input: {que: 1}, expect: invalid}
  - {who: lena, action: orders.list-queues, expect: alowed}
  - {who: lena, teams: [oders], action: orders.list-queues, expect: allowed}
";
    fs::write(folder.path().join("wrong.test.yaml"), cases).unwrap();
    fs::write(folder.path().join("unread.test.yaml"), "cases:\n  - {who: paul, expects: allowed}\n").unwrap();
    let output = test_folders(folder.path());
    let told = said(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    for words in [
        "7 cases of policy in 2 files: 10 faults",
        "unread.test.yaml:2:17: unknown field `expects`; did you mean `expect`?",
        "wrong.test.yaml:2:53: paul asks for orders.list-queues: expected `refused`, and it is allowed by `employees-read`",
        "wrong.test.yaml:9:10: wrong policy: no policy has the id `destroying-in-staging`",
        "wrong.test.yaml:9:10: wrong policy: expected by `destroying-in-staging`, and it is waiting for `destroying-in-production` (it destroys something in production: one person of team orders)",
        "wrong.test.yaml:10:17: wrong policy: expected approvers `lena`, `li`, and they are `li`",
        "no action is called `orders.delete-queues`; did you mean `orders.delete-queue`?",
        "/que is not an input of this action",
        "`alowed` cannot be expected; did you mean `allowed`?",
        "no team is called `oders`; did you mean `orders`?",
    ] {
        assert!(told.contains(words), "{words}:\n{told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_runs_the_cases_of_the_configured_policies() {
    let gateway = Gateway::prepared("", "").await;
    let case = "cases:\n  - {who: dana, action: things.list-items, expect: allowed}\n";
    gateway.write("policy/rules.test.yaml", case);
    for arguments in [["check", "--config"].as_slice(), &["policy", "test", "--config"]] {
        let output = gateway.output(arguments);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert!(said.contains("1 case of policy in 1 file: all hold"), "{said}");
    }
    gateway.write("policy/rules.test.yaml", &case.replace("allowed", "refused"));
    let output = gateway.output(&["check", "--config"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said(&output).contains("rules.test.yaml:2:52: dana asks for things.list-items: expected"),
        "{}",
        said(&output)
    );
    // Offline its provider has no document: the case is counted apart, not failed.
    let output = gateway.output(&["check", "--offline", "--config"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("1 not tried"), "{}", said(&output));
    // Documents saved in a folder stand for the providers.
    fs::create_dir(gateway.path("saved")).unwrap();
    let document = r#"{"openapi": "3.1.0", "info": {"title": "Things", "version": "1"}, "paths": {"/list": {"get":
        {"operationId": "list-items", "responses": {"200": {"description": "all"}}}}}}"#;
    gateway.write("saved/things.json", document);
    let saved = gateway.path("saved");
    let output = gateway.output(&["policy", "test", "--documents", saved.to_str().unwrap(), "--config"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("expected `refused`, and it is allowed"), "{}", said(&output));
}
