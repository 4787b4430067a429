//! Commands across providers: each belongs to one action, and none stands in the way of another.

use std::{borrow::Borrow, collections::HashMap};

use crate::action::Action;

use super::{RESERVED, finding::Finding};

/// What is wrong with these actions as one catalogue: the same command or action twice, a command that is also the
/// beginning of another (it cannot be both a command and a group of commands), and a first word that belongs to the
/// command line itself. Pointers are into the list of actions, `/3/command`.
pub fn check_catalogue<A: Borrow<Action>>(actions: &[A]) -> Vec<Finding> {
    let actions: Vec<&Action> = actions.iter().map(Borrow::borrow).collect();
    let mut findings = Vec::new();
    let mut by_command: HashMap<&[String], &Action> = HashMap::with_capacity(actions.len());
    let mut by_id: HashMap<&str, usize> = HashMap::with_capacity(actions.len());
    for (position, action) in actions.iter().copied().enumerate() {
        let mut fault =
            |message: String| findings.push(Finding::new(format!("/{position}/command"), message));
        let (id, words) = (&action.id, action.command.join(" "));
        match action.command.first() {
            None => fault(format!("`{id}` has no command; give it one with `x-guichet: {{command: …}}`")),
            Some(first) if RESERVED.contains(&first.as_str()) => fault(format!(
                "`{words}` of `{id}` begins with `{first}`, which is a command of guichet itself; \
                 begin it with another word in `x-guichet: {{command: …}}`"
            )),
            Some(_) => {}
        }
        if let Some(other) = by_command.insert(&action.command, action) {
            fault(format!(
                "`{words}` is the command of `{}` and of `{id}`; choose another for one of them",
                other.id
            ));
            by_command.insert(&action.command, other);
        }
        if let Some(other) = by_id.insert(id.as_str(), position) {
            findings.push(Finding::new(
                format!("/{position}/id"),
                format!("the action `{id}` is there twice, also at /{other}; a provider is listed once"),
            ));
        }
    }
    for (position, action) in actions.iter().enumerate() {
        for length in 1..action.command.len() {
            if let Some(group) = by_command.get(&action.command[..length]) {
                findings.push(Finding::new(
                    format!("/{position}/command"),
                    format!(
                        "`{}` of `{}` lies below `{}`, which is the command of `{}`: it cannot be both a command and \
                         a group; add a word to that one, or choose another beginning for this one",
                        action.command.join(" "),
                        action.id,
                        group.command.join(" "),
                        group.id
                    ),
                ));
            }
        }
    }
    findings
}
