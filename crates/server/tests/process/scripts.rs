//! Scripts when things break: `kill -9` of their provider, and what `guichetd check` says of a folder of them.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
};

use guichet_provider_scripts::{Scripts, Settings};
use serde_json::json;

use crate::{
    gateway::{Gateway, until},
    provider_process::{self, ProviderProcess},
};

fn user() -> &'static str {
    let is_root = fs::metadata("/proc/self").is_ok_and(|data| data.uid() == 0);
    if is_root { "user = \"nobody\"\n" } else { "" }
}

fn write_script(file: &Path, text: &str) {
    fs::write(file, text).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
}

const NAPS: &str = "#!/bin/bash
# /// guichet
# title = \"Nap\"
# timeout = \"10m\"
# ///
echo lying down
setsid sleep 78613 &
sleep 178613
";

/// No story, but the process that the story starts.
#[tokio::test]
async fn the_scripts_at_work() {
    let Some(settings) = provider_process::settings() else { return };
    let scripts = Scripts::open(Settings::from_file(Path::new("scripts.toml")).unwrap()).unwrap();
    scripts.serve("scripts", settings).await.unwrap();
}

fn sleepers() -> usize {
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let words = processes.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    words.filter(|words| *words == b"sleep\x0078613\0" || *words == b"sleep\x00178613\0").count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_script_dies_with_its_killed_provider_and_the_run_is_unknown() {
    let mut provider = ProviderProcess::unborn("scripts", "scripts::the_scripts_at_work");
    fs::create_dir(provider.path("scripts")).unwrap();
    write_script(&provider.path("scripts/nap.sh"), NAPS);
    fs::write(provider.path("scripts.toml"), format!("folder = \"scripts\"\n{}", user())).unwrap();
    let gateway = Gateway::started("", &provider.table()).await;
    provider.believe(&gateway).await;
    provider.start();
    let dana = gateway.sign_in("dana").await;
    let run = until("the scripts to be known", || async {
        let answer = dana.submit("scripts.nap", json!({})).await;
        (answer.status == 202).then(|| answer.id())
    })
    .await;
    dana.hears(&run, &["lying down"]).await;
    until("both to sleep", || async { (sleepers() == 2).then_some(()) }).await;
    provider.kill();
    until("both to be gone", || async { (sleepers() == 0).then_some(()) }).await;
    let state = until("the run to be given up", || async {
        Some(dana.state(&run).await).filter(|state| state != "running")
    })
    .await;
    assert_eq!(state, "unknown", "nobody knows how far it came");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_script_is_linted_with_file_and_line() {
    let table = "[[provider]]\nname = \"scripts\"\nembedded = \"scripts\"\nsettings = \"scripts.toml\"\n";
    let gateway = Gateway::prepared("", table).await;
    fs::create_dir(gateway.path("scripts")).unwrap();
    gateway.write("scripts.toml", &format!("folder = \"scripts\"\n{}", user()));
    let write = |name: &str, text: &str| write_script(&gateway.path("scripts").join(name), text);
    write("nap.sh", NAPS);
    let check = || {
        let output = gateway.output(&["check", "--config"]);
        let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        (output.status.code(), said.concat())
    };
    let (code, said) = check();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("provider scripts: 1 actions"), "{said}");

    write("odd.sh", "#!/bin/bash\necho no header\n");
    write("misspelt.sh", &NAPS.replace("timeout", "timeuot"));
    write("endless.sh", "#!/bin/bash\n# /// guichet\n# title = 'x'\necho\n");
    write(
        "seen.sh",
        &NAPS.replace("# timeout", "# args = [\"{pin}\"]\n# input = {pin = {sensitive = true}}\n# timeout"),
    );
    write("secret.sh", &NAPS.replace("# timeout", "# secrets = [\"TOKEN\"]\n# timeout"));
    write("resource.sh", &NAPS.replace("# timeout", "# resource = \"apps/{app}\"\n# timeout"));
    write("plan.sh", &NAPS.replace("# timeout", "# plan = \"gone.sh\"\n# timeout"));
    write("naked", "# /// guichet\n# title = 'x'\n# ///\n");
    fs::set_permissions(gateway.path("scripts/naked"), fs::Permissions::from_mode(0o644)).unwrap();
    let (code, said) = check();
    assert_eq!(code, Some(1), "{said}");
    for words in [
        "scripts/odd.sh: it has no header",
        "scripts/misspelt.sh:4: unknown field `timeuot`",
        "scripts/endless.sh:2: the header begins here and does not end",
        "scripts/seen.sh: args: `{pin}` is sensitive",
        "scripts/secret.sh: secrets: `TOKEN` is not in the provider's settings",
        "scripts/resource.sh: the resource names `{app}`, which is no member",
        "scripts/plan.sh: plan `gone.sh`: it cannot be read",
        "scripts/naked: `naked` is not executable",
        "scripts/naked: `naked` does not say what runs it",
        "provider scripts: 1 actions",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_script_that_is_left_out_is_told_of_and_comes_when_it_is_mended() {
    let table = "[[provider]]\nname = \"scripts\"\nembedded = \"scripts\"\nsettings = \"scripts.toml\"\n";
    let mut gateway = Gateway::prepared("", table).await;
    fs::create_dir(gateway.path("scripts")).unwrap();
    gateway.write("scripts.toml", &format!("folder = \"scripts\"\n{}", user()));
    write_script(&gateway.path("scripts/nap.sh"), NAPS);
    let misspelt = gateway.path("scripts/misspelt.sh");
    write_script(&misspelt, &NAPS.replace("timeout", "timeuot"));
    gateway.start().await;
    let dana = gateway.sign_in("dana").await;
    let told = async || dana.get("/v1/providers/scripts").await.body;
    let row = told().await;
    assert_eq!((&row["operations"], &row["state"]), (&json!(1), &json!("ready")), "{row}");
    let refused = row["refused"].as_array().unwrap();
    assert_eq!(refused.len(), 1, "{row}");
    let fault = refused[0].as_str().unwrap();
    assert!(fault.contains("misspelt.sh:4: unknown field `timeuot`"), "{fault}");
    assert!(
        !fault.contains(&gateway.path("scripts").display().to_string()),
        "where it is, is nobody's: {fault}"
    );
    write_script(&misspelt, NAPS);
    until("the mended script", || async {
        let row = told().await;
        (row["operations"] == 2 && row["refused"] == json!([])).then_some(())
    })
    .await;
}
