//! The tests of the SDKs in other languages, and the conformance kit against the provider that each has for it.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result};

use crate::{
    cargo::{binary, build_binaries, build_folder, root},
    prerequisites,
    process::{Errors, Finished, run},
};

/// How long the tests of one SDK may take: Go compiles first.
const LIMIT: Duration = Duration::from_mins(10);

/// What came of one part.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    /// What this machine does not allow.
    pub(crate) skipped: Vec<String>,
}

/// The tests of one SDK, by its folder.
type Tests = (&'static str, fn() -> Result<Part>);

/// All of them. What cannot be run at all counts as one failure, and is told.
pub(crate) fn test() -> Vec<Part> {
    let parts: [Tests; 2] = [("sdks/python", python), ("sdks/go", go)];
    let told = |(name, part): Tests| {
        println!("\nThe SDK in {name}:\n");
        part().unwrap_or_else(|error| {
            eprintln!("xtask: {name} cannot be tested: {error:#}");
            Part { failed: 1, ..Part::default() }
        })
    };
    parts.into_iter().map(told).collect()
}

fn python() -> Result<Part> {
    let folder = root().join("sdks/python");
    let python = prerequisites::sdk_python()?;
    let with_sources = |words: &[&str]| {
        let mut command = Command::new(&python);
        command.args(words).current_dir(&folder).env("PYTHONPATH", "src").env("PYTHONDONTWRITEBYTECODE", "1");
        command
    };
    let mut part = of_unittest(&heard(with_sources(&["-m", "unittest", "discover", "-s", "tests"]))?);
    part.add(conforms(&folder, &[python.display().to_string(), "conformance_provider.py".to_owned()])?);
    Ok(part)
}

fn go() -> Result<Part> {
    let folder = root().join("sdks/go");
    let go = |words: &[&str]| {
        let mut command = Command::new("go");
        command.args(words).current_dir(&folder);
        command
    };
    let skipped = |why: &str| {
        println!("SKIPPED sdks/go: {why}");
        Ok(Part { skipped: vec!["sdks/go".to_owned()], ..Part::default() })
    };
    if !go(&["version"]).output().is_ok_and(|output| output.status.success()) {
        return skipped("there is no Go on this machine; install 1.24 or a newer one");
    }
    if heard(go(&["mod", "download"]))?.code != Some(0) {
        return skipped("its modules cannot be fetched; without the network, let Go find a mirror (GOPROXY)");
    }
    let mut part = of_go(&heard(go(&["test", "-v", "-count=1", "./..."]))?);
    let provider = build_folder()?.join("sdk-go-conformance");
    let built = heard(go(&["build", "-o", &provider.display().to_string(), "./conformance"]))?;
    anyhow::ensure!(built.code == Some(0), "its conformance provider does not compile");
    part.add(conforms(&folder, &[provider.display().to_string()])?);
    Ok(part)
}

/// The kit against a provider that this command starts.
fn conforms(folder: &Path, words: &[String]) -> Result<Part> {
    build_binaries()?;
    let guichet: PathBuf = binary("guichet")?;
    let mut check = Command::new(guichet);
    // The context of whoever runs this is none of its business.
    check.args(["provider", "check", "--"]).args(words).current_dir(folder).env("PYTHONPATH", "src");
    of_kit(&heard(check)?).context("the conformance kit did not come to an end; its words are above")
}

/// Runs it, and shows what it says.
fn heard(command: Command) -> Result<Finished> {
    let finished = run(command, "", Errors::Among, LIMIT)?;
    print!("{}", finished.out);
    Ok(finished)
}

/// `Ran 23 tests in 1.2s`, and `FAILED (failures=1, errors=2)`.
fn of_unittest(finished: &Finished) -> Part {
    let mut part = Part::default();
    for line in finished.out.lines() {
        if let Some(rest) = line.strip_prefix("Ran ") {
            part.passed = rest.split(' ').next().and_then(|count| count.parse().ok()).unwrap_or(0);
        }
        if let Some(rest) = line.strip_prefix("FAILED (") {
            let counts = rest.trim_end_matches(')').split(", ");
            part.failed = counts.filter_map(|count| count.split_once('=')?.1.parse::<u64>().ok()).sum();
        }
    }
    part.passed = part.passed.saturating_sub(part.failed);
    part.or_failed(finished.code)
}

/// `--- PASS: TestSomething (0.00s)`, one a line.
fn of_go(finished: &Finished) -> Part {
    let count = |mark: &str| finished.out.lines().filter(|line| line.starts_with(mark)).count() as u64;
    Part { passed: count("--- PASS: "), failed: count("--- FAIL: "), skipped: Vec::new() }
        .or_failed(finished.code)
}

/// `conformance: 72 passed, 0 failed, 0 skipped`.
fn of_kit(finished: &Finished) -> Option<Part> {
    let line = finished.out.lines().rev().find_map(|line| line.strip_prefix("conformance: "))?;
    let count = |word: &str| {
        let mut parts = line.split(", ");
        parts.find_map(|part| part.strip_suffix(word)?.trim().parse::<u64>().ok())
    };
    // What our own provider leaves out is a case that nobody tries.
    let failed = count("failed")? + count("skipped")?;
    Some(Part { passed: count("passed")?, failed, skipped: Vec::new() }.or_failed(finished.code))
}

impl Part {
    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped.extend(other.skipped);
    }

    /// What ended badly has failed, also where no count says so.
    fn or_failed(mut self, code: Option<i32>) -> Self {
        if code != Some(0) || self.passed == 0 {
            self.failed = self.failed.max(1);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(out: &str, code: i32) -> Finished {
        Finished { code: Some(code), out: out.to_owned(), err: String::new() }
    }

    #[test]
    fn what_each_says_is_counted() {
        let part = |passed, failed| Part { passed, failed, skipped: Vec::new() };
        assert_eq!(of_unittest(&said("..\nRan 23 tests in 1.1s\n\nOK\n", 0)), part(23, 0));
        assert_eq!(of_unittest(&said("Ran 23 tests in 1s\nFAILED (failures=1, errors=2)\n", 1)), part(20, 3));
        assert_eq!(of_unittest(&said("ModuleNotFoundError\n", 1)), part(0, 1));
        assert_eq!(of_go(&said("--- PASS: TestA (0.00s)\n--- FAIL: TestB (0.00s)\nFAIL\n", 1)), part(1, 1));
        assert_eq!(of_go(&said("# does not compile\n", 2)), part(0, 1));
        assert_eq!(
            of_kit(&said("CASE\nconformance: 70 passed, 1 failed, 1 skipped\n", 1)),
            Some(part(70, 2))
        );
        assert_eq!(of_kit(&said("nobody answers\n", 9)), None);
    }
}
