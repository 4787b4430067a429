//! A program that nobody here wrote is added through the gateway's API, by a person with the real `guichet`: seen by every gateway
//! of a database, called with a token that nobody sees, there after a `kill -9`, and gone when it is removed.

use std::{path::Path, process::Command, time::Duration};

use guichet_testkit::{patience::output_within, skipped};
use guichet_throwaway_postgres::Cluster;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    gateway::{Gateway, SECRET, until},
    person::Person,
    proof::proven,
    replica::{Replica, database},
    rules::{PASSWORD, POLICY},
    services::{Running, said},
};

const ADD: &str = "@id(\"developers-add\")
permit (principal in Team::\"developers\", action == Action::\"add_provider\", resource == Resource::\"bao\");
";

const PATH: &str = "/v1/providers/bao/service";

fn allow_adding(gateway: &Gateway) {
    gateway.write("policy/rules.cedar", &format!("{POLICY}{ADD}"));
}

/// The operator's part: a token that is shown at one address, to one provider.
fn credential(url: &str) -> String {
    format!(
        "[credential.bao]\nauth = {{kind = \"header\", header = \"X-Vault-Token\", secret_file = \"bao.token\"}}\n\
         urls = [\"{url}\"]\nproviders = [\"bao\"]\n"
    )
}

async fn mounts(person: &Person) {
    until("the mounts", || async {
        let answer = person.get("/providers/bao/sys/mounts").await;
        (answer.status == 200).then(|| assert!(answer.body["data"]["secret/"].is_object(), "{}", answer.body))
    })
    .await;
}

async fn row(person: &Person) -> Option<Value> {
    let answer = person.get("/v1/providers/bao").await;
    (answer.status == 200).then_some(answer.body)
}

/// The real `guichet` with a home of its own, signed in as dana.
struct CommandLine {
    guichet: std::path::PathBuf,
    home: tempfile::TempDir,
}

impl CommandLine {
    fn of(person: &Person) -> Option<Self> {
        let guichet = Path::new(env!("CARGO_BIN_EXE_guichetd")).with_file_name("guichet");
        if !guichet.is_file() {
            return None;
        }
        let line = Self { guichet, home: tempfile::tempdir().unwrap() };
        let url = person.url();
        let login = line.run(&["login", "--gateway", &url, "--user", "dana", "--password-stdin"]);
        assert!(login.contains("dana"), "{login}");
        Some(line)
    }

    fn run(&self, arguments: &[&str]) -> String {
        let home = self.home.path();
        let mut command = Command::new("sh");
        command.args(["-c", "printf '%s\\n' \"$TYPED\" | \"$0\" \"$@\""]).arg(&self.guichet).args(arguments);
        command.env("HOME", home).env("XDG_CONFIG_HOME", home).env("XDG_CACHE_HOME", home);
        command.env("XDG_STATE_HOME", home).env("TYPED", PASSWORD);
        said(&output_within(Duration::from_mins(1), "guichet", &mut command).unwrap())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openbao_is_added_through_the_api_and_all_gateways_of_the_database_know_it() {
    let real = match Running::openbao().await {
        Ok(real) => real,
        Err(why) => return skipped(&why),
    };
    let cluster = Cluster::start().unwrap();
    let base = format!("{}/v1", real.url);
    let mut gateway = Gateway::prepared("", "").await;
    gateway.write("bao.token", SECRET);
    allow_adding(&gateway);
    let store = database(&cluster, &gateway);
    gateway.with_tables(&format!("{store}{}", credential(&real.url)));
    gateway.start().await;
    let (dana, eve) = (gateway.sign_in("dana").await, gateway.sign_in("eve").await);
    let body =
        json!({"openapi": format!("{base}/sys/internal/specs/openapi"), "url": base, "credential": "bao"});
    let put = async |person: &Person, name: &str, query: &str| {
        let path = format!("/v1/providers/{name}/service{query}");
        person.call(Method::PUT, &path, Some(&body), &[]).await.unwrap()
    };
    for (person, name) in [(&eve, "bao"), (&dana, "vault")] {
        let refused = put(person, name, "").await;
        assert_eq!((refused.status.as_u16(), refused.code()), (403, "refused"), "{}", refused.body);
    }
    let looked = put(&dana, "bao", "?dry_run=true").await;
    assert_eq!(looked.status, 200, "{}", looked.body);
    assert!(looked.body["operations"].as_array().unwrap().len() > 100);
    assert_eq!(row(&dana).await, None, "it was only looked");

    let replica =
        Replica::with(&gateway, "bao.token", &gateway.path("bao.token").display().to_string()).await;
    let there = Person::nobody(&replica.address).sign_in("dana", PASSWORD).await;
    let line = CommandLine::of(&dana);
    match &line {
        Some(line) => {
            let (document, url) = (body["openapi"].as_str().unwrap(), base.as_str());
            let added = line.run(&[
                "providers",
                "add",
                "bao",
                "--openapi",
                document,
                "--url",
                url,
                "--credential",
                "bao",
                "--yes",
            ]);
            assert!(added.contains("usable, 0 refused") && added.contains("added: bao"), "{added}");
        }
        None => assert_eq!(put(&dana, "bao", "").await.body["became"], "added"),
    }
    mounts(&dana).await;
    mounts(&there).await;
    if let Some(line) = line {
        let described = line.run(&["providers", "describe", "bao"]);
        assert!(described.contains(&base) && !described.contains(SECRET), "{described}");
    }
    // Its document has its lists in another order each time, so that it may well be another one.
    let again = put(&there, "bao", "").await;
    let became = again.body["became"].as_str().unwrap_or_default();
    assert!(again.status == 200 && ["unchanged", "replaced"].contains(&became), "{} {became}", again.status);

    // A change, told at the other gateway.
    let policy = json!({"name": "readers", "policy": "path \"secret/*\" { capabilities = [\"read\"] }"});
    let run = there.submitted("bao.policies-write-acl-policy", policy).await;
    assert_eq!(dana.end_of(&run).await["state"], "succeeded");

    gateway.kill_and_start().await;
    let dana = gateway.sign_in("dana").await;
    mounts(&dana).await;
    let told = row(&dana).await.unwrap();
    assert_eq!((&told["owner"], &told["service"]["credential"]), (&json!("dana"), &json!("bao")), "{told}");
    for page in ["/v1/providers", "/v1/catalogue", "/v1/runs"] {
        assert!(!dana.get(page).await.body.to_string().contains(SECRET), "{page}");
    }
    for record in dana.all("/v1/records").await {
        assert!(!record.to_string().contains(SECRET), "{record}");
    }
    let remove =
        async |person: &Person| person.call(Method::DELETE, "/v1/providers/bao", None, &[]).await.unwrap();
    let stranger = remove(&gateway.sign_in("eve").await).await;
    assert_eq!(stranger.code(), "refused", "{}", stranger.body);
    let gone = remove(&dana).await;
    assert_eq!(gone.status, 204, "{}", gone.body);
    for person in [&dana, &there] {
        until("it to be gone", || async {
            (person.get("/v1/actions/bao.seal-status").await.status == 404).then_some(())
        })
        .await;
    }
    assert!(!replica.log().contains(SECRET));
    proven(&dana, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_while_a_service_is_added_leaves_it_added_or_not() {
    let real = match Running::openbao().await {
        Ok(real) => real,
        Err(why) => return skipped(&why),
    };
    let mut gateway = Gateway::prepared("", &credential(&real.url)).await;
    gateway.write("bao.token", SECRET);
    allow_adding(&gateway);
    gateway.start().await;
    let base = format!("{}/v1", real.url);
    let body =
        json!({"openapi": format!("{base}/sys/internal/specs/openapi"), "url": base, "credential": "bao"});
    for pause in [30, 120, 400, 900] {
        let dana = gateway.sign_in("dana").await;
        let adding = {
            let (dana, body) = (dana.clone(), body.clone());
            // Whoever is cut off has no answer.
            tokio::spawn(async move { dana.call(Method::PUT, PATH, Some(&body), &[]).await.ok() })
        };
        tokio::time::sleep(Duration::from_millis(pause)).await;
        gateway.kill_and_start().await;
        let answered = adding.await.unwrap().is_some_and(|answer| answer.status == 200);
        let dana = gateway.sign_in("dana").await;
        let added: Vec<Value> = dana
            .all("/v1/records?verb=add_provider")
            .await
            .into_iter()
            .filter(|record| record["detail"].as_str().is_some_and(|detail| detail.contains(", added")))
            .collect();
        let is_there = row(&dana).await.is_some();
        assert_eq!(is_there, !added.is_empty(), "there, and told of it: {added:?}");
        assert!(is_there || !answered, "what was answered is there after {pause} ms");
        if is_there {
            mounts(&dana).await;
            break;
        }
    }
    let dana = gateway.sign_in("dana").await;
    let ends = dana.call(Method::PUT, PATH, Some(&body), &[]).await.unwrap();
    assert_eq!(ends.status, 200, "{}", ends.body);
    mounts(&dana).await;
}
