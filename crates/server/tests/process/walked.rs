//! `walks/add-a-provider.md`, as whoever reads it would do it: the very files that the page shows, until an action was asked
//! for, approved by somebody else, and done. The program in Rust is an example (`examples/tests/examples.rs`), and its
//! process is that of `registering.rs`.

use std::{
    fs,
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use guichet_testkit::{patience::output_within, skipped};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    gateway::{Gateway, password_hash, until},
    greeters::{Sdk, python, sdks, token_of},
    person::Person,
};

const PAGE: &str = include_str!("../../../../walks/add-a-provider.md");

/// The text between two fences of a part of the page: the `number`th of this language.
fn block(part: &str, language: &str, number: usize) -> String {
    let (_, rest) = PAGE.split_once(&format!("\n## {part}\n")).expect("the page has this part");
    let part = rest.split("\n## ").next().unwrap();
    let fence = format!("```{language}\n");
    let text = part.split(&fence).nth(number + 1).expect("the part has this block");
    text.split("```").next().unwrap().to_owned()
}

/// Part 2, on a port of its own. `more` is what another part adds to its settings.
async fn gateway_of_the_page(more: &str) -> Gateway {
    let gateway = Gateway::prepared("", "").await;
    let part = "2. A gateway to try it with";
    let settings = block(part, "toml", 0).replace('…', password_hash());
    gateway.write("guichet.toml", &format!("listen = \"127.0.0.1:0\"\n{settings}\n{more}"));
    gateway.write("registry/registry.yaml", &block(part, "yaml", 0));
    gateway.write("policy/rules.cedar", &block(part, "cedar", 0));
    gateway
}

fn checked(gateway: &Gateway) {
    let output = gateway.output(&["check", "--config"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("all is well"), "{said}");
}

/// Part 4. Gives the result.
async fn used(gateway: &Gateway) -> Value {
    let (dana, omar) = (gateway.sign_in("dana").await, gateway.sign_in("omar").await);
    let action = until("the action to be offered", || offered(&dana)).await;
    let waiting = dana.submit(&action, json!({"foo": "bar"})).await;
    assert_eq!(waiting.body["state"], "awaiting_approval", "{}", waiting.body);
    let path = format!("/v1/runs/{}/approve", waiting.id());
    let own = dana.post(&path, json!({"binding": waiting.body["binding"]})).await;
    assert_eq!(own.code(), "own-run");
    let approved = omar.post(&path, json!({"binding": waiting.body["binding"]})).await;
    assert_eq!(approved.status, 200, "{}", approved.body);
    let ended = dana.end_of(&waiting.id()).await;
    assert_eq!(ended["state"], "succeeded", "{ended}");
    ended["outcome"]["result"].clone()
}

/// The action that has the command of the page.
async fn offered(person: &Person) -> Option<String> {
    let catalogue = person.get("/v1/catalogue").await.body;
    let actions = catalogue["actions"].as_array()?;
    let command = json!(["my-service", "action-name"]);
    let action = actions.iter().find(|action| action["command"] == command)?;
    Some(format!("{}.{}", action["provider"].as_str()?, action["operation"].as_str()?))
}

/// A process that ends with its story.
struct Program(Child);

impl Program {
    fn start(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.0.kill();
        self.0.wait().unwrap();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A folder `my-service` with a token in it.
async fn my_service(gateway: &Gateway) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let token = token_of(gateway, "my-service").await;
    fs::write(folder.path().join("token"), token + "\n").unwrap();
    folder
}

/// As the page starts it, but for the port.
fn registered(program: PathBuf, folder: &TempDir, gateway: &Gateway) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir(folder.path())
        .env("GUICHET_GATEWAY", gateway.address().url())
        .env("GUICHET_TOKEN_FILE", "token")
        .env("GUICHET_LISTEN", format!("127.0.0.1:{}", free_port()));
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_python() {
    if !Sdk::Python.is_here() {
        return;
    }
    let mut gateway = gateway_of_the_page("").await;
    checked(&gateway);
    gateway.start().await;
    let folder = my_service(&gateway).await;
    fs::write(folder.path().join("main.py"), block("3 in Python", "python", 0)).unwrap();
    let mut command = registered(python(), &folder, &gateway);
    let _program = Program::start(command.arg("main.py").env("PYTHONPATH", sdks().join("python/src")));
    assert_eq!(used(&gateway).await, json!({"letters": 3, "asked_by": "dana"}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_go() {
    if !Sdk::Go.is_here() {
        return;
    }
    let mut gateway = gateway_of_the_page("").await;
    gateway.start().await;
    let folder = my_service(&gateway).await;
    fs::write(folder.path().join("main.go"), block("3 in Go", "go", 0)).unwrap();
    // What `go mod tidy` would fetch is here already.
    fs::copy(sdks().join("go/go.sum"), folder.path().join("go.sum")).unwrap();
    let replace = format!("guichet.dev/guichet={}", sdks().join("go").display());
    for words in [
        &["mod", "init", "my-service"][..],
        &["mod", "edit", "-require", "guichet.dev/guichet@v0.0.0", "-replace", &replace],
        &["build", "-mod=mod", "-o", "my-service", "."],
    ] {
        let mut go = Command::new("go");
        let output = output_within(Duration::from_mins(5), "go", go.args(words).current_dir(folder.path()));
        let output = output.unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let program = folder.path().join("my-service");
    let _program = Program::start(&mut registered(program, &folder, &gateway));
    assert_eq!(used(&gateway).await, json!({"letters": 3, "asked_by": "dana"}));
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_a_script() {
    use std::os::unix::fs::PermissionsExt as _;
    let part = "3 as a script";
    let mut gateway = gateway_of_the_page(&block(part, "toml", 1)).await;
    fs::create_dir(gateway.path("scripts")).unwrap();
    let script = gateway.path("scripts/my-action-name.sh");
    fs::write(&script, block(part, "bash", 0)).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0");
    let user = if root { "user = \"nobody\"\n" } else { "" };
    gateway.write("scripts.toml", &(block(part, "toml", 0) + user));
    checked(&gateway);
    gateway.start().await;
    assert_eq!(used(&gateway).await, json!({"letters": 3, "asked_by": "dana"}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_an_openapi_document() {
    let python = PathBuf::from("python3");
    if !Command::new(&python).arg("--version").output().is_ok_and(|output| output.status.success()) {
        skipped("there is no Python on this machine");
        return;
    }
    let part = "3 from an OpenAPI document";
    let mut gateway = gateway_of_the_page("").await;
    gateway.start().await;
    let port = free_port().to_string();
    gateway.write("my-service.py", &block(part, "python", 0).replace("7100", &port));
    let _program = Program::start(Command::new(python).arg(gateway.path("my-service.py")));
    gateway.write("my-service.yaml", &block(part, "yaml", 0));
    gateway.write("my-service.overlay.yaml", &block(part, "yaml", 1));
    let path = |name: &str| gateway.path(name).to_str().unwrap().to_owned();
    let (document, overlay) = (path("my-service.yaml"), path("my-service.overlay.yaml"));
    let url = format!("http://127.0.0.1:{port}");
    let arguments = ["my-service", "--openapi", &document, "--overlay", &overlay, "--url", &url];
    let added = gateway.output_with(&["provider", "add"], &arguments);
    assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    assert_eq!(used(&gateway).await, json!({"letters": 3}));
}
