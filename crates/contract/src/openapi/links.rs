//! What an operation says about others: where live values come from, and which actions apply to a row.

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;

use crate::{
    action::{Effect, Options, Undo, required_members},
    redact,
};

use super::{
    finding::{Findings, did_you_mean},
    operation::Draft,
    place::escape,
    template::{member, near, offer},
};

/// Checks the links of one action against all that could be read. `declared` also names those that could not.
pub(super) fn check(
    draft: &Draft,
    all: &HashMap<&str, &Draft>,
    declared: &BTreeSet<&str>,
    findings: &mut Findings,
) {
    for (name, options) in &draft.action.options {
        let pointer = draft.options_at.get(name).map_or("", String::as_str);
        check_options(draft, options, pointer, all, declared, findings);
    }
    if let Some(undo) = &draft.action.undo {
        check_undo(draft, undo, all, declared, findings);
    }
    let row_actions = draft.action.view.iter().flat_map(|view| &view.row_actions);
    for (position, operation) in row_actions.enumerate() {
        if !declared.contains(operation.as_str()) {
            findings.fault(
                format!("{}/x-guichet/view/row_actions/{position}", draft.pointer),
                unknown(operation, declared),
            );
        }
    }
}

/// Tells an action that takes values from this operation that it could not be read.
pub(super) fn lost(draft: &Draft, operation: &str, findings: &mut Findings) {
    for (name, _) in draft.action.options.iter().filter(|(_, options)| options.operation == operation) {
        let pointer = draft.options_at.get(name).map_or("", String::as_str);
        findings.fault(format!("{pointer}/operation"), unreadable(operation));
    }
}

fn check_undo(
    draft: &Draft,
    undo: &Undo,
    all: &HashMap<&str, &Draft>,
    declared: &BTreeSet<&str>,
    findings: &mut Findings,
) {
    let pointer = format!("{}/x-guichet/undo", draft.pointer);
    let operation = &undo.operation;
    let Some(target) = all.get(operation.as_str()) else {
        if !declared.contains(operation.as_str()) {
            findings.fault(format!("{pointer}/operation"), unknown(operation, declared));
        }
        return;
    };
    if draft.action.effect == Effect::Read || target.action.effect == Effect::Read {
        let message =
            "a read is not undone, and undoes nothing; take `undo` out, or say what changes with `effect`";
        findings.fault(format!("{pointer}/operation"), message.to_owned());
    }
    let (theirs, ours): (&Value, &Value) = (&target.action.input, &draft.action.input);
    for (to, from) in &undo.with {
        let place = format!("{pointer}/with/{}", escape(to));
        if member(theirs, to).is_none() {
            findings.fault(
                &place,
                format!("`{operation}` has no input `{to}`{}; {}", near(theirs, to), offer(theirs)),
            );
        }
        let of_input = from.strip_prefix("/input/").and_then(|rest| rest.split('/').next());
        let is_secret = match of_input {
            Some(name) => redact::may_hide_member(ours, name, draft.action.sensitive),
            // Facts of a plan are for every approver's eyes; of a result nothing is known but what the action says.
            None => draft.action.sensitive && !from.starts_with("/plan"),
        };
        if is_secret && !redact::may_hide_member(theirs, to, target.action.sensitive) {
            findings.fault(
                &place,
                format!(
                    "`{from}` is sensitive and `{to}` of `{operation}` is not, so it would be shown there; mark it \
                     `sensitive: true`, or leave it out"
                ),
            );
        }
        if let Some(name) = of_input.filter(|name| member(ours, name).is_none()) {
            findings.fault(
                &place,
                format!("this input has no member `{name}`{}; {}", near(ours, name), offer(ours)),
            );
        }
    }
    for name in required_members(theirs).filter(|name| !undo.with.contains_key(*name)) {
        findings.fault(
            &pointer,
            format!("`{operation}` requires `{name}`; say where it comes from, `with: {{{name}: /input/…}}`"),
        );
    }
}

fn check_options(
    draft: &Draft,
    options: &Options,
    pointer: &str,
    all: &HashMap<&str, &Draft>,
    declared: &BTreeSet<&str>,
    findings: &mut Findings,
) {
    let operation = &options.operation;
    let Some(target) = all.get(operation.as_str()) else {
        let place = format!("{pointer}/operation");
        if !declared.contains(operation.as_str()) {
            findings.fault(place, unknown(operation, declared));
        } else if !findings.is_strict() {
            // In our own documents the fault of that operation is told already.
            findings.fault(place, unreadable(operation));
        }
        return;
    };
    if target.action.effect != Effect::Read {
        findings.fault(
            format!("{pointer}/operation"),
            format!(
                "`{operation}` is a {}, and looking at choices must change nothing; name an operation that reads",
                target.action.effect.as_str()
            ),
        );
    }
    let (theirs, ours): (&Value, &Value) = (&target.action.input, &draft.action.input);
    for (to, from) in &options.with {
        let place = format!("{pointer}/with/{}", escape(to));
        if member(theirs, to).is_none() {
            findings.fault(
                &place,
                format!("`{operation}` has no input `{to}`{}; {}", near(theirs, to), offer(theirs)),
            );
        }
        if member(ours, from).is_none() {
            findings.fault(
                &place,
                format!("this input has no member `{from}`{}; {}", near(ours, from), offer(ours)),
            );
        }
    }
    for name in required_members(theirs).filter(|name| !options.with.contains_key(*name)) {
        findings.fault(
            pointer,
            format!("`{operation}` requires `{name}`; say where it comes from, `with: {{{name}: …}}`"),
        );
    }
}

fn unreadable(operation: &str) -> String {
    format!("the operation `{operation}` cannot be read itself, so it lists no values; mend that one first")
}

fn unknown(operation: &str, declared: &BTreeSet<&str>) -> String {
    let near = did_you_mean(operation, declared.iter().copied());
    format!("this document has no operation `{operation}`{near}; name an `operationId`")
}
