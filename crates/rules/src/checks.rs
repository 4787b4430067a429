//! What Cedar's parser alone does not find wrong in policies: unknown names, repeated ids, types, reach.

use std::collections::HashMap;

use cedar_policy::{Policy, PolicyId, PolicySet, ValidationMode, Validator};
use miette::Diagnostic;

use crate::{
    Registry, Rule,
    fault::Fault,
    nearest::did_you_mean,
    registry::UNOWNED,
    rule::Page,
    source::{Literal, Statement},
};

/// What a policy may follow from a principal or resource: `resource.owner in Team::"x"` is two steps. Deeper, or
/// from a literal, and it would need entities that a question does not carry.
const MAX_STEPS: u32 = 2;

/// A policy with what is needed to say where it is wrong.
pub(crate) struct Read<'a> {
    pub(crate) rule: Rule,
    pub(crate) policy: Policy,
    /// File, its text, and the byte offset of the policy in it; none for what a provider declared.
    pub(crate) place: Option<(&'a str, &'a str, usize)>,
    /// The action that a provider declared it for.
    pub(crate) declared_for: Option<&'a str>,
}

/// Teams and actions that nobody knows. Cedar would accept any team, and suggests actions less well.
pub(crate) fn unknown_names(page: &Page<'_>, statement: &Statement<'_>) -> Vec<Fault> {
    let fault = |offset, message| Fault::at(page.file, page.text, offset, message);
    let unknown = |literal: &Literal<'_>| match literal.type_name.as_str() {
        "Team" if literal.id != UNOWNED && page.registry.team(literal.id).is_none() => {
            let near = did_you_mean(literal.id, page.registry.teams().map(|team| team.name.as_str()));
            Some(fault(literal.offset, format!("no team is called `{}`{near}", literal.id)))
        }
        "Action" if !page.actions.contains(literal.id) => {
            let near = did_you_mean(literal.id, page.actions.iter().map(AsRef::as_ref));
            Some(fault(
                literal.offset,
                format!("no action, effect, provider or verb is called `{}`{near}", literal.id),
            ))
        }
        _ => None,
    };
    statement.literals.iter().filter_map(unknown).collect()
}

pub(crate) fn unknown_approvers(rule: &Rule, registry: &Registry) -> Vec<Fault> {
    let teams = rule.lifting.iter().flat_map(|lifting| lifting.by.teams());
    // A fault would let one provider stop the reload of everybody's policies; the condition stands, unliftable.
    teams.filter(|team| registry.team(team).is_none()).map(|team| {
        let near = did_you_mean(team, registry.teams().map(|team| team.name.as_str()));
        Fault::of_file(&rule.file, format!("`{}` asks for the approval of team `{team}`, which the registry does not know, so nobody of it can give it{near}", rule.id))
    }).collect()
}

/// A fault when Cedar, reading the file as a whole, sees other policies than we do statement by statement: a `forbid`
/// that only one of the two sees must not be lost without a word.
pub(crate) fn read_otherwise(page: &Page<'_>, statements: usize) -> Option<Fault> {
    match page.text.parse::<PolicySet>() {
        Ok(set) if set.num_of_policies() == statements => None,
        Ok(set) => Some(Fault::of_file(
            page.file,
            format!(
                "{statements} policies were read where Cedar reads {}: write plain `//` comments and one `;` after each policy",
                set.num_of_policies()
            ),
        )),
        Err(error) => Some(Fault::at(page.file, page.text, offset_of(&error), sentence_of(&error, ""))),
    }
}

pub(crate) fn repeated_ids(read: &[Read<'_>]) -> Vec<Fault> {
    let mut first: HashMap<&str, &Rule> = HashMap::new();
    let mut faults = Vec::new();
    for Read { rule, place, .. } in read {
        if let Some(earlier) = first.insert(&rule.id, rule)
            && let Some((file, text, start)) = place
        {
            let message = format!(
                "the id `{}` is taken by the policy at {}:{}: choose another",
                rule.id, earlier.file, earlier.line
            );
            faults.push(Fault::at(file, text, *start, message));
        }
    }
    faults
}

/// Faults and warnings of Cedar's strict validation. What a provider declared is made by us and speaks of its own action
/// alone: there is nothing in it to be wrong.
pub(crate) fn check_types(read: &[Read<'_>], schema: cedar_policy::Schema) -> (Vec<Fault>, Vec<Fault>) {
    let of_files = || read.iter().filter(|read| read.declared_for.is_none());
    let set = match PolicySet::from_policies(of_files().map(|read| read.policy.clone())) {
        Ok(set) => set,
        Err(error) => return (vec![Fault::of_file("policies", error.to_string())], Vec::new()),
    };
    let by_id: HashMap<&str, &Read<'_>> = of_files().map(|read| (read.rule.id.as_str(), read)).collect();
    let fault = |id: &PolicyId, diagnostic: &dyn Diagnostic| {
        let id: &str = id.as_ref();
        let message = format!("policy `{id}`: {}", sentence_of(diagnostic, id));
        match by_id.get(id).map(|read| (read.place, &read.rule)) {
            Some((Some((file, text, start)), _)) => {
                Fault::at(file, text, start + offset_of(diagnostic), message)
            }
            Some((None, rule)) => Fault::of_file(&rule.file, message),
            None => Fault::of_file("policies", message),
        }
    };
    let result = Validator::new(schema).validate_with_level(&set, ValidationMode::Strict, MAX_STEPS);
    let faults = result.validation_errors().map(|error| fault(error.policy_id(), error)).collect();
    let warnings = result.validation_warnings().map(|warning| fault(warning.policy_id(), warning)).collect();
    (faults, warnings)
}

pub(crate) fn offset_of(diagnostic: &dyn Diagnostic) -> usize {
    diagnostic.labels().and_then(|mut labels| labels.next()).map_or(0, |label| label.offset())
}

/// Cedar's words, without the policy's name where ours has told it, and with its advice.
pub(crate) fn sentence_of(diagnostic: &dyn Diagnostic, id: &str) -> String {
    let text = diagnostic.to_string();
    let told = format!("for policy `{id}`, ");
    let text = text.strip_prefix(&told).unwrap_or(&text);
    let mut labels = diagnostic.labels().into_iter().flatten();
    let label = labels.find_map(|label| label.label().map(str::to_owned));
    let label = label.filter(|label| label != text).map_or_else(String::new, |label| format!(": {label}"));
    let help = diagnostic
        .help()
        .map_or_else(String::new, |help| format!("; {}", help.to_string().replace(&told, "")));
    format!("{text}{label}{help}")
}
