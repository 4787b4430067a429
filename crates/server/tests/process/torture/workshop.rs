//! A provider as a process of its own, which counts what it does in a database of its own: what happened in the world is
//! there to be compared with what the gateway says.

use std::{
    collections::BTreeMap,
    fs::File,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use guichet_provider_sdk::{ActionError, Context, Provider, Settings, provider, with};
use rusqlite::{Connection, params};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::gateway::Gateway;

/// In the folder that the process works in.
const BOOKS: &str = "books.sqlite";
/// Says that a folder is one.
const WORKPLACE: &str = "workplace";

#[derive(Deserialize, Serialize, JsonSchema)]
struct Order {
    /// What it is called.
    name: String,
    /// How long each part of it takes, in milliseconds.
    #[schemars(range(max = 5000))]
    milliseconds: u64,
}

/// What was tried, each time; and what was done, each effect once by its key, as a service does it that takes idempotency keys.
#[derive(Clone)]
struct Books(Arc<Mutex<Connection>>);

impl Books {
    fn open(folder: &Path) -> rusqlite::Result<Self> {
        let connection = Connection::open(folder.join(BOOKS))?;
        connection.busy_timeout(Duration::from_secs(10))?;
        connection.execute_batch(
            "PRAGMA journal_mode = WAL;
             CREATE TABLE IF NOT EXISTS tried (key TEXT NOT NULL);
             CREATE TABLE IF NOT EXISTS done (key TEXT PRIMARY KEY);",
        )?;
        Ok(Self(Arc::new(Mutex::new(connection))))
    }

    /// One effect.
    fn note(&self, key: &str) -> Result<(), ActionError> {
        let write = || -> rusqlite::Result<()> {
            let mut connection = self.0.lock().unwrap();
            let transaction = connection.transaction()?;
            transaction.execute("INSERT INTO tried VALUES (?1)", params![key])?;
            transaction.execute("INSERT OR IGNORE INTO done VALUES (?1)", params![key])?;
            transaction.commit()
        };
        write().map_err(|error| ActionError::failed(error.to_string()))
    }
}

async fn takes(order: &Order) {
    tokio::time::sleep(Duration::from_millis(order.milliseconds)).await;
}

fn run_of(context: &Context) -> Result<&str, ActionError> {
    context.run().ok_or_else(|| ActionError::failed("a change belongs to a run"))
}

/// Short, and done again whenever it is called again: nobody may.
async fn make(books: Books, context: Context, order: Order) -> Result<Value, ActionError> {
    takes(&order).await;
    books.note(&format!("{}/make", run_of(&context)?))?;
    takes(&order).await;
    Ok(json!({"made": order.name}))
}

/// Short, and does no harm when it is called again.
async fn stamp(books: Books, context: Context, order: Order) -> Result<Value, ActionError> {
    takes(&order).await;
    books.note(&format!("{}/stamp", run_of(&context)?))?;
    takes(&order).await;
    Ok(json!({"stamped": order.name}))
}

pub(super) const PARTS: [&str; 3] = ["foundation", "walls", "roof"];

/// Three parts and a pause, each undone when it does not come to its end.
async fn build(books: Books, context: Context, order: Order) -> Result<Value, ActionError> {
    for part in PARTS {
        let (taken, key) = (books.clone(), context.key(&format!("undo {part}")));
        context.undo(part, move || async move { taken.note(&key) })?;
        let lay = || async {
            takes(&order).await;
            books.note(&context.key(part))
        };
        context.step(part, lay).await?;
        if part == "walls" {
            context.sleep("drying", Duration::from_millis(400)).await?;
        }
    }
    if order.name.ends_with("crooked") {
        return Err(ActionError::conflict("it leans").next("build it anew"));
    }
    Ok(json!({"built": order.name}))
}

fn workshop(books: &Books) -> Provider {
    provider("workshop")
        .action("make", with(books, make))
        .command("workshop make")
        .resource("things/make")
        .done()
        .action("demolish", with(books, make))
        .destroy()
        .command("workshop demolish")
        .resource("things/demolish")
        .approval(guichet_provider_sdk::team("ops"))
        .done()
        .action("stamp", with(books, stamp))
        .idempotent()
        .command("workshop stamp")
        .resource("things/stamp")
        .done()
        .action("build", with(books, build))
        .resumable()
        .timeout("10m")
        .command("workshop build")
        .resource("things/build")
        .concurrency("site/{name}")
        .done()
}

/// No story, but the process that the stories start: in a folder of theirs alone there is something to serve.
#[tokio::test]
async fn the_workshop_at_work() {
    let (true, Ok(settings)) = (Path::new(WORKPLACE).exists(), Settings::from_env()) else { return };
    let books = Books::open(Path::new(".")).unwrap();
    workshop(&books).serve(settings).await.unwrap();
}

/// Its process, and the folder it works in.
pub(super) struct Workshop {
    process: Option<Child>,
    port: u16,
    keys: String,
    folder: TempDir,
}

impl Workshop {
    pub(super) fn unborn() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = tempfile::tempdir().unwrap();
        File::create(folder.path().join(WORKPLACE)).unwrap();
        Self { process: None, port, keys: String::new(), folder }
    }

    /// For the configuration.
    pub(super) fn table(&self) -> String {
        format!(
            "[[provider]]\nname = \"workshop\"\nurl = \"http://127.0.0.1:{}\"\nstrict = true\n",
            self.port
        )
    }

    /// It believes this gateway, which has the same keys after each start.
    pub(super) async fn believe(&mut self, gateway: &Gateway) {
        let keys = gateway.nobody().get("/v1/keys").await.body;
        let keys: Vec<&str> =
            keys["keys"].as_array().unwrap().iter().map(|key| key["public"].as_str().unwrap()).collect();
        self.keys = keys.join(",");
    }

    pub(super) fn start(&mut self) {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "torture::workshop::the_workshop_at_work"])
            .env("GUICHET_LISTEN", format!("127.0.0.1:{}", self.port))
            .env("GUICHET_PUBLIC_KEYS", &self.keys)
            .current_dir(self.folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.process = Some(child);
    }

    /// SIGKILL.
    pub(super) fn kill(&mut self) {
        if let Some(mut child) = self.process.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// How often each thing was tried, by its key; and of each whether it was done.
    pub(super) fn books(&self) -> BTreeMap<String, usize> {
        let connection = Connection::open(self.folder.path().join(BOOKS)).unwrap();
        let mut statement = connection
            .prepare("SELECT done.key, count(tried.key) FROM done LEFT JOIN tried USING (key) GROUP BY 1")
            .unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?))).unwrap();
        rows.map(|row| row.map(|(key, tries)| (key, usize::try_from(tries).unwrap())).unwrap()).collect()
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        self.kill();
    }
}
