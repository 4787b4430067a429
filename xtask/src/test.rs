//! `cargo xtask test`: all tests of the workspace, those of the SDKs in other languages, then the story of the demo.

use std::{
    io::{BufRead as _, BufReader},
    process::{ExitCode, Stdio},
};

use anyhow::{Context as _, Result};

use crate::{cargo::cargo, demo, prerequisites, sdks};

/// Counts of a run.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    passed: u64,
    failed: u64,
    /// Names of tests that this machine does not allow; they are among those that passed.
    skipped: Vec<String>,
}

/// All of it; the last line counts.
pub(crate) fn test(with_kubernetes: bool) -> Result<ExitCode> {
    prerequisites::postgresql()?;
    prerequisites::mail_server()?;
    prerequisites::schemathesis()?;
    prerequisites::libfaketime();
    prerequisites::alertmanager();
    prerequisites::kafka();
    if let Err(error) = prerequisites::sdk_python() {
        // The SDK's own tests fail for it; those of the gateway that want it are skipped.
        eprintln!("NOTICE: {error:#}");
    }
    let (mut counts, built) = cargo_test(with_kubernetes)?;
    // A test binary that does not compile or dies counts no test, and must not pass for that.
    if !built && counts.failed == 0 {
        counts.failed = 1;
    }
    for part in sdks::test() {
        counts.passed += part.passed;
        counts.failed += part.failed;
        // As a test that is skipped: among those that passed, and told by its name.
        counts.passed += part.skipped.len() as u64;
        counts.skipped.extend(part.skipped);
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
        counts.passed(),
        counts.failed
    );
    println!("{}", counts.last_line(steps, failed));
    Ok(if counts.failed + failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn cargo_test(with_kubernetes: bool) -> Result<(Counts, bool)> {
    let mut command = cargo(&["test", "--workspace", "--no-fail-fast"]);
    if with_kubernetes {
        eprintln!(
            "The first test that wants a Kubernetes builds it, if it is not there yet; that takes some minutes."
        );
        // Read by crates/throwaway-kubernetes, which this is too early to know.
        command.env("GUICHET_KUBERNETES", "build");
    }
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

impl Counts {
    /// Those that did something. A test that is skipped passes, as far as its harness knows.
    fn passed(&self) -> u64 {
        self.passed.saturating_sub(self.skipped.len() as u64)
    }

    /// Of the tests, and of so many steps of the story. Whatever was skipped is told by its name.
    fn last_line(&self, steps: u64, failed: u64) -> String {
        let line = format!("{} passed, {} failed", self.passed() + steps, self.failed + failed);
        if self.skipped.is_empty() {
            return line;
        }
        format!("{line}, {} skipped: {}", self.skipped.len(), self.skipped.join(", "))
    }
}

/// The name of the test in a line `SKIPPED NAME: why` of guichet-testkit. With one test at a time, all of them run on the
/// first thread, and the name stands before: `test NAME ... SKIPPED main: why`.
fn skipped(line: &str) -> Option<&str> {
    let (before, told) = line.split_once("SKIPPED ")?;
    let (name, _) = told.split_once(": ")?;
    match before.strip_prefix("test ").and_then(|before| before.strip_suffix(" ... ")) {
        Some(name) => Some(name),
        None => before.is_empty().then_some(name),
    }
}

/// Adds what a line `test result: ok. 12 passed; 0 failed; …` says, and what was skipped.
fn count(line: &str, counts: &mut Counts) {
    if let Some(name) = skipped(line) {
        counts.skipped.push(name.to_owned());
    }
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
        assert_eq!(counts, Counts { passed: 15, failed: 2, skipped: Vec::new() });
        assert_eq!(counts.last_line(3, 1), "18 passed, 3 failed");
    }

    #[test]
    fn what_is_skipped_is_no_pass_and_is_told_by_its_name() {
        let mut counts = Counts::default();
        for line in [
            "SKIPPED disk::a_full_disk: a tmpfs cannot be mounted; run as root",
            "test clocks::a_clock_that_leaps ... SKIPPED main: there is no libfaketime",
            "test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
        ] {
            count(line, &mut counts);
        }
        assert_eq!(
            counts.last_line(0, 0),
            "10 passed, 0 failed, 2 skipped: disk::a_full_disk, clocks::a_clock_that_leaps"
        );
    }
}
