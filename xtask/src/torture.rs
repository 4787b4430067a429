//! `cargo xtask torture [KILLS]`: kills gateways, workers and a provider at instants nobody chose, many times, on both stores,
//! and then compares all books. Each test run does the same with a dozen kills.

use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::{
    cargo::{build_binaries, cargo},
    prerequisites,
    process::succeeds,
};

/// Kills on each store when nobody says; a few minutes.
const USUAL: u32 = 200;

/// Runs it; what it found is printed.
pub(crate) fn torture(kills: Option<&str>) -> Result<ExitCode> {
    let kills = match kills {
        Some(text) => text.parse().with_context(|| format!("`{text}` is no number of kills"))?,
        None => USUAL,
    };
    prerequisites::postgresql()?;
    build_binaries()?;
    eprintln!("{kills} kills on SQLite and {kills} on PostgreSQL, side by side");
    let mut test =
        cargo(&["test", "--workspace", "--test", "process", "torture::nothing", "--", "--nocapture"]);
    test.env("GUICHET_TORTURE_KILLS", kills.to_string());
    Ok(if succeeds(&mut test)? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
