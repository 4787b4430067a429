//! On what the figures were taken, so that nobody compares them with figures of another machine.

use std::{fs, thread, time::Duration};

use anyhow::Result;

use crate::{
    disk,
    figures::{count, duration},
    setting::{Setting, output},
};

/// Cores, model, kernel, disk, commit, command.
pub(crate) fn describe(setting: &Setting, words: &[&str]) -> Result<String> {
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let cpu_info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu_info
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown", |rest| rest.trim_start_matches(['\t', ' ', ':']));
    let memory_info = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory: u64 = memory_info
        .lines()
        .next()
        .and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
        .unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let sync = disk::syncs(&setting.folder("disk")?, Duration::from_secs(1))?;
    let told = |program: &str, words: &[&str]| output(program, words).unwrap_or_else(|| "unknown".to_owned());
    let changed = output("git", &["status", "--porcelain", "--untracked-files=no"]).is_some();
    let command =
        std::iter::once("cargo xtask bench").chain(words.iter().copied()).collect::<Vec<_>>().join(" ");
    Ok(format!(
        "# What it costs\n\n- Command: `{command}`\n- Commit: {}{}\n- Machine: {cores} cores of {model}, {} GiB, Linux {}; load before: {}\n\
         - Disk: {} `fdatasync` of one page a second, p50 {}, p99 {}\n- Compiler: {}, {}\n",
        told("git", &["describe", "--always", "--abbrev=12"]),
        if changed { ", and changes that are not committed" } else { "" },
        memory / 1024 / 1024,
        told("uname", &["-r"]),
        load.split_whitespace().next().unwrap_or("unknown"),
        count(sync.per_second),
        duration(sync.p50),
        duration(sync.p99),
        told("rustc", &["--version"]),
        if cfg!(debug_assertions) {
            "debug profile: no more than an indication"
        } else {
            "dist profile (thin LTO)"
        },
    ))
}
