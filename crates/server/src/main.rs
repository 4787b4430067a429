//! The binary `guichetd`.

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use guichet_server::{
    Role,
    commands::{self, check::Asking, provider::Adding},
};

/// Many small allocations on two or more threads at once: measured, this is where glibc's allocator costs most.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The counter between developers and production: serves the gateway.
#[derive(Parser)]
#[command(
    name = "guichetd",
    version,
    after_help = "Examples:\n  guichetd check --config guichet.toml\n  guichetd serve --config guichet.toml\n  guichetd hash-password"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the gateway until SIGTERM or Ctrl-C.
    Serve {
        /// The configuration file.
        #[arg(long, default_value = "guichet.toml")]
        config: PathBuf,
        /// Write {"url": …} to this file once requests are answered.
        #[arg(long)]
        ready_file: Option<PathBuf>,
        /// Perform no runs and tell nobody: `guichetd work` does, on the same PostgreSQL.
        #[arg(long)]
        no_work: bool,
    },
    /// Perform runs and tell people, until SIGTERM or Ctrl-C, for gateways on the same PostgreSQL; answer probes only.
    #[command(after_help = "Examples:\n  guichetd work --config guichet.toml")]
    Work {
        /// The configuration file; at its `listen`, probes, metrics and keys are answered.
        #[arg(long, default_value = "guichet.toml")]
        config: PathBuf,
        /// Write {"url": …} to this file once probes are answered.
        #[arg(long)]
        ready_file: Option<PathBuf>,
    },
    /// Check configuration, policies, registry and the providers' documents; change nothing.
    Check {
        /// The configuration file.
        #[arg(long, default_value = "guichet.toml")]
        config: PathBuf,
        /// Do not ask providers that are reached over the network.
        #[arg(long)]
        offline: bool,
        /// Ask no provider: read their documents from this folder, NAME.json each.
        #[arg(long)]
        documents: Option<PathBuf>,
    },
    /// Add, list and remove providers that have a file of their own.
    #[command(subcommand)]
    Provider(ProviderCommand),
    /// Try policies before they are in force.
    Policy {
        #[command(subcommand)]
        command: PolicyCommand,
    },
    /// Bring the schema of the store up to date, as a start does.
    Migrate {
        /// The configuration file.
        #[arg(long, default_value = "guichet.toml")]
        config: PathBuf,
    },
    /// Write everything in the store into a new folder; the gateway may run meanwhile.
    #[command(
        after_help = "Examples:\n  guichetd backup /var/backups/guichet/2026-01-31 --config guichet.toml"
    )]
    Backup {
        /// A folder that does not exist or is empty.
        to: PathBuf,
        /// The configuration file.
        #[arg(long, default_value = "guichet.toml")]
        config: PathBuf,
    },
    /// Take a backup, made of SQLite or PostgreSQL, into the store of the configuration, which must be empty.
    #[command(
        after_help = "Examples:\n  guichetd restore /var/backups/guichet/2026-01-31 --config guichet.toml"
    )]
    Restore {
        /// The folder of the backup.
        from: PathBuf,
        /// The configuration file.
        #[arg(long, default_value = "guichet.toml")]
        config: PathBuf,
    },
    /// Look after the audit trail; with SQLite, the gateway must be stopped, but for `new-key`.
    #[command(subcommand)]
    Ledger(LedgerCommand),
    /// Make the hash of a password for a [[user]] of the configuration.
    HashPassword {
        /// Read the password from standard input instead of the terminal.
        #[arg(long)]
        password_stdin: bool,
    },
}

#[derive(Subcommand)]
enum ProviderCommand {
    /// Make a service with an OpenAPI document a provider.
    #[command(
        after_help = "Examples:\n  guichetd provider add alertmanager --openapi http://127.0.0.1:9093/api/v2/swagger.json\n  guichetd provider add bao --openapi https://bao.internal/v1/sys/internal/specs/openapi --auth header --header X-Vault-Token --secret-file bao.token"
    )]
    Add {
        #[command(flatten)]
        adding: Box<Adding>,
        /// The configuration file.
        #[arg(long, default_value = "guichet.toml")]
        config: PathBuf,
    },
    /// List all providers that are configured.
    List {
        /// The configuration file.
        #[arg(long, default_value = "guichet.toml")]
        config: PathBuf,
    },
    /// Remove a provider that was added.
    Remove {
        /// Its name.
        name: String,
        /// The configuration file.
        #[arg(long, default_value = "guichet.toml")]
        config: PathBuf,
    },
}

#[derive(Subcommand)]
enum PolicyCommand {
    /// Run the cases beside the policies (*.test.yaml); exit 1 when one does not hold.
    #[command(
        after_help = "Examples:\n  guichetd policy test --config guichet.toml\n  guichetd policy test --policy policy --registry registry --documents documents"
    )]
    Test {
        /// The configuration file that names the folders.
        #[arg(long, default_value = "guichet.toml")]
        config: PathBuf,
        /// Do not ask providers that are reached over the network.
        #[arg(long)]
        offline: bool,
        /// Without a configuration: the folder of policies and cases.
        #[arg(long, conflicts_with_all = ["config", "offline"], requires = "documents")]
        policy: Option<PathBuf>,
        /// Without a configuration: the folder of the registry.
        #[arg(long, default_value = "registry", requires = "policy")]
        registry: PathBuf,
        /// Ask no provider: read their documents from this folder, NAME.json each.
        #[arg(long)]
        documents: Option<PathBuf>,
        /// Without a configuration: where a case is that does not say it.
        #[arg(long, default_value = "production", requires = "policy")]
        environment: String,
    },
}

#[derive(Subcommand)]
enum LedgerCommand {
    /// Archive old records, verify the archive, then delete them from the store; their hashes stay.
    Prune {
        /// The configuration file.
        #[arg(long, default_value = "guichet.toml")]
        config: PathBuf,
        /// Only records from before this day (UTC) or moment: 2026-01-31, 2026-01-31T08:00:00Z.
        #[arg(long)]
        before: String,
        /// A new folder for the archive.
        #[arg(long)]
        archive: PathBuf,
    },
    /// Make a new key that signs checkpoints beside the old one, from the next start on.
    NewKey {
        /// The configuration file.
        #[arg(long, default_value = "guichet.toml")]
        config: PathBuf,
    },
    /// Let only the newest key sign, from the next start on.
    DropOldKeys {
        /// The configuration file.
        #[arg(long, default_value = "guichet.toml")]
        config: PathBuf,
    },
}

fn main() -> ExitCode {
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        return commands::fail("another TLS provider was installed before; this build is broken");
    }
    let done = match Arguments::parse().command {
        Command::Serve { config, ready_file, no_work } => {
            let role = if no_work { Role::Serve } else { Role::Whole };
            commands::serve::serve(role, &config, ready_file.as_deref())
        }
        Command::Work { config, ready_file } => {
            commands::serve::serve(Role::Work, &config, ready_file.as_deref())
        }
        Command::Check { config, offline, documents } => {
            commands::check::check(&config, &Asking { offline, documents })
        }
        Command::Provider(ProviderCommand::Add { adding, config }) => {
            commands::provider::add(&config, &adding)
        }
        Command::Provider(ProviderCommand::List { config }) => commands::provider::list(&config),
        Command::Provider(ProviderCommand::Remove { name, config }) => {
            commands::provider::remove(&config, &name)
        }
        Command::Policy {
            command: PolicyCommand::Test { config, offline, policy, registry, documents, environment },
        } => match (policy, documents) {
            (Some(policy), Some(documents)) => {
                commands::policy_test::test_folders(&policy, &registry, &documents, &environment)
            }
            (_, documents) => commands::policy_test::test(&config, &Asking { offline, documents }),
        },
        Command::Ledger(LedgerCommand::Prune { config, before, archive }) => {
            commands::ledger::prune(&config, &before, &archive)
        }
        Command::Ledger(LedgerCommand::NewKey { config }) => commands::ledger::new_key(&config),
        Command::Ledger(LedgerCommand::DropOldKeys { config }) => commands::ledger::drop_old_keys(&config),
        Command::Migrate { config } => commands::keeping::migrate(&config),
        Command::Backup { to, config } => commands::keeping::backup(&config, &to),
        Command::Restore { from, config } => commands::keeping::restore(&config, &from),
        Command::HashPassword { password_stdin } => commands::hash_password::hash_password(password_stdin),
    };
    match done {
        Ok(code) => code,
        Err(error) => commands::fail(&format!("{error:#}")),
    }
}
