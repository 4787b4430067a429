//! `cargo xtask lint`: formatting, lints, licences and banned crates.

use std::process::{Command, ExitCode, Stdio};

use anyhow::{Result, ensure};

use crate::{
    cargo::{cargo, run_cargo},
    process::succeeds,
};

/// Every check is made, so that one run tells everything that is wrong.
pub(crate) fn lint() -> Result<ExitCode> {
    let checks: [(&str, &[&str]); 3] = [
        ("fmt", &["fmt", "--all", "--check"]),
        ("clippy", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]),
        // Advisories need the network; what stands in the lock file does not.
        ("deny", &["deny", "--offline", "check", "bans", "licenses", "sources"]),
    ];
    let mut failed = Vec::new();
    let mut missing = Vec::new();
    for (name, words) in checks {
        if !is_installed(name)? {
            missing.push(name);
            continue;
        }
        eprintln!("cargo {}", words.join(" "));
        if let Err(error) = run_cargo(words) {
            failed.push(format!("{error:#}"));
        }
    }
    for name in &missing {
        eprintln!(
            "NOTICE: cargo {name} is not installed, so its check was NOT MADE ({}).",
            how_to_install(name)
        );
    }
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    println!("lint: {} checks passed, {} not made", checks.len() - missing.len(), missing.len());
    Ok(ExitCode::SUCCESS)
}

fn is_installed(name: &str) -> Result<bool> {
    let mut probe: Command = cargo(&[name, "--version"]);
    succeeds(probe.stdout(Stdio::null()).stderr(Stdio::null()))
}

fn how_to_install(name: &str) -> &'static str {
    match name {
        "fmt" => "rustup component add rustfmt",
        "clippy" => "rustup component add clippy",
        _ => "cargo install cargo-deny --locked",
    }
}
