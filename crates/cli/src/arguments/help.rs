//! The first page, `guichet --help`: where one is, built-in commands, commands of providers.

use clap::Command;

use crate::{arguments::builtin, settings::Settings};

/// Writes the page. `groups` are the first words of the providers' commands with what they are about.
pub(crate) fn frame(
    command: Command,
    settings: &Settings,
    groups: &[(String, String)],
    has_catalogue: bool,
) -> Command {
    let place = settings.place().unwrap_or_else(|| "none yet: guichet login --gateway https://…".to_owned());
    let mut page = format!("{{about}}\n\nEnvironment: {}\n\n{{usage-heading}} {{usage}}\n", inert(&place));
    let described: Vec<(String, String)> = builtin::commands(settings)
        .iter()
        .map(|command| {
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            (command.get_name().to_owned(), about)
        })
        .collect();
    if has_catalogue {
        section(&mut page, "Commands of providers", groups);
    } else {
        page.push_str("\nCommands of providers:\n  none known yet: `guichet login` brings them\n");
    }
    section(&mut page, "Commands of Guichet", &described);
    page.push_str("\n{options}{after-help}");
    command
        .help_template(page)
        .after_help("`guichet COMMAND --help` tells more; `guichet actions search WORDS` finds a command.")
        .disable_help_subcommand(false)
}

fn section(page: &mut String, title: &str, rows: &[(String, String)]) {
    page.push('\n');
    page.push_str(title);
    page.push_str(":\n");
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, about) in rows {
        let line = format!("  {name:width$}  {}", inert(about));
        page.push_str(line.trim_end());
        page.push('\n');
    }
}

/// A provider's words are no part of the template's language.
fn inert(text: &str) -> String {
    text.replace('{', "(").replace('}', ")")
}
