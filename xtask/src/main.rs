//! `cargo xtask`: the few things one does with this repository, each a word.
//!
//! Programs are started, their exits are looked at, and what fails is told with what to do next. No shell, no
//! async, few crates: this is compiled before anything else can begin.
//!
//! Begin reading at [`demo`]: it is the product at work.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this program speaks to whoever typed its name"
)]

mod bench;
mod cargo;
mod demo;
mod fuzz;
mod interrupt;
mod lint;
mod prerequisites;
mod process;
mod sdks;
mod test;
mod torture;

use std::process::ExitCode;

use anyhow::bail;

const USAGE: &str = "\
cargo xtask demo             a database with a real problem, and the gateway to solve it; stays up until Ctrl-C
cargo xtask demo --script    plays the whole story by itself and checks every step of it
cargo xtask test             all tests, those of the SDKs in Python and Go too, then the story
cargo xtask test --kubernetes  the same on a real Kubernetes too, which is built from its modules at first (Go; 6 min, 4 GB)
cargo xtask lint             formatting, lints, licences and banned crates
cargo xtask fuzz [SECONDS]   gives what reads foreign text rubbish to read, 30 s for each target
cargo xtask torture [KILLS]  kills gateways, workers and a provider at any instant, 200 times on each store
cargo xtask bench [ARGS…]    measures the gateway as it is packaged";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            if interrupt::asked() { ExitCode::from(130) } else { ExitCode::FAILURE }
        }
    }
}

fn run(words: &[&str]) -> anyhow::Result<ExitCode> {
    match words {
        ["demo"] => demo::stay_up(),
        ["demo", "--script"] => demo::play_script(),
        ["test"] => test::test(false),
        ["test", "--kubernetes"] => test::test(true),
        ["lint"] => lint::lint(),
        ["fuzz"] => fuzz::fuzz(None),
        ["fuzz", seconds] => fuzz::fuzz(Some(seconds)),
        ["torture"] => torture::torture(None),
        ["torture", kills] => torture::torture(Some(kills)),
        ["bench", arguments @ ..] => bench::bench(arguments),
        [] | ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            Ok(ExitCode::SUCCESS)
        }
        other => bail!("`{}` is no task; there is:\n{USAGE}", other.join(" ")),
    }
}
