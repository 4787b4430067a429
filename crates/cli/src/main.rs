//! The binary `guichet`: hands the command line to the library and ends with its exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    guichet_cli::run(&std::env::args_os().collect::<Vec<_>>())
}
