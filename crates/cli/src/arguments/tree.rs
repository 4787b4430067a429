//! The whole grammar: built-in commands and the tree of the catalogue's commands.

use std::{
    cell::Cell,
    collections::{BTreeMap, HashMap, HashSet},
};

use clap::{ColorChoice, Command};
use guichet_contract::{ActionId, Catalogue};

use crate::{
    arguments::{action, builtin, globals, help, internal_action},
    cache::{Entry, Remembered},
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
        Self::give(catalogue.actions.iter().map(|action| (&action.id, &action.provider, &action.command)))
    }

    fn of_remembered(catalogue: &Remembered) -> Self {
        Self::give(catalogue.entries().iter().map(|entry| (&entry.id, &entry.provider, &entry.command)))
    }

    fn give<'a>(actions: impl Iterator<Item = (&'a ActionId, &'a String, &'a Vec<String>)>) -> Self {
        let mut places: Vec<(Vec<String>, ActionId)> = Vec::new();
        let mut taken: HashSet<Vec<String>> = HashSet::new();
        for (id, provider, command) in actions {
            let mut words = command.clone();
            let is_taken = |words: &Vec<String>| {
                words.first().is_some_and(|word| builtin::NAMES.contains(&word.as_str()))
                    || taken.contains(words)
            };
            if is_taken(&words) {
                words.insert(0, provider.clone());
            }
            let typable = !words.is_empty() && words.iter().all(|word| is_word(word));
            if typable && !is_taken(&words) {
                taken.insert(words.clone());
                places.push((words, id.clone()));
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
    /// An action that was typed cannot be read from the cache; its command has no flags.
    pub(crate) lacks_an_action: bool,
}

#[derive(Default)]
struct Node<'a> {
    action: Option<&'a Entry>,
    below: BTreeMap<&'a str, Node<'a>>,
}

/// What the tree is built from, and how much of it.
struct Wanted<'a> {
    catalogue: &'a Remembered,
    words: Option<&'a [String]>,
    /// One of them could not be read.
    lacks_an_action: Cell<bool>,
}

impl Wanted<'_> {
    /// Whether all of these words were typed.
    fn has(&self, path: &[String]) -> bool {
        self.words.is_none_or(|words| path.iter().all(|word| words.contains(word)))
    }
}

impl Tree {
    /// Builds it. With `words`, only what can be reached by them gets its flags and its own commands: a catalogue of
    /// thousands costs no more than the one command that was typed.
    pub(crate) fn build(
        catalogue: Option<&Remembered>,
        settings: &Settings,
        words: Option<&[String]>,
    ) -> Self {
        let places = catalogue.map(Places::of_remembered).unwrap_or_default();
        let mut top = Node::default();
        if let Some(catalogue) = catalogue {
            let by_id: HashMap<&ActionId, &Entry> =
                catalogue.entries().iter().map(|entry| (&entry.id, entry)).collect();
            for (place, id) in &places.0 {
                let mut node = &mut top;
                for word in place {
                    node = node.below.entry(word).or_default();
                }
                node.action = by_id.get(id).copied();
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
        if let Some(catalogue) = catalogue {
            let typed = words.unwrap_or_default();
            root = root.mut_subcommand(internal_action::NAME, |command| {
                internal_action::offer(command, catalogue, typed)
            });
        }
        let mut groups = Vec::new();
        let mut lacks_an_action = false;
        for (word, node) in &top.below {
            groups.push(((*word).to_owned(), about(node)));
            if let Some(catalogue) = catalogue {
                let wanted = Wanted { catalogue, words, lacks_an_action: Cell::new(false) };
                root = root.subcommand(branch(word, node, &mut vec![(*word).to_owned()], &wanted));
                lacks_an_action |= wanted.lacks_an_action.get();
            }
        }
        root = help::frame(root, settings, &groups, catalogue.is_some());
        Self { command: root, places, lacks_an_action }
    }
}

fn branch(word: &str, node: &Node<'_>, path: &mut Vec<String>, wanted: &Wanted<'_>) -> Command {
    let mut command = Command::new(word.to_owned()).about(about(node)).disable_help_subcommand(true);
    if !wanted.has(path) {
        return command;
    }
    if let Some(entry) = node.action {
        // Its line may have gone since the outline was read, or be of another version's making.
        match wanted.catalogue.action(entry.id.as_str()) {
            Some(action) => command = action::fill(command, &action, path),
            None => wanted.lacks_an_action.set(true),
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
    if let Some(entry) = node.action {
        return entry.title.clone();
    }
    let mut text = node.below.keys().copied().collect::<Vec<_>>().join(", ");
    if text.len() > 70 {
        let end = text.char_indices().take_while(|(at, _)| *at < 66).filter(|(_, c)| *c == ',').last();
        text.truncate(end.map_or(66, |(at, _)| at));
        text.push_str(", …");
    }
    text
}
