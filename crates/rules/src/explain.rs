//! A decision in words: which policies took it, where they stand, and which others are about the same action.

use std::collections::BTreeSet;

use cedar_policy::{EntityUid, PrincipalConstraint};
use guichet_contract::{PolicyTold, Says};

use crate::{Policies, Rule, question::Decision};

impl Policies {
    /// The policies of these ids as people are shown them. One that is not known is passed over.
    pub fn told<'a>(&self, ids: impl IntoIterator<Item = &'a String>) -> Vec<PolicyTold> {
        ids.into_iter().filter_map(|id| self.rule_of(id)).map(tell).collect()
    }

    /// The rule of a condition: `ID`, or `ID:PART` where one policy asks each of several for a yes.
    fn rule_of(&self, condition: &str) -> Option<&Rule> {
        self.rule(condition).or_else(|| {
            let mut ends = condition.match_indices(':').map(|(at, _)| at);
            ends.find_map(|at| self.rule(&condition[..at]))
        })
    }

    /// The policies that took a decision: those that permit, then those that forbid or wait.
    pub fn decided_by(&self, decision: &Decision) -> Vec<PolicyTold> {
        match decision {
            Decision::Allowed { policies, .. } => self.told(policies),
            Decision::NeedsApproval { conditions, policies, .. } => {
                self.told(policies.iter().chain(conditions.iter().map(|one| &one.policy)))
            }
            Decision::Refused { reasons } => {
                self.told(reasons.iter().filter_map(|reason| reason.policy.as_ref()))
            }
        }
    }

    /// The policies about this action that are not among these, by id: what did not hold.
    pub fn others_about(&self, action: &str, but: &[PolicyTold]) -> Vec<PolicyTold> {
        let Some(slice) = self.slice(action) else { return Vec::new() };
        let all: BTreeSet<&str> = [&slice.permits, &slice.forbids]
            .into_iter()
            .flat_map(|set| set.policies())
            .map(|policy| policy.id().as_ref())
            .collect();
        let others = all.into_iter().filter(|id| but.iter().all(|told| told.id != *id));
        others.filter_map(|id| self.rule(id)).map(tell).collect()
    }

    /// The teams that permits about this action name in their scope: where to look first for somebody who can.
    pub fn teams_permitted(&self, action: &str) -> BTreeSet<String> {
        let Some(slice) = self.slice(action) else { return BTreeSet::new() };
        let team =
            |uid: EntityUid| (uid.type_name().to_string() == "Team").then(|| uid.id().unescaped().to_owned());
        slice
            .permits
            .policies()
            .filter_map(|policy| match policy.principal_constraint() {
                PrincipalConstraint::In(uid) | PrincipalConstraint::IsIn(_, uid) => team(uid),
                _ => None,
            })
            .collect()
    }
}

fn tell(rule: &Rule) -> PolicyTold {
    let says = match (rule.forbids, rule.is_soft()) {
        (false, _) => Says::Permits,
        (true, false) => Says::Forbids,
        (true, true) => Says::WaitsFor,
    };
    let because = || rule.lifting.as_ref().map(|lifting| lifting.because.clone());
    PolicyTold {
        id: rule.id.clone(),
        says,
        place: place_of(rule),
        sentence: rule.description.clone().or_else(because),
    }
}

/// File and line, without the folders of the gateway's machine: `policy/approvals.cedar:3`.
fn place_of(rule: &Rule) -> String {
    if rule.file.starts_with("provider ") {
        return rule.file.clone();
    }
    let parts: Vec<&str> = rule.file.split('/').filter(|part| !part.is_empty()).collect();
    let shown = parts[parts.len().saturating_sub(2)..].join("/");
    format!("{shown}:{}", rule.line)
}
