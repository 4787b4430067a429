//! Scripts as actions, through the whole platform: real scripts, real processes.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a story that cannot go on has failed")]

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
    time::Duration,
};

use guichet_testkit::{
    Bench, Effects,
    bench::{Answer, Person},
    patience::until,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::world::setup;

/// A platform with a folder of scripts, and a place where scripts leave traces.
struct Stage {
    bench: Bench,
    folder: TempDir,
    traces: TempDir,
    dana: Person,
    omar: Person,
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|data| data.uid() == 0)
}

fn write_script(folder: &Path, name: &str, text: &str) {
    let file = folder.join(name);
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
}

/// What anybody can write to, for scripts have a user of their own.
fn open_folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    folder
}

async fn stage(scripts: &[(&str, &str)], settings: &str) -> Stage {
    let (folder, traces) = (tempfile::tempdir().unwrap(), open_folder());
    for (name, text) in scripts {
        let text = text.replace("TRACES", &traces.path().display().to_string());
        write_script(folder.path(), name, &text);
    }
    let user = if is_root() { "user = \"nobody\"\n" } else { "" };
    let settings = format!("folder = \"{}\"\n{user}{settings}", folder.path().display());
    let bench = setup(&Effects::default())
        .config("[[provider]]\nname = \"scripts\"\nembedded = \"scripts\"\nsettings = \"scripts.toml\"")
        .file("scripts.toml", &settings)
        .file("token.secret", "s3cr3t-t0ken\n")
        .start()
        .await
        .unwrap();
    let (dana, omar) = (bench.sign_in("dana").await.unwrap(), bench.sign_in("omar").await.unwrap());
    Stage { bench, folder, traces, dana, omar }
}

impl Stage {
    async fn submit(&self, action: &str, input: Value) -> String {
        let run = self.dana.submit(action, input).await.unwrap().body;
        run["id"].as_str().unwrap_or_else(|| panic!("no run: {run}")).to_owned()
    }

    async fn end_of(&self, id: &str) -> Value {
        self.dana.end_of(id).await.unwrap()
    }

    async fn run(&self, action: &str, input: Value) -> Value {
        let id = self.submit(action, input).await;
        self.end_of(&id).await
    }

    async fn events(&self, id: &str) -> String {
        self.dana.get(&format!("/v1/runs/{id}/events")).await.unwrap().body.to_string()
    }

    async fn cancel(&self, id: &str) -> Answer {
        self.dana.post(&format!("/v1/runs/{id}/cancel"), json!({})).await.unwrap()
    }

    /// Omar looks at a run and says yes.
    async fn approve(&self, id: &str) -> (Value, Answer) {
        let run = self.omar.get(&format!("/v1/runs/{id}")).await.unwrap().body;
        let yes = json!({"binding": run["binding"]});
        (run, self.omar.post(&format!("/v1/runs/{id}/approve"), yes).await.unwrap())
    }

    fn trace(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.traces.path().join(name)).ok()
    }

    async fn until_trace(&self, name: &str) -> String {
        until(&format!("the trace {name}"), || async { self.trace(name).filter(|text| text.ends_with('\n')) })
            .await
    }
}

fn detail(run: &Value) -> &str {
    run["outcome"]["problem"]["detail"].as_str().unwrap_or_default()
}

/// Whether any process has this among its arguments.
fn is_alive(word: &str) -> bool {
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let mut words = processes.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    words.any(|words| words.split(|byte| *byte == 0).any(|own| own == word.as_bytes()))
}

const ECHO: &str = r#"#!/usr/bin/env python3
# /// guichet
# title = "Say what arrives"
# args = ["--to={to}", "--", "{words}"]
# [input.to]
# [input.words]
# [input.count]
# type = "integer"
# default = 3
# [input.tags]
# type = "array"
# items = {type = "string"}
# required = false
# ///
import json, os, sys
print("to be followed")
print(json.dumps({"arguments": sys.argv[1:], "input": json.load(sys.stdin), "environment": dict(os.environ), "user": os.getuid()}))
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_typed_arrives_as_it_was_typed() {
    let stage = stage(&[("say-it.py", ECHO)], "").await;
    let words = "a 'b' \"c\"\n$(touch /tmp/pwned) `id` ; rm -rf * \\ ü {to}";
    let input = json!({"to": "x y", "words": words, "tags": ["a", "b c"]});
    let id = stage.submit("scripts.say-it", input).await;
    let run = stage.end_of(&id).await;
    assert_eq!(run["state"], "succeeded", "{run}");
    let result = &run["outcome"]["result"];
    assert_eq!(result["arguments"], json!(["--to=x y", "--", words]));
    assert_eq!(result["input"], json!({"to": "x y", "words": words, "tags": ["a", "b c"], "count": 3}));
    let environment = result["environment"].as_object().unwrap();
    assert_eq!(environment["INPUT_WORDS"], words);
    assert_eq!(
        (&environment["INPUT_COUNT"], &environment["INPUT_TAGS"]),
        (&json!("3"), &json!("[\"a\",\"b c\"]"))
    );
    assert_eq!(
        (&environment["GUICHET_REQUESTED_BY"], &environment["GUICHET_RUN"]),
        (&json!("dana"), &json!(id))
    );
    assert_eq!(environment["GUICHET_ENVIRONMENT"], "staging");
    let milliseconds: u32 = environment["GUICHET_DEADLINE_MS"].as_str().unwrap().parse().unwrap();
    assert!((10_000..=30_000).contains(&milliseconds), "{milliseconds}");
    let own = ["INPUT_", "GUICHET_"];
    let mut rest: Vec<&str> = environment.keys().map(String::as_str).collect();
    rest.retain(|name| {
        !own.iter().any(|start| name.starts_with(start)) && !["LC_CTYPE", "PWD"].contains(name)
    });
    rest.sort_unstable();
    assert_eq!(rest, ["HOME", "LANG", "PATH"], "nothing of the gateway's own environment");
    if is_root() {
        assert_ne!(result["user"], 0);
    }
    let home = environment["HOME"].as_str().unwrap();
    assert!(!Path::new(home).exists(), "{home} is left");
    assert!(stage.events(&id).await.contains("to be followed"), "its output is the log");
}

const REFUSES: &str = r#"#!/bin/bash
# /// guichet
# title = "Refuse"
# ///
echo "on the way"
echo "no such topic: orders" >&2
exit 3
"#;

const LIST: &str = r#"#!/bin/bash
# /// guichet
# title = "List"
# effect = "read"
# [input.prefix]
# default = "x"
# ///
echo "[{\"name\": \"$INPUT_PREFIX-1\"}]"
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_exit_code_decides() {
    let stage = stage(&[("refuse.sh", REFUSES), ("list.sh", LIST)], "").await;
    let run = stage.run("scripts.refuse", json!({})).await;
    assert_eq!(run["state"], "failed", "{run}");
    assert_eq!(detail(&run), "refuse.sh ended with exit code 3; its last words: no such topic: orders");
    let read = stage.dana.submit("scripts.list", json!({"prefix": "a"})).await.unwrap();
    assert_eq!(read.body["result"], json!([{"name": "a-1"}]), "{}", read.body);
}

const DELETES: &str = r#"#!/bin/bash
# /// guichet
# title = "Delete"
# effect = "destroy"
# approval = "team:ops"
# [input.name]
# ///
echo "$INPUT_NAME $GUICHET_APPROVED_BY" > TRACES/deleted
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_approved_is_what_runs() {
    let stage = stage(&[("delete.sh", DELETES)], "").await;
    let id = stage.submit("scripts.delete", json!({"name": "a"})).await;
    let (shown, yes) = stage.approve(&id).await;
    assert!(yes.status.is_success(), "{}", yes.body);
    assert_eq!(shown["plan"]["sentence"], "Runs delete.sh with name=\"a\"", "{shown}");
    assert!(shown["plan"]["facts"].to_string().contains("sha256:"), "{shown}");
    assert_eq!(stage.end_of(&id).await["state"], "succeeded");
    assert_eq!(stage.until_trace("deleted").await, "a omar\n");

    let id = stage.submit("scripts.delete", json!({"name": "b"})).await;
    let other =
        DELETES.replace("TRACES", &stage.traces.path().display().to_string()) + "\nrm -rf everything\n";
    write_script(stage.folder.path(), "delete.sh", &other);
    // Whether it is read again before the yes or after it: another script is not what was approved.
    let (_, yes) = stage.approve(&id).await;
    let run = stage.end_of(&id).await;
    assert_ne!(run["state"], "succeeded", "{run} {}", yes.body);
    assert_eq!(stage.trace("deleted").unwrap(), "a omar\n", "nothing was run");
}

const DROPS: &str = "#!/bin/bash\necho \"$1\" > TRACES/dropped\n";
const SIDE: &str = "title = \"Drop\"\neffect = \"destroy\"\napproval = \"team:ops\"\nargs = [\"one\"]\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_side_file_says_is_approved_too() {
    let stage = stage(&[("drop.sh", DROPS), ("drop.sh.toml", SIDE)], "").await;
    let id = stage.submit("scripts.drop", json!({})).await;
    let (_, yes) = stage.approve(&id).await;
    assert!(yes.status.is_success(), "{}", yes.body);
    assert_eq!(stage.end_of(&id).await["state"], "succeeded");
    assert_eq!(stage.until_trace("dropped").await, "one\n");
    let id = stage.submit("scripts.drop", json!({})).await;
    fs::write(stage.folder.path().join("drop.sh.toml"), SIDE.replace("one", "two")).unwrap();
    let (_, yes) = stage.approve(&id).await;
    let run = stage.end_of(&id).await;
    assert_ne!(run["state"], "succeeded", "{run} {}", yes.body);
    assert_eq!(stage.trace("dropped").unwrap(), "one\n", "nothing was run");
}

const DRY: &str = r#"#!/bin/bash
# /// guichet
# title = "Scale"
# plan = "--dry-run"
# [input.to]
# type = "integer"
# ///
if [ "$1" = "--dry-run" ]; then
  echo "{\"sentence\": \"Scale from 2 to $INPUT_TO\", \"facts\": [{\"name\": \"now\", \"value\": 2}]}"
  exit
fi
echo scaled
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_script_may_plan_by_itself() {
    let plan = "#!/bin/bash\necho \"would copy $INPUT_TO\"\n";
    let copies = DRY.replace("--dry-run\"\n# [", "copy-plan\"\n# [").replace("Scale", "Copy");
    let stage = stage(&[("scale.sh", DRY), ("copy.sh", &copies), ("copy-plan", plan)], "").await;
    let asked = json!({"input": {"to": 5}});
    let planned = stage.dana.post("/v1/actions/scripts.scale/plan", asked.clone()).await.unwrap().body;
    assert!(planned.to_string().contains("Scale from 2 to 5"), "{planned}");
    let planned = stage.dana.post("/v1/actions/scripts.copy/plan", asked).await.unwrap().body;
    assert!(planned.to_string().contains("would copy 5"), "{planned}");
    assert_eq!(stage.run("scripts.scale", json!({"to": 5})).await["state"], "succeeded");
}

/// Nobody says yes to what they were not shown; and who reads hears that there was more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_longer_than_can_be_shown_is_told_so() {
    let plan = "#!/bin/bash\nseq 250\n";
    let copies = DRY.replace("--dry-run\"\n# [", "copy-plan\"\n# [");
    let list = "#!/bin/bash\n# /// guichet\n# title = \"L\"\n# effect = \"read\"\n# ///\nseq 250\n";
    let stage = stage(&[("copy.sh", &copies), ("copy-plan", plan), ("list.sh", list)], "").await;
    let refused = stage.dana.submit("scripts.copy", json!({"to": 5})).await.unwrap();
    assert_eq!(refused.status, 409, "{}", refused.body);
    assert!(refused.body["detail"].to_string().contains("longer than can be shown"), "{}", refused.body);
    let read = stage.dana.submit("scripts.list", json!({})).await.unwrap().body;
    assert_eq!(read["result"]["is_cut"], true, "{read}");
    assert!(read["result"]["output"].as_str().unwrap().ends_with("\n200"), "{read}");
}

const TIDIES: &str = r#"#!/bin/bash
# /// guichet
# title = "Tidy"
# timeout = "10m"
# ///
( trap 'sleep 0.5; echo tidied > TRACES/tidied; exit' TERM; echo begun > TRACES/begun; while :; do sleep 0.1; done ) &
sleep 600
"#;

/// The script itself is gone at once; what it started has its time all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_it_started_may_tidy_up_too() {
    let stage = stage(&[("tidy.sh", TIDIES)], "").await;
    let id = stage.submit("scripts.tidy", json!({})).await;
    stage.until_trace("begun").await;
    assert!(stage.cancel(&id).await.status.is_success());
    assert_eq!(stage.end_of(&id).await["state"], "cancelled");
    assert_eq!(stage.trace("tidied").as_deref(), Some("tidied\n"));
    assert!(stage.events(&id).await.contains("told to stop, the script ended with exit code 143"));
}

const MARKED: &str = "#!/bin/bash\necho taken > TRACES/taken\n";

/// What stands in the scripts' `PATH` has no say in what runs before the user is changed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scripts_path_is_the_scripts_alone() {
    let own = open_folder();
    let marked = MARKED.replace("TRACES", &own.path().display().to_string());
    for name in ["setpriv", "prlimit", "unshare", "sh"] {
        write_script(own.path(), name, &marked);
    }
    let settings = format!("path = \"{}:/usr/bin:/bin\"\n", own.path().display());
    let leave = LEAVES.replace("68613", "78613");
    let stage = stage(&[("leave.sh", &leave)], &settings).await;
    assert_eq!(stage.run("scripts.leave", json!({})).await["state"], "succeeded");
    assert!(!own.path().join("taken").exists(), "a program of the scripts' PATH was run in the chain");
}

const HANGS: &str = r#"#!/bin/bash
# /// guichet
# title = "Hang"
# timeout = "2s"
# [input.mark]
# ///
sleep "$INPUT_MARK" &
setsid sleep "1$INPUT_MARK" &
disown
echo begun > TRACES/begun
sleep "2$INPUT_MARK"
echo "went on" > TRACES/went-on
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_cancelled_ends_with_all_it_started() {
    let stage = stage(&[("hang.sh", &HANGS.replace("\"2s\"", "\"10m\""))], "").await;
    let id = stage.submit("scripts.hang", json!({"mark": "48613"})).await;
    stage.until_trace("begun").await;
    until("all three", || async {
        (is_alive("48613") && is_alive("148613") && is_alive("248613")).then_some(())
    })
    .await;
    assert!(stage.cancel(&id).await.status.is_success());
    let run = stage.end_of(&id).await;
    assert_eq!(run["state"], "cancelled", "{run}");
    for mark in ["48613", "148613", "248613"] {
        assert!(!is_alive(mark), "{mark} lives");
    }
    assert_eq!(stage.trace("went-on"), None, "the shell went on with its next line");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_takes_too_long_is_ended() {
    let stubborn = HANGS.replace("sleep \"$INPUT", "trap '' TERM\nsleep \"$INPUT");
    let stage = stage(&[("hang.sh", &stubborn)], "").await;
    let run = stage.run("scripts.hang", json!({"mark": "58613"})).await;
    assert_eq!(run["state"], "failed", "{run}");
    assert!(detail(&run).contains("did not end within its 2 s"), "{run}");
    for mark in ["58613", "158613", "258613"] {
        assert!(!is_alive(mark), "{mark} lives");
    }
    assert_eq!(stage.trace("went-on"), None);
}

const EATS: &str = "#!/usr/bin/env python3\n# /// guichet\n# title = \"Eat\"\n# ///\nx = bytearray(900 * 1024 * 1024)\nprint('ate')\n";
const LEAVES: &str =
    "#!/bin/bash\n# /// guichet\n# title = \"Leave\"\n# ///\nsetsid sleep 68613 &\ndisown\necho left\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_hold_and_nothing_is_left() {
    let stage = stage(&[("eat.py", EATS), ("leave.sh", LEAVES)], "[limits]\nmemory_mib = 256\n").await;
    let run = stage.run("scripts.eat", json!({})).await;
    assert_eq!(run["state"], "failed", "{run}");
    assert!(detail(&run).contains("MemoryError"), "{run}");
    assert_eq!(stage.run("scripts.leave", json!({})).await["state"], "succeeded");
    assert!(!is_alive("68613"), "what it left lives");
}

const TELLS: &str = r#"#!/bin/bash
# /// guichet
# title = "Tell"
# secrets = ["API_TOKEN"]
# [input.pin]
# sensitive = true
# ///
echo "the token is $API_TOKEN and the pin $INPUT_PIN"
head -c 3000 /dev/urandom
printf '\n{"token": "%s"}\n' "$API_TOKEN"
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_is_in_no_output() {
    let stage = stage(&[("tell.sh", TELLS)], "[secrets.API_TOKEN]\nfile = \"token.secret\"\n").await;
    let id = stage.submit("scripts.tell", json!({"pin": "9753-1"})).await;
    let run = stage.end_of(&id).await;
    assert_eq!(run["outcome"]["result"], json!({"token": "[redacted]"}), "{run}");
    let events = stage.events(&id).await;
    assert!(events.contains("the token is [redacted] and the pin [redacted]"), "{events}");
    assert!(!events.contains("s3cr3t") && !events.contains("9753-1"), "{events}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_come_and_go_and_a_broken_one_keeps_nobody_else_away() {
    let stage = stage(&[("list.sh", LIST)], "").await;
    let offered = async || {
        let answer = stage.dana.get("/v1/actions").await.unwrap().body;
        let items = answer["items"].as_array().unwrap_or_else(|| panic!("{answer}")).clone();
        let mut ids: Vec<String> =
            items.iter().filter_map(|item| item["id"].as_str()).map(str::to_owned).collect();
        ids.retain(|id| id.starts_with("scripts."));
        ids
    };
    let until_offered = async |ids: &[&str]| {
        until(&format!("{ids:?}"), || async { (offered().await == ids).then_some(()) }).await;
    };
    until_offered(&["scripts.list"]).await;
    write_script(stage.folder.path(), "refuse.sh", REFUSES);
    until_offered(&["scripts.list", "scripts.refuse"]).await;
    write_script(stage.folder.path(), "refuse.sh", &REFUSES.replace("title", "tilte"));
    until_offered(&["scripts.list"]).await;
    fs::remove_file(stage.folder.path().join("refuse.sh")).unwrap();
    // Away for a moment, it takes nothing from anybody.
    let aside = stage.traces.path().join("aside");
    fs::rename(stage.folder.path(), &aside).unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(offered().await, ["scripts.list"]);
    fs::rename(&aside, stage.folder.path()).unwrap();
    let side = "title = \"Refuse\"\n";
    fs::write(stage.folder.path().join("refuse.toml"), side).unwrap();
    fs::write(stage.folder.path().join("list.sh.toml"), "title = \"Another\"\neffect = \"read\"\n").unwrap();
    until("the side file counts", || async {
        let list = stage.dana.get("/v1/actions/scripts.list").await.unwrap().body;
        (list["title"] == "Another").then_some(())
    })
    .await;
    assert!(stage.bench.folder().exists());
}
