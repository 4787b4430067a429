//! Providers that register themselves, made with each SDK: a program with a page of its own and the actions beside it, as
//! processes that share a folder, and the gateway that lets them in.

use std::{
    env,
    fs::{self, File},
    net::TcpListener,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
};

use guichet_testkit::skipped;
use serde_json::json;
use tempfile::TempDir;
use tokio::{io::copy_bidirectional, net::TcpStream, task::JoinHandle};

use crate::{
    gateway::{Gateway, password_hash, until},
    person::Address,
    rules::{POLICY, REGISTRY},
};

/// Which SDK a greeter is made with. All do the same, and are held to the same stories.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Sdk {
    /// `crates/provider-sdk`: this very program plays the part (`registering::the_greeter_at_work`).
    Rust,
    /// `sdks/python/greeter_provider.py`, in the Python environment that `cargo xtask test` makes.
    Python,
    /// `sdks/go/greeter`.
    Go,
}

impl Sdk {
    /// Whether this machine has what it takes; where it has not, that is told.
    pub(crate) fn is_here(self) -> bool {
        let missing = match self {
            Self::Rust => None,
            Self::Python => missing_python(),
            Self::Go => go_greeter().as_ref().err().cloned(),
        };
        if let Some(why) = &missing {
            skipped(why);
        }
        missing.is_none()
    }

    fn command(self) -> Command {
        match self {
            Self::Rust => {
                let mut command = Command::new(env::current_exe().unwrap());
                command.args(["--exact", "registering::the_greeter_at_work", "--nocapture"]);
                command
            }
            Self::Python => {
                let mut command = Command::new(python());
                command.arg(sdks().join("python/greeter_provider.py"));
                command.env("PYTHONPATH", sdks().join("python/src")).env("PYTHONDONTWRITEBYTECODE", "1");
                command
            }
            Self::Go => Command::new(go_greeter().as_ref().unwrap()),
        }
    }
}

/// Where the SDKs in other languages are.
pub(crate) fn sdks() -> PathBuf {
    fs::canonicalize(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sdks")).unwrap()
}

/// Where cargo builds: what xtask makes for tests is there too.
fn build_folder() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_guichetd")).ancestors().nth(2).unwrap().to_owned()
}

/// The Python of the environment in which the SDK is tried.
pub(crate) fn python() -> PathBuf {
    build_folder().join("sdk-python/bin/python")
}

fn missing_python() -> Option<String> {
    let mut asked = Command::new(python());
    asked
        .args(["-c", "import pydantic, pyseto, starlette, uvicorn"])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let there = asked.status().is_ok_and(|status| status.success());
    (!there).then(|| {
        "the Python environment of the SDK is not there, or an old one; `cargo xtask test` makes it"
            .to_owned()
    })
}

/// Built once for all stories; otherwise, why not.
fn go_greeter() -> &'static Result<PathBuf, String> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    BUILT.get_or_init(|| {
        let go = |words: &[&str]| {
            let mut go = Command::new("go");
            go.args(words).current_dir(sdks().join("go")).stdin(Stdio::null());
            go.output()
        };
        match go(&["mod", "download"]) {
            Err(_) => return Err("there is no Go on this machine; install 1.24 or a newer one".to_owned()),
            Ok(output) if !output.status.success() => {
                return Err("the modules of the SDK in Go cannot be fetched".to_owned());
            }
            Ok(_) => {}
        }
        let greeter = build_folder().join("sdk-go-greeter");
        let built = go(&["build", "-o", greeter.to_str().unwrap(), "./greeter"]).unwrap();
        assert!(built.status.success(), "sdks/go/greeter: {}", String::from_utf8_lossy(&built.stderr));
        Ok(greeter)
    })
}

/// Where a gateway always answers, whatever port its last start gave it.
struct Counter {
    url: String,
    task: JoinHandle<()>,
}

impl Counter {
    async fn before(gateway: &Address) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (url, gateway) = (format!("http://{}", listener.local_addr().unwrap()), gateway.clone());
        let task = tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let to = gateway.url().replace("http://", "");
                tokio::spawn(async move {
                    if let Ok(mut far) = TcpStream::connect(to).await {
                        // Either end may be killed in the middle of it.
                        let _ended = copy_bidirectional(&mut near, &mut far).await;
                    }
                });
            }
        });
        Self { url, task }
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The greeters: one folder, one token, any number of processes.
pub(crate) struct Greeters {
    sdk: Sdk,
    folder: TempDir,
    counter: Counter,
    token: String,
}

impl Greeters {
    pub(crate) async fn of(gateway: &Gateway, sdk: Sdk) -> Self {
        Self::as_service(gateway, sdk, "greeter-service").await
    }

    /// With the token of this service account.
    pub(crate) async fn as_service(gateway: &Gateway, sdk: Sdk, service: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        File::create(folder.path().join("stage-of-a-provider")).unwrap();
        let token = token_of(gateway, service).await;
        Self { sdk, folder, counter: Counter::before(gateway.address()).await, token }
    }

    pub(crate) fn start(&self) -> Greeter {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let log = File::options().create(true).append(true).open(self.folder.path().join("log")).unwrap();
        let process = self
            .sdk
            .command()
            .env("GUICHET_LISTEN", format!("127.0.0.1:{port}"))
            .env("GUICHET_URL", format!("http://127.0.0.1:{port}/guichet"))
            .env("GUICHET_GATEWAY", &self.counter.url)
            .env("GUICHET_TOKEN", &self.token)
            .env("GUICHET_LEASE_SECONDS", "10")
            .current_dir(self.folder.path())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Greeter { process, port }
    }

    pub(crate) fn greeted(&self) -> Vec<String> {
        let noted = fs::read_to_string(self.folder.path().join("greeted")).unwrap_or_default();
        noted.lines().map(str::to_owned).collect()
    }
}

impl Greeters {
    /// What all of them said on their log.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }
}

impl Drop for Greeters {
    fn drop(&mut self) {
        let log = self.log();
        if std::thread::panicking() {
            println!("the log of the greeters:\n{log}");
        } else {
            assert!(!log.contains(&self.token), "the token is in the log: {log}");
        }
    }
}

pub(crate) struct Greeter {
    process: Child,
    pub(crate) port: u16,
}

impl Greeter {
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn kill(&mut self) {
        // It may have ended by itself.
        let _ended = self.process.kill();
        self.process.wait().unwrap();
    }

    /// SIGTERM, and waits for its end as it should be: uvicorn raises the signal again when all is finished.
    pub(crate) async fn stopped(&mut self) {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        let ended = || std::future::ready(self.process.try_wait().unwrap());
        let status = until("the greeter to end", ended).await;
        assert!(status.success() || status.signal() == Some(15), "{status}");
    }
}

impl Drop for Greeter {
    fn drop(&mut self) {
        self.kill();
    }
}

const SERVICES: [&str; 3] = ["greeter-service", "other-service", "stray-service"];

pub(crate) fn services() -> String {
    let service = |name: &str| {
        let hash = password_hash();
        format!("[[user]]\nname = \"{name}\"\nkind = \"service_account\"\npassword_hash = \"{hash}\"\n")
    };
    SERVICES.map(service).concat()
}

pub(crate) fn write_rules(gateway: &Gateway) {
    let policy = format!(
        "{POLICY}\n@id(\"services-register\")\npermit (principal is ServiceAccount, action == Action::\"register_instance\", \
         resource) when {{ principal in resource.owner }};\n@id(\"ops-remove\")\npermit (principal in Team::\"ops\", action \
         == Action::\"remove_provider\", resource);\n"
    );
    gateway.write("policy/rules.cedar", &policy);
    write_registry(gateway, "greeter-service, other-service");
}

/// Greeters are a team of these, and own all that is called so.
pub(crate) fn write_registry(gateway: &Gateway, members: &str) {
    let greeters = format!(
        "  - {{name: greeters, members: [{members}]}}\nresources:\n  - {{pattern: 'greeter/**', owner: greeters}}\n"
    );
    gateway.write("registry/registry.yaml", &REGISTRY.replace("resources:\n", &greeters));
}

pub(crate) async fn with_services() -> Gateway {
    let mut gateway = Gateway::prepared("", &services()).await;
    write_rules(&gateway);
    gateway.start().await;
    gateway
}

/// A token that is good for registering and nothing else.
pub(crate) async fn token_of(gateway: &Gateway, service: &str) -> String {
    let body = json!({"name": "registers", "expires_in_seconds": 3600, "scopes": ["register"]});
    let made = gateway.sign_in(service).await.post("/v1/tokens", body).await;
    assert_eq!(made.status, 201, "{}", made.body);
    made.body["token"].as_str().unwrap().to_owned()
}
