//! The command line `guichet`: the catalogue as commands, flags, help, completion and exit codes.
//!
//! Four rooms: `arguments/` (what can be typed; built from the cached catalogue at run time), `settings`
//! (files and environment variables), `commands/` (one file per command) and `printer/` (the only place
//! that prints). It knows no action by name and decides nothing that the gateway should decide.
//!
//! Help, `--version` and completion touch neither network nor TLS nor an async runtime: those begin in
//! [`commands`] when a command needs them. Begin reading at [`run`], then `commands/perform/mod.rs`.

mod arguments;
mod cache;
mod commands;
mod credentials;
mod exit;
mod failure;
mod files;
mod printer;
mod prompt;
mod settings;

use std::{ffi::OsString, process::ExitCode};

use clap::error::ErrorKind;

use crate::{
    arguments::{Tree, prescan::Prescan},
    cache::{Asking, Remembered},
    commands::Cx,
    exit::Exit,
    failure::Failure,
    printer::Printer,
    settings::Settings,
};

/// Runs one command line (the program's name first) and gives the process's exit code.
pub fn run(arguments: &[OsString]) -> ExitCode {
    let seen = Prescan::of(arguments);
    let settings = match Settings::load(seen.context.as_deref()) {
        Ok(settings) => settings,
        Err(failure) => {
            let printer = Printer::new(seen.output, false, seen.verbose);
            return printer.failure(&failure).into();
        }
    };
    match arguments::completion::answer(arguments, &settings) {
        Ok(true) => return Exit::Done.into(),
        Ok(false) => {}
        Err(failure) => return Printer::new(seen.output, true, false).failure(&failure).into(),
    }
    let mut printer = Printer::new(seen.output, settings.no_color, seen.verbose);
    let exit = match parse(arguments, &seen, &settings, &mut printer) {
        Ok((cx, matches)) => commands::dispatch(&cx, &matches, &printer),
        Err(failure) => Err(failure),
    };
    match exit {
        Ok(exit) => exit.into(),
        Err(failure) => printer.failure(&failure).into(),
    }
}

/// Reads the command line against the cached catalogue. What the cache does not know may be new: the
/// catalogue is asked for once, and the line read again, before anybody is told that they mistyped.
fn parse(
    arguments: &[OsString],
    seen: &Prescan,
    settings: &Settings,
    printer: &mut Printer,
) -> Result<(Cx, clap::ArgMatches), Failure> {
    let needs_catalogue = seen.needs_catalogue();
    let mut catalogue = if needs_catalogue { cache::load_catalogue(settings) } else { None };
    let mut refreshed = false;
    loop {
        let tree = Tree::build(catalogue.as_ref(), settings, Some(&seen.words));
        if tree.lacks_an_action && !refreshed {
            refreshed = true;
            if let Some(anew) = refresh(settings, printer, Asking::Anew) {
                catalogue = Some(anew);
                continue;
            }
        }
        match tree.command.clone().try_get_matches_from(arguments) {
            Ok(matches) => {
                let cx = Cx::new(settings.clone(), catalogue, tree.places, refreshed);
                printer.set_environment(settings.place());
                return Ok((cx, matches));
            }
            Err(error) => {
                if needs_catalogue && !refreshed && may_be_new(error.kind()) {
                    refreshed = true;
                    if let Some(newer) = refresh(settings, printer, Asking::IfNewer) {
                        catalogue = Some(newer);
                        continue;
                    }
                }
                let near = arguments::nearest::to_what_was_mistyped(&tree.command, &error, &seen.words);
                return Err(Failure::from_clap(error, near, catalogue.is_none() && needs_catalogue));
            }
        }
    }
}

fn may_be_new(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::InvalidSubcommand | ErrorKind::UnknownArgument | ErrorKind::InvalidValue)
}

/// The newer catalogue, when there is one. Silent when it cannot be had: the mistyped line is then told
/// from what is known.
fn refresh(settings: &Settings, printer: &Printer, asking: Asking) -> Option<Remembered> {
    match commands::refresh_catalogue(settings, asking) {
        Ok(catalogue) => catalogue,
        Err(failure) => {
            printer.detail(&format!("the catalogue cannot be refreshed: {}", failure.summary()));
            None
        }
    }
}
