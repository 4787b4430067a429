//! The whole grammar: built-in commands and the tree of the catalogue's commands.

use std::collections::BTreeMap;

use clap::{ColorChoice, Command};
use guichet_contract::{Action, ActionId, Catalogue};

use crate::{
    arguments::{action, builtin, globals, help},
    settings::Settings,
};

/// The words by which each action is reached.
#[derive(Debug, Clone, Default)]
pub(crate) struct Places(Vec<(Vec<String>, ActionId)>);

impl Places {
    /// The action at these words.
    pub(crate) fn action_at(&self, words: &[String]) -> Option<&ActionId> {
        self.0.iter().find(|(place, _)| place == words).map(|(_, id)| id)
    }

    /// Gives every action of a catalogue its words. A built-in command or an earlier action keeps its place;
    /// who comes second is reached by the provider's name and then the words.
    pub(crate) fn of(catalogue: &Catalogue) -> Self {
        let mut places: Vec<(Vec<String>, ActionId)> = Vec::new();
        for action in &catalogue.actions {
            let mut words = action.command.clone();
            let is_taken = |words: &[String]| {
                words.first().is_some_and(|word| builtin::NAMES.contains(&word.as_str()))
                    || places.iter().any(|(place, _)| place == words)
            };
            if is_taken(&words) {
                words.insert(0, action.provider.clone());
            }
            let typable = !words.is_empty() && words.iter().all(|word| is_word(word));
            if typable && !is_taken(&words) {
                places.push((words, action.id.clone()));
            }
        }
        Self(places)
    }

    /// The words of this action.
    pub(crate) fn words_of(&self, action: &ActionId) -> Option<&[String]> {
        self.0.iter().find(|(_, id)| id == action).map(|(words, _)| words.as_slice())
    }
}

fn is_word(word: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !word.is_empty() && !word.starts_with('-') && word.chars().all(plain)
}

/// The grammar, and where the actions are in it.
pub(crate) struct Tree {
    pub(crate) command: Command,
    pub(crate) places: Places,
}

#[derive(Default)]
struct Node<'a> {
    action: Option<&'a Action>,
    below: BTreeMap<&'a str, Node<'a>>,
}

impl Tree {
    /// Builds it. With `words`, only actions all of whose words are among them get their flags: a catalogue of
    /// thousands costs no more than the one command that was typed.
    pub(crate) fn build(
        catalogue: Option<&Catalogue>,
        settings: &Settings,
        words: Option<&[String]>,
    ) -> Self {
        let places = catalogue.map(Places::of).unwrap_or_default();
        let mut top = Node::default();
        if let Some(catalogue) = catalogue {
            for (place, id) in &places.0 {
                let mut node = &mut top;
                for word in place {
                    node = node.below.entry(word).or_default();
                }
                node.action = catalogue.action(id.as_str());
            }
        }
        let mut root = Command::new("guichet")
            .bin_name("guichet")
            .version(env!("CARGO_PKG_VERSION"))
            .about("The self-service counter between product teams and production")
            .color(ColorChoice::Auto)
            .max_term_width(110)
            .subcommand_required(true)
            .arg_required_else_help(true)
            .infer_long_args(false);
        root = globals::add(root, settings);
        root = root.subcommands(builtin::commands(settings));
        let mut groups = Vec::new();
        for (word, node) in &top.below {
            let command = branch(word, node, &mut vec![(*word).to_owned()], words);
            groups.push(((*word).to_owned(), about(node)));
            root = root.subcommand(command);
        }
        root = help::frame(root, settings, &groups, catalogue.is_some());
        Self { command: root, places }
    }
}

fn branch(word: &str, node: &Node<'_>, path: &mut Vec<String>, wanted: Option<&[String]>) -> Command {
    let mut command = Command::new(word.to_owned()).about(about(node)).disable_help_subcommand(true);
    if let Some(action) = node.action {
        let is_wanted = wanted.is_none_or(|wanted| path.iter().all(|word| wanted.contains(word)));
        if is_wanted {
            command = action::fill(command, action, path);
        }
        command = command.args_conflicts_with_subcommands(true);
    } else {
        command = command.subcommand_required(true).arg_required_else_help(true);
    }
    for (word, below) in &node.below {
        path.push((*word).to_owned());
        command = command.subcommand(branch(word, below, path, wanted));
        path.pop();
    }
    command
}

/// The action's title; of a group, the words below it.
fn about(node: &Node<'_>) -> String {
    if let Some(action) = node.action {
        return action.title.clone();
    }
    let mut text = node.below.keys().copied().collect::<Vec<_>>().join(", ");
    if text.len() > 70 {
        let end = text.char_indices().take_while(|(at, _)| *at < 66).filter(|(_, c)| *c == ',').last();
        text.truncate(end.map_or(66, |(at, _)| at));
        text.push_str(", …");
    }
    text
}
