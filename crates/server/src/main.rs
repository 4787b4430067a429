//! The binary `guichetd`.

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use guichet_server::commands;

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
    },
    /// Check configuration, policies, registry and the providers' documents; change nothing.
    Check {
        /// The configuration file.
        #[arg(long, default_value = "guichet.toml")]
        config: PathBuf,
        /// Do not ask providers that are reached over the network.
        #[arg(long)]
        offline: bool,
    },
    /// Make the hash of a password for a [[user]] of the configuration.
    HashPassword {
        /// Read the password from standard input instead of the terminal.
        #[arg(long)]
        password_stdin: bool,
    },
}

fn main() -> ExitCode {
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        return commands::fail("another TLS provider was installed before; this build is broken");
    }
    let done = match Arguments::parse().command {
        Command::Serve { config, ready_file } => commands::serve::serve(&config, ready_file.as_deref()),
        Command::Check { config, offline } => commands::check::check(&config, offline),
        Command::HashPassword { password_stdin } => commands::hash_password::hash_password(password_stdin),
    };
    match done {
        Ok(code) => code,
        Err(error) => commands::fail(&format!("{error:#}")),
    }
}
