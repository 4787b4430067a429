//! What is true of PostgreSQL alone. What is true of every store stands in `conformance`.

mod breaking;
mod cutting;
mod forgetting;
mod moving;
mod opening;
mod restoring;
mod sharing;
mod waiting;

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU64, Ordering},
};

use guichet_throwaway_postgres::Cluster;
use tokio_postgres::Client;

use super::{PostgresSettings, PostgresStore, connect::Connector, migrations};
use crate::conformance::Premises;

/// One server for all cases of this process. A static is never dropped: the server goes with the process.
fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| Cluster::start().unwrap())
}

/// A database of its own on that server.
struct Database(String);

impl Database {
    fn fresh() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let name = format!("case_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        cluster().sql(&format!("CREATE DATABASE {name}")).unwrap();
        Self(name)
    }
    fn settings(&self) -> PostgresSettings {
        settings_on(cluster(), &self.0)
    }
    async fn store(&self) -> PostgresStore {
        PostgresStore::open(&self.settings()).await.unwrap()
    }
    fn sql(&self, sql: &str) -> String {
        cluster().sql_in(&self.0, sql).unwrap()
    }
    /// One whose schema is of this version.
    async fn of_version(version: usize) -> Self {
        let database = Self::fresh();
        let mut client = database.somebody().await;
        migrations::migrate_to(&mut client, version).await.unwrap();
        database
    }
    /// Somebody else's session, which may be silent in the midst of a transaction.
    async fn somebody(&self) -> Client {
        let (client, connection) = Connector::new(&self.settings()).unwrap().connect().await.unwrap();
        tokio::spawn(connection);
        client.batch_execute("SET idle_in_transaction_session_timeout = 0").await.unwrap();
        client
    }
}

fn settings_on(cluster: &Cluster, database: &str) -> PostgresSettings {
    let url = cluster.url_superuser().replace("/postgres?", &format!("/{database}?"));
    PostgresSettings { url: url.into(), password: None, ca_file: None }
}

impl Premises for Database {
    type Store = PostgresStore;
    async fn open(&self) -> Arc<PostgresStore> {
        Arc::new(self.store().await)
    }
}

mod conformance {
    use super::Database;
    crate::conformance_suite!(Database::fresh());
}
