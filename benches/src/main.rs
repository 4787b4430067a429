//! What the gateway costs, beside what it could cost: `cargo xtask bench [NAME…] [--seconds N] [--records N] [--runs N]`.
//!
//! Every figure stands beside one of something known, taken in the same run, in turns: on a machine that is shared,
//! the same program differs by half from minute to minute, and only ratios within a round mean something. Each server
//! is a process of its own on loopback. Nothing here judges: it prints, and people compare.
//!
//! Begin reading at `reads`, then `server`: how processes begin and end.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the tables and the progress are what this program is for"
)]

mod approvals;
mod changes;
mod cli;
mod connection;
mod decisions;
mod disk;
mod figures;
mod followers;
mod gateway;
mod haproxy;
mod kafka;
mod ledger;
mod load;
mod machine;
mod memory_and_start;
mod nginx;
mod old_runs;
mod openapi;
mod postgres;
mod reads;
mod roles;
mod scale;
mod server;
mod setting;
mod simulate;
mod soak;

use std::{ops::RangeInclusive, process::ExitCode, slice, time::Duration};

use anyhow::{Context as _, bail};

const NAMES: [&str; 12] = [
    "reads",
    "scale",
    "changes",
    "approvals",
    "decisions",
    "memory-and-start",
    "cli",
    "ledger",
    "followers",
    "openapi",
    SOAK,
    KAFKA,
];
/// It takes ten minutes, so it is measured only when it is named.
const SOAK: &str = "soak";
/// It needs Java, so it is measured only when it is named.
const KAFKA: &str = "kafka";
const USAGE: &str = "\
cargo xtask bench [NAME…] [--seconds N] [--records N] [--runs N]

NAME       reads, scale, changes, approvals, decisions, memory-and-start, cli, ledger, followers, openapi; all of them when none is named;
           soak: everything at once, to see whether memory grows; only when it is named
           kafka: lists, lag and plans of the Kafka provider on a broker with 10,000 topics and 1,000 groups; only when it is named
--seconds  how long each single measurement takes (2; everything together is then about ten minutes; 600 for soak)
--records  how many records `ledger` writes, seals, verifies and searches (200000; up to 10000000, about 10 GB of disk)
--runs     how many finished runs `scale` has (1000000, about 3 GB of disk; up to 10000000)";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["role", role, rest @ ..] => roles::play(role, rest),
        ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            Ok(())
        }
        words => measure(words),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(words: &[&str]) -> anyhow::Result<()> {
    let Asked { names, seconds, records, runs } = parse(words)?;
    let setting = setting::Setting::new(seconds.unwrap_or(Duration::from_secs(2)))?;
    println!("{}", machine::describe(&setting, words)?);
    for name in names {
        eprintln!("— {name}");
        let table = match name {
            "reads" => reads::measure(&setting),
            "scale" => scale::measure(&setting, runs),
            "changes" => changes::measure(&setting),
            "approvals" => approvals::measure(&setting),
            "decisions" => decisions::measure(&setting),
            "memory-and-start" => memory_and_start::measure(&setting),
            "ledger" => ledger::measure(&setting, records),
            "followers" => followers::measure(&setting),
            "openapi" => openapi::measure(&setting),
            KAFKA => kafka::measure(),
            SOAK => soak::measure(&setting, seconds.unwrap_or(Duration::from_mins(10))),
            _ => cli::measure(&setting),
        };
        println!("{}", table.with_context(|| format!("`{name}` could not be measured"))?);
    }
    Ok(())
}

/// What was asked for.
struct Asked<'a> {
    names: Vec<&'a str>,
    /// When it was said.
    seconds: Option<Duration>,
    records: u64,
    runs: u64,
}

/// The number that follows an option.
fn number(
    words: &mut slice::Iter<'_, &str>,
    option: &str,
    allowed: RangeInclusive<u64>,
) -> anyhow::Result<u64> {
    let text = words.next().with_context(|| format!("{option} needs a number"))?;
    let number = text.parse().ok().filter(|number| allowed.contains(number));
    number.with_context(|| format!("{option} takes {} to {}, not `{text}`", allowed.start(), allowed.end()))
}

fn parse<'a>(words: &[&'a str]) -> anyhow::Result<Asked<'a>> {
    let mut names = Vec::new();
    let (mut seconds, mut records, mut runs) = (None, 200_000, 1_000_000);
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match *word {
            "--seconds" => {
                seconds = Some(Duration::from_secs(number(&mut words, "--seconds", 1..=86_400)?));
            }
            "--records" => {
                records = number(&mut words, "--records", 1_000..=10_000_000)?;
            }
            "--runs" => {
                runs = number(&mut words, "--runs", 1_000..=10_000_000)?;
            }
            name if NAMES.contains(&name) => names.push(name),
            other => bail!("`{other}` is no measurement\n{USAGE}"),
        }
    }
    if names.is_empty() {
        names = NAMES.into_iter().filter(|name| ![SOAK, KAFKA].contains(name)).collect();
    }
    Ok(Asked { names, seconds, records, runs })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_seconds_are_taken_and_rubbish_is_not() {
        let asked = parse(&["reads", "--seconds", "5", "cli", "--records", "1000"]).unwrap();
        assert_eq!((asked.names, asked.seconds), (vec!["reads", "cli"], Some(Duration::from_secs(5))));
        assert_eq!((asked.records, parse(&[]).unwrap().names), (1_000, NAMES[..10].to_vec()));
        for words in [
            &["writes"][..],
            &["--seconds"],
            &["--seconds", "0"],
            &["--seconds", "x"],
            &["--records", "999"],
            &["--runs", "1"],
        ] {
            assert!(parse(words).is_err(), "{words:?}");
        }
    }
}
