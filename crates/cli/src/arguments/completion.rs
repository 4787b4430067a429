//! Answers to the shell at every TAB: from the cache, never from the network.

use std::ffi::OsString;

use clap_complete::{
    CompleteEnv,
    env::{Bash, EnvCompleter, Fish, Zsh},
};

use crate::{
    arguments::{Tree, prescan::Prescan},
    cache,
    exit::Exit,
    failure::Failure,
    settings::Settings,
};

/// Answers when the environment variable `COMPLETE` names a shell; `false` when this is an ordinary call.
pub(crate) fn answer(arguments: &[OsString], settings: &Settings) -> Result<bool, Failure> {
    let grammar = || {
        let catalogue = cache::load_catalogue(settings);
        let words = Prescan::of(arguments).words;
        Tree::build(catalogue.as_ref(), settings, Some(&words)).command
    };
    let here = std::env::current_dir().ok();
    CompleteEnv::with_factory(grammar)
        .bin("guichet")
        .try_complete(arguments.to_vec(), here.as_deref())
        .map_err(|error| Failure::Clap(Box::new(error)))
}

/// What the shell must read at its start: it calls `guichet` at every TAB.
pub(crate) fn script(shell: &str) -> Result<String, Failure> {
    let shell: &dyn EnvCompleter = match shell {
        "bash" => &Bash,
        "zsh" => &Zsh,
        _ => &Fish,
    };
    let mut script = Vec::new();
    shell
        .write_registration("COMPLETE", "guichet", "guichet", "guichet", &mut script)
        .map_err(|error| Failure::new(Exit::Failed, "Completion", error.to_string()))?;
    Ok(String::from_utf8_lossy(&script).into_owned())
}
