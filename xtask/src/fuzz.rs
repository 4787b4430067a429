//! `cargo xtask fuzz [SECONDS]`: what reads foreign text is given text that nobody would write, so long for each target.
//!
//! The instrumentation is the compiler's own and needs neither a nightly one nor `cargo-fuzz` (which works in `fuzz/` too).
//! What is found new stays beside the build; what makes a target fail is kept in `fuzz/artifacts` and named.

use std::{fs, process::Command};

use anyhow::{Context as _, Result, ensure};

use crate::{
    cargo::{cargo, root},
    prerequisites,
    process::succeeds,
};

const TARGETS: [&str; 5] = ["openapi", "policies", "registry", "checkpoint", "provider_token"];
/// Seconds for each target when nobody says.
const USUAL: u32 = 30;
/// What tells libFuzzer which edges and comparisons a text reached.
const INSTRUMENTED: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1";

/// Builds and runs every target.
pub(crate) fn fuzz(seconds: Option<&str>) -> Result<std::process::ExitCode> {
    let seconds = match seconds {
        Some(text) => text.parse().with_context(|| format!("`{text}` is no number of seconds"))?,
        None => USUAL,
    };
    let folder = root().join("fuzz");
    prerequisites::cpp_compiler()?;
    let host = host()?;
    eprintln!("Building the targets with instrumentation. The first time takes some minutes.");
    // With a target triple, so that build scripts and macros are not instrumented.
    let mut build = cargo(&["build", "--bins", "--target", &host]);
    build.current_dir(&folder).env("RUSTFLAGS", INSTRUMENTED).env_remove("CARGO_TARGET_DIR");
    ensure!(succeeds(&mut build)?, "the targets cannot be built; the words of cargo are above");
    let artifacts = folder.join("artifacts");
    for target in TARGETS {
        let corpus = folder.join("target/corpus").join(target);
        let kept = artifacts.join(target);
        for folder in [&corpus, &kept] {
            fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        eprintln!("fuzzing {target} for {seconds} s");
        let mut run = Command::new(folder.join("target").join(&host).join("debug").join(target));
        run.arg(&corpus)
            .arg(folder.join("seeds").join(target))
            .arg(format!("-max_total_time={seconds}"))
            .args([
                "-timeout=20",
                "-rss_limit_mb=4096",
                "-max_len=16384",
                "-verbosity=0",
                "-print_final_stats=1",
            ])
            .arg(format!("-artifact_prefix={}/", kept.display()));
        ensure!(
            succeeds(&mut run)?,
            "{target} failed; the text that did it is in fuzz/artifacts/{target}: mend it and keep the text in a test"
        );
    }
    println!("{} targets held for {seconds} s each", TARGETS.len());
    Ok(std::process::ExitCode::SUCCESS)
}

/// The triple of this machine, from the compiler.
fn host() -> Result<String> {
    let output = Command::new("rustc").arg("-vV").output().context("cannot start rustc")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc does not tell its host")?.to_owned())
}
