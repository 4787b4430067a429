//! What is not run, and what is said of it.

use guichet_provider_scripts_kubernetes::{Cluster, findings};
use guichet_provider_sdk::bench::LongRun;
use guichet_testkit::patience::until;
use k8s_openapi::ByteString;
use kube::api::{DeleteParams, ListParams, PostParams};
use serde_json::json;

use crate::{
    stage::{Stage, detail, world},
    stand_in_kubelet::NO_IMAGE,
};

const MARKS: &str = "#!/bin/bash\n# /// guichet\n# title = \"Mark\"\n# ///\necho marked >> TRACES/mark\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_program_in_the_secret_is_not_run() {
    let Some(world) = world() else { return };
    let stage = Stage::set(world, "tampered", &[("mark.sh", MARKS)]).await;
    let bench = stage.provider().await;
    let mut run = LongRun::new("mark", json!({}));
    assert_eq!(run.call(&bench).await.unwrap().unwrap()["status"], "noted");
    // Somebody who may write Secrets in the namespace puts another one in its place, before the pod is there.
    let secrets = stage.secrets();
    let mut secret = secrets.list(&ListParams::default()).await.unwrap().items.remove(0);
    let name = secret.metadata.name.clone().unwrap();
    secrets.delete(&name, &DeleteParams::default()).await.unwrap();
    let other = "#!/bin/bash\necho other >> TRACES/mark\n"
        .replace("TRACES", &stage.traces.path().display().to_string());
    secret.data.as_mut().unwrap().insert("program".to_owned(), ByteString(other.into_bytes()));
    secret.metadata.resource_version = None;
    secret.metadata.uid = None;
    secrets.create(&PostParams::default(), &secret).await.unwrap();
    let outcome = run.to_its_end(&bench).await.unwrap();
    assert_eq!(outcome["status"], "failed", "{outcome}");
    assert!(detail(&outcome).contains("is not the program that was approved; nothing was run"), "{outcome}");
    assert_eq!(stage.trace("mark"), None);
    stage.until_nothing_is_left().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_was_changed_is_not_run() {
    let Some(world) = world() else { return };
    let stage = Stage::set(world, "changed", &[("mark.sh", MARKS)]).await;
    let bench = stage.provider().await;
    stage.write("mark.sh", &format!("{MARKS}echo more >> TRACES/mark\n"));
    let outcome = LongRun::new("mark", json!({})).to_its_end(&bench).await.unwrap();
    assert!(detail(&outcome).contains("is not what was planned and approved"), "{outcome}");
    assert_eq!(stage.count().await, (0, 0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_cluster_forbids_is_told() {
    let Some(world) = world() else { return };
    let stage = Stage::bare(world, "forbidden", &[("mark.sh", MARKS)]).await;
    let (_, outcome) = stage.run("mark", json!({})).await;
    assert_eq!(outcome["status"], "failed", "{outcome}");
    let detail = detail(&outcome);
    assert!(
        detail.contains("cannot create resource \"jobs\"") && detail.contains("nothing was run"),
        "{outcome}"
    );
    assert!(detail.contains("walks/run-scripts-on-kubernetes.md"), "{outcome}");
    let told = checked(&stage).await;
    assert!(told.contains("this provider may not create jobs in the namespace forbidden"), "{told}");
    assert!(told.contains("may not get pods/log"), "{told}");
}

async fn checked(stage: &Stage) -> String {
    let (settings, kubernetes) = stage.settings();
    let cluster = Cluster::connect(&kubernetes).await.unwrap();
    let told = findings(&cluster, &kubernetes, &settings).await;
    told.iter().filter(|finding| finding.grave).map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rights_of_the_page_are_enough_and_a_check_says_so() {
    let Some(world) = world() else { return };
    let stage = Stage::set(world, "checked", &[("mark.sh", MARKS)]).await;
    assert_eq!(checked(&stage).await, "");
    assert_eq!(stage.count().await, (0, 0, 0), "it only tried");
    // The program says the same, and ends with 0.
    let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_guichet-provider-scripts-kubernetes"));
    program.arg("check").env("GUICHET_SCRIPTS_SETTINGS", stage.folder.path().join("scripts.toml"));
    let output = tokio::task::spawn_blocking(move || program.output()).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.ends_with("all is well\n"), "{said}");
    assert!(said.contains("note: [kubernetes]: the image is named by a tag"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn why_a_pod_does_not_start_is_told_and_nothing_was_run() {
    let Some(world) = world() else { return };
    let nowhere = MARKS.replace("# title", &format!("# image = \"{NO_IMAGE}\"\n# title"));
    let stage = Stage::set(world, "nowhere", &[("pull.sh", &nowhere)]).await;
    let (_, outcome) = stage.run("pull", json!({})).await;
    assert_eq!(outcome["status"], "failed", "{outcome}");
    assert!(detail(&outcome).contains("ImagePullBackOff"), "{outcome}");
    assert!(detail(&outcome).ends_with("nothing was run"), "{outcome}");
    stage.until_nothing_is_left().await;

    // No node has so many processors: the scheduler says so, in its own words.
    let file = stage.folder.path().join("scripts.toml");
    let settings = std::fs::read_to_string(&file).unwrap() + "cpu = \"500\"\n";
    std::fs::write(&file, settings).unwrap();
    stage.write("wait.sh", &MARKS.replace("# ///\necho", "# timeout = \"3s\"\n# ///\necho"));
    let (_, outcome) = stage.run("wait", json!({})).await;
    assert_eq!(outcome["status"], "failed", "{outcome}");
    assert!(detail(&outcome).contains("Insufficient cpu"), "{outcome}");
    assert!(detail(&outcome).ends_with("nothing was run"), "{outcome}");
    until("nothing to be left but the memory of it", || async {
        let (_, pods, secrets) = stage.count().await;
        ((pods, secrets) == (0, 0)).then_some(())
    })
    .await;
    assert_eq!(stage.trace("mark"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn why_there_is_no_pod_at_all_is_told() {
    let Some(world) = world() else { return };
    let short = MARKS.replace("# ///\necho", "# timeout = \"3s\"\n# ///\necho");
    let stage = Stage::set(world, "nopod", &[("mark.sh", &short)]).await;
    let file = stage.folder.path().join("scripts.toml");
    let settings = std::fs::read_to_string(&file).unwrap() + "service_account = \"gone\"\n";
    std::fs::write(&file, settings).unwrap();
    let (_, outcome) = stage.run("mark", json!({})).await;
    assert_eq!(outcome["status"], "failed", "{outcome}");
    assert!(detail(&outcome).contains("serviceaccount \"gone\" not found"), "{outcome}");
    assert!(detail(&outcome).ends_with("nothing was run"), "{outcome}");
    assert_eq!(stage.trace("mark"), None);
}
