//! The shop's database server: roles, tables and rows.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, Result};
use guichet_throwaway_postgres::Cluster;

use crate::{interrupt, process::wait_until};

/// Roles of the shop's applications may do what they like in its databases; Guichet's may look and signal.
const GRANTS: &str = "
    GRANT pg_monitor, pg_signal_backend TO guichet;
    CREATE DATABASE shop;
    CREATE DATABASE shop_archive;";

const TABLES: &str = "
    CREATE EXTENSION pg_stat_statements;
    CREATE TABLE customers (id bigint PRIMARY KEY, name text NOT NULL, country text NOT NULL);
    CREATE TABLE orders (
        id bigint PRIMARY KEY, customer_id bigint NOT NULL, ordered_at timestamptz NOT NULL,
        amount numeric(10, 2) NOT NULL, status text NOT NULL);
    CREATE TABLE invoices (id bigint PRIMARY KEY, order_id bigint NOT NULL, amount numeric(10, 2) NOT NULL, paid boolean NOT NULL);
    INSERT INTO customers
        SELECT n, 'Customer ' || n, (ARRAY['FR', 'DE', 'ES', 'IT', 'PL'])[1 + n % 5] FROM generate_series(1, 5000) n;
    INSERT INTO orders
        SELECT n, 1 + n * 7919 % 5000, now() - n * interval '90 seconds', 5 + n * 37 % 29500 / 100.0,
               (ARRAY['placed', 'paid', 'shipped', 'delivered'])[1 + n % 4]
        FROM generate_series(1, 100000) n;
    INSERT INTO invoices SELECT n, n, 5 + n * 37 % 29500 / 100.0, n % 9 <> 0 FROM generate_series(1, 80000) n;
    CREATE INDEX ON orders (customer_id);
    GRANT ALL ON ALL TABLES IN SCHEMA public TO shop_app;
    GRANT SELECT ON ALL TABLES IN SCHEMA public TO shop_reporting;
    ANALYZE;";

/// The server, filled.
pub(super) struct Database(Cluster);

impl Database {
    pub(super) fn start() -> Result<Self> {
        let cluster = Cluster::start()?;
        for role in ["shop_app", "shop_reporting", "guichet"] {
            cluster.role(role, "")?;
        }
        for statement in GRANTS.split(';').filter(|statement| !statement.trim().is_empty()) {
            // One by one: a database is not made inside a transaction.
            cluster.sql(statement)?;
        }
        cluster.sql_in("shop", TABLES).context("the shop cannot be filled")?;
        interrupt::check()?;
        Ok(Self(cluster))
    }

    /// The cluster's own folder.
    pub(super) fn folder(&self) -> &Path {
        self.0.dir()
    }

    /// A URL with password, for a role and a database.
    pub(super) fn url(&self, role: &str, database: &str) -> String {
        self.0.url(role).replace("/postgres?", &format!("/{database}?"))
    }

    /// Asks as superuser: the script's second opinion, which goes by nothing that Guichet says.
    pub(super) fn ask(&self, sql: &str) -> Result<String> {
        self.0.sql_in("shop", sql)
    }

    /// Waits until this question is answered `t`.
    pub(super) fn wait_for(&self, what: &str, sql: &str) -> Result<()> {
        wait_until(what, Duration::from_secs(30), || Ok((self.ask(sql)? == "t").then_some(())))
    }

    /// Stops the server and removes its folder.
    pub(super) fn remove(self) -> Result<()> {
        self.0.remove()
    }
}
