//! A provider as a process of its own, which counts what it does in a database of its own: what happened in the world is
//! there to be compared with what the gateway says.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use guichet_provider_sdk::{ActionError, Context, Provider, provider, with};
use rusqlite::{Connection, params};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::provider_process::{self, ProviderProcess};

/// In the folder that the process works in.
const BOOKS: &str = "books.sqlite";

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
    fn open(file: &Path) -> rusqlite::Result<Self> {
        let connection = Connection::open(file)?;
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

pub(crate) const PARTS: [&str; 3] = ["foundation", "walls", "roof"];

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

/// No story, but the process that the stories start.
#[tokio::test]
async fn the_workshop_at_work() {
    let Some(settings) = provider_process::settings() else { return };
    let books = Books::open(Path::new(BOOKS)).unwrap();
    workshop(&books).serve(settings).await.unwrap();
}

/// Its process.
pub(crate) fn unborn() -> ProviderProcess {
    ProviderProcess::unborn("workshop", "torture::workshop::the_workshop_at_work")
}

/// How often each thing was tried, by its key; and of each whether it was done.
pub(crate) fn books(workshop: &ProviderProcess) -> BTreeMap<String, usize> {
    let connection = Connection::open(workshop.path(BOOKS)).unwrap();
    let mut statement = connection
        .prepare("SELECT done.key, count(tried.key) FROM done LEFT JOIN tried USING (key) GROUP BY 1")
        .unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?))).unwrap();
    rows.map(|row| row.map(|(key, tries)| (key, usize::try_from(tries).unwrap())).unwrap()).collect()
}
