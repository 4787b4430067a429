//! What `guichetd` can be told to do: one file each.

pub mod check;
pub mod hash_password;
pub mod keeping;
pub mod ledger;
pub mod policy_test;
pub mod provider;
pub mod serve;

use std::process::ExitCode;

/// Says it on standard error and fails.
#[expect(clippy::print_stderr, reason = "a command's last words, before or after there is a log")]
pub fn fail(why: &str) -> ExitCode {
    eprintln!("guichetd: {why}");
    ExitCode::FAILURE
}

#[expect(clippy::print_stdout, reason = "this is what was asked for")]
pub(crate) fn say(text: &str) {
    println!("{text}");
}
