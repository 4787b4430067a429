//! The provider's declarations: every action, its words, and who must approve.

use guichet_provider_sdk::{OptionsFrom, Provider, from, owner, provider as declare, table, with};
use serde_json::json;

use crate::{
    activity, instances::Instances, list, locks, long_transactions, replication_lag, settings::Settings,
    settings::SettingsError, slow_queries, stop,
};

const STOPS: [&str; 2] = ["cancel-query", "terminate-backend"];

/// The provider `postgres` for these instances. Connects to nothing before it is asked.
pub fn provider(settings: &Settings) -> Result<Provider, SettingsError> {
    let instances = Instances::new(settings)?;
    let provider = looks(declare("postgres").title("PostgreSQL"), &instances);
    Ok(stops(provider, &instances))
}

fn looks(provider: Provider, instances: &Instances) -> Provider {
    provider
        .description("Databases: which there are, who blocks whom, and how to stop one query.")
        .action("list-instances", with(instances, list::list))
        .read()
        .command("rds instances list")
        .title("List databases and their replicas")
        .resource("postgres")
        .view(table("/instances").columns([
            "identifier",
            "role",
            "version",
            "up",
            "lag_seconds",
            "connections_used",
            "connections_max",
            "note",
        ]))
        .action("list-activity", with(instances, activity::list))
        .read()
        .command("rds activity")
        .title("Show what runs on a database, and who blocks whom")
        .resource("postgres/{identifier}")
        .options("identifier", instances_of())
        .view(
            table("/sessions")
                .columns([
                    "pid",
                    "user",
                    "application",
                    "state",
                    "wait",
                    "transaction_seconds",
                    "query_seconds",
                    "blocks",
                    "blocked_by",
                    "query",
                ])
                .tree("depth", "pid")
                .row_actions(STOPS),
        )
        .example("what runs on shop", json!({"identifier": "shop"}))
        .action("list-slow-queries", with(instances, slow_queries::list))
        .read()
        .command("rds slow-queries")
        .title("Show the queries that cost a database most")
        .resource("postgres/{identifier}")
        .options("identifier", instances_of())
        .view(table("/queries").columns([
            "total_seconds",
            "share_percent",
            "calls",
            "mean_ms",
            "max_ms",
            "rows",
            "user",
            "query",
        ]))
        .action("list-locks", with(instances, locks::list))
        .read()
        .command("rds locks")
        .title("Show who holds or awaits which lock")
        .resource("postgres/{identifier}")
        .options("identifier", instances_of())
        .view(
            table("/locks")
                .columns([
                    "pid",
                    "user",
                    "application",
                    "kind",
                    "object",
                    "mode",
                    "granted",
                    "waiting_seconds",
                    "query",
                ])
                .row_actions(STOPS),
        )
        .action("list-long-transactions", with(instances, long_transactions::list))
        .read()
        .command("rds long-transactions")
        .title("Show transactions that have been open for long")
        .resource("postgres/{identifier}")
        .options("identifier", instances_of())
        .view(
            table("/transactions")
                .columns([
                    "pid",
                    "user",
                    "application",
                    "state",
                    "transaction_seconds",
                    "state_seconds",
                    "holds_back_vacuum_by",
                    "query",
                ])
                .row_actions(STOPS),
        )
        .action("show-replication-lag", with(instances, replication_lag::list))
        .read()
        .command("rds replication-lag")
        .title("Show how far a database's copies are behind")
        .resource("postgres/{identifier}")
        .options("identifier", instances_of())
        .view(table("/copies").columns(["name", "seen_as", "state", "lag_seconds", "lag_bytes", "note"]))
        .done()
}

fn stops(provider: Provider, instances: &Instances) -> Provider {
    provider
        .action("cancel-query", with(instances, stop::cancel))
        .change()
        .plan(with(instances, stop::plan_cancel))
        .command("rds cancel-query")
        .title("Cancel the query of one session")
        .description(
            "Ends the query that the plan shows and no other: when the session runs another one meanwhile, \
             nothing is cancelled. The session stays connected; its transaction fails.",
        )
        .resource("postgres/{identifier}")
        .concurrency("postgres/{identifier}/{pid}")
        .options("identifier", instances_of())
        .options("pid", sessions_of())
        .example("cancel the query of session 14024", json!({"identifier": "shop", "pid": 14024}))
        .action("terminate-backend", with(instances, stop::terminate))
        .destroy()
        .approval(owner().because("ends a session and rolls back its transaction"))
        .plan(with(instances, stop::plan_terminate))
        .command("rds terminate-backend")
        .title("Terminate one session")
        .description(
            "Ends the session that the plan shows, when it still is as the plan shows it; its transaction is \
             rolled back and its locks are released.",
        )
        .resource("postgres/{identifier}")
        .concurrency("postgres/{identifier}/{pid}")
        .options("identifier", instances_of())
        .options("pid", sessions_of())
        .example("terminate session 14024", json!({"identifier": "shop", "pid": 14024}))
        .done()
}

fn instances_of() -> OptionsFrom {
    from("list-instances").rows("/instances").value("/identifier").label("/title").label("/role")
}

fn sessions_of() -> OptionsFrom {
    from("list-activity")
        .with("identifier", "identifier")
        .rows("/sessions")
        .value("/pid")
        .label("/user")
        .label("/application")
        .label("/query")
}
