//! `cargo xtask bench`: measures the gateway as it is packaged (profile `dist`).

use std::process::{Command, ExitCode};

use anyhow::{Result, ensure};

use crate::{
    cargo::{binary, root, run_cargo},
    prerequisites,
    process::succeeds,
};

/// Hands the arguments on; `cargo xtask bench --help` tells which there are.
pub(crate) fn bench(arguments: &[&str]) -> Result<ExitCode> {
    prerequisites::postgresql()?;
    if arguments.contains(&"kafka") {
        prerequisites::kafka();
    }
    eprintln!("Building with optimisation. The first time takes about ten minutes.");
    // The whole workspace and then its binary: `cargo run --package` would compile it all again with other features.
    run_cargo(&["build", "--profile", "dist", "--workspace", "--bins"])?;
    let program = binary("../dist/guichet-benches")?;
    ensure!(succeeds(Command::new(program).args(arguments).current_dir(root()))?, "the measurement failed");
    Ok(ExitCode::SUCCESS)
}
