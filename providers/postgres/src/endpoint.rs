//! One server: its pool, and errors in words that a person who asked can use.

use deadpool_postgres::{Object, Pool, PoolError, TimeoutType};
use guichet_provider_sdk::ActionError;
use tokio_postgres::{Row, error::SqlState, types::ToSql};

use crate::{connect, settings::Server};

/// The oldest version whose views this provider knows.
const OLDEST: i32 = 140_000;

/// One server that can be asked.
pub(crate) struct Endpoint {
    pub(crate) server: Server,
    pool: Pool,
}

impl Endpoint {
    pub(crate) fn new(server: Server) -> Result<Self, crate::SettingsError> {
        let pool = connect::pool(&server)?;
        Ok(Self { server, pool })
    }

    pub(crate) fn identifier(&self) -> &str {
        &self.server.identifier
    }

    /// A connection.
    pub(crate) async fn connect(&self) -> Result<Object, ActionError> {
        self.pool.get().await.map_err(|error| self.unreachable(&error))
    }

    /// Asks one thing.
    pub(crate) async fn ask(
        &self,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, ActionError> {
        let client = self.connect().await?;
        self.ask_on(&client, sql, parameters).await
    }

    /// Asks one thing on this connection.
    pub(crate) async fn ask_on(
        &self,
        client: &Object,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, ActionError> {
        let answer = async {
            let statement = client.prepare_cached(sql).await?;
            client.query(&statement, parameters).await
        };
        answer.await.map_err(|error| self.explain(&error))
    }

    fn unreachable(&self, error: &PoolError) -> ActionError {
        let why = match error {
            PoolError::Timeout(TimeoutType::Wait) => {
                return ActionError::unavailable(format!(
                    "all {} connections to `{}` are in use",
                    self.server.max_connections,
                    self.identifier()
                ))
                .next("try again in a moment");
            }
            PoolError::Timeout(_) => {
                format!("it did not answer within {} s", connect::CONNECT_WITHIN.as_secs())
            }
            PoolError::Backend(error) => words(error),
            other => other.to_string(),
        };
        ActionError::unavailable(format!("instance `{}` cannot be reached: {why}", self.identifier()))
            .next("look whether it is up, and whether its settings in the provider are right")
    }

    /// What PostgreSQL says, and what to do about it where that is known.
    pub(crate) fn explain(&self, error: &tokio_postgres::Error) -> ActionError {
        let what = format!("instance `{}`: {}", self.identifier(), words(error));
        match error.code() {
            Some(code) if *code == SqlState::INSUFFICIENT_PRIVILEGE => {
                ActionError::failed(what).next("grant Guichet's role pg_monitor and pg_signal_backend")
            }
            Some(code) if *code == SqlState::QUERY_CANCELED => {
                ActionError::unavailable(what).next("the server is slow to answer; try again in a moment")
            }
            Some(code) if *code == SqlState::UNDEFINED_COLUMN || *code == SqlState::UNDEFINED_FUNCTION => {
                ActionError::failed(what).next(format!("PostgreSQL {} or later is needed", OLDEST / 10_000))
            }
            Some(_) => ActionError::failed(what),
            None => ActionError::unavailable(what).next("the connection broke; try again"),
        }
    }
}

/// The innermost words: `tokio_postgres` says `db error` and keeps the rest for its source.
fn words(error: &tokio_postgres::Error) -> String {
    if let Some(told) = error.as_db_error() {
        return format!("{} (SQLSTATE {})", told.message(), told.code().code());
    }
    let mut words = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        words = format!("{words}: {cause}");
        source = cause.source();
    }
    words
}
