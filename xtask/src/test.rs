//! `cargo xtask test`: all tests of the workspace, then the story of the demo.

use std::{
    io::{BufRead as _, BufReader},
    process::{ExitCode, Stdio},
};

use anyhow::{Context as _, Result};

use crate::{cargo::cargo, demo, prerequisites};

/// Counts of a run.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    passed: u64,
    failed: u64,
}

/// All of it; the last line counts.
pub(crate) fn test() -> Result<ExitCode> {
    prerequisites::postgresql()?;
    prerequisites::mail_server()?;
    prerequisites::schemathesis()?;
    prerequisites::libfaketime();
    let (mut counts, built) = cargo_test()?;
    // A test binary that does not compile or dies counts no test, and must not pass for that.
    if !built && counts.failed == 0 {
        counts.failed = 1;
    }
    println!("\nThe story of the demo:\n");
    let (steps, failed) = match demo::play() {
        Ok(summary) => (summary.passed, summary.failed),
        Err(error) => {
            eprintln!("xtask: the story cannot be played: {error:#}");
            (0, 1)
        }
    };
    println!(
        "\n{} tests passed, {} failed; {steps} steps of the story passed, {failed} failed",
        counts.passed, counts.failed
    );
    println!("{} passed, {} failed", counts.passed + steps, counts.failed + failed);
    Ok(if counts.failed + failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn cargo_test() -> Result<(Counts, bool)> {
    let mut command = cargo(&["test", "--workspace", "--no-fail-fast"]);
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cannot start cargo test")?;
    let mut counts = Counts::default();
    if let Some(out) = child.stdout.take() {
        for line in BufReader::new(out).lines() {
            let line = line.context("cargo test cannot be heard")?;
            println!("{line}");
            count(&line, &mut counts);
        }
    }
    Ok((counts, child.wait()?.success()))
}

/// Adds what a line `test result: ok. 12 passed; 0 failed; …` says.
fn count(line: &str, counts: &mut Counts) {
    let Some((_, results)) = line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". ")) else {
        return;
    };
    for part in results.split("; ") {
        match part.split_once(' ') {
            Some((number, "passed")) => counts.passed += number.parse().unwrap_or(0),
            Some((number, "failed")) => counts.failed += number.parse().unwrap_or(0),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_added_up() {
        let mut counts = Counts::default();
        for line in [
            "test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
            "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
            "test a_test ... ok",
        ] {
            count(line, &mut counts);
        }
        assert_eq!(counts, Counts { passed: 15, failed: 2 });
    }
}
