//! What can be said before the input, and perhaps the resource, of a call is known: forbidden whatever it brings, allowed
//! whatever it brings, or depending on it.

use cedar_policy::{PolicySet, RestrictedExpression};
use guichet_contract::{Action, Answer, Outlook, Principal, Surface};

use crate::{
    Policies, Rule,
    decide::{forbidden, text, unknown},
    policies::Slice,
    question::{Condition, Decision, Reason, Why},
    request::{Asked, ask},
};

/// Stands for the resource that is not known. Policies that look at the resource do not count then.
const ANY: &str = "any";

/// A question without its input.
#[derive(Debug, Clone, Copy)]
pub struct Prospect<'a> {
    /// Who.
    pub principal: &'a Principal,
    /// What.
    pub action: &'a Action,
    /// On what, when that is known.
    pub resource: Option<&'a str>,
    /// Where.
    pub environment: &'a str,
    /// Through what.
    pub surface: Surface,
}

/// What can be said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Foresight {
    /// Whatever the call brings, this is the answer.
    Decided(Decision),
    /// It depends on what the call brings, by these policies.
    Depends(Vec<String>),
}

impl Policies {
    /// What [`Policies::authorize`] will answer, as far as it can be said before the input is known. By the same sets of
    /// policies and the same evaluation; those that look at what is not known count only by their scope.
    pub fn foresee(&self, prospect: &Prospect<'_>) -> Foresight {
        self.foresee_with(prospect).0
    }

    /// The same, and what it waits for in any case.
    fn foresee_with(&self, prospect: &Prospect<'_>) -> (Foresight, Vec<Condition>) {
        let Prospect { principal, action, environment, surface, .. } = *prospect;
        let Some(slice) = self.slice(action.id.as_str()) else {
            return (Foresight::Decided(unknown(action.id.as_str())), Vec::new());
        };
        let resource = prospect.resource.unwrap_or(ANY);
        let context = vec![
            text("environment", environment),
            text("surface", surface.as_str()),
            ("input".to_owned(), nothing()),
        ];
        let asked =
            match ask(&self.names, &self.registry, slice, action.id.as_str(), principal, resource, context) {
                Ok(asked) => asked,
                Err(why) => {
                    let sentence = format!("the policies could not be asked ({why}), so the answer is no");
                    return (
                        Foresight::Decided(Decision::refused(Why::CannotJudge, sentence, None)),
                        Vec::new(),
                    );
                }
            };
        match self.foreseen(slice, &asked, prospect) {
            Ok(foreseen) => foreseen,
            Err(reasons) => (Foresight::Decided(Decision::Refused { reasons }), Vec::new()),
        }
    }

    fn foreseen(
        &self,
        slice: &Slice,
        asked: &Asked,
        prospect: &Prospect<'_>,
    ) -> Result<(Foresight, Vec<Condition>), Vec<Reason>> {
        let decided = |decision| Ok((Foresight::Decided(decision), Vec::new()));
        let blind = prospect.resource.is_none();
        let forbids = self.held(&slice.forbids, asked, blind)?;
        let hard: Vec<Reason> =
            forbids.sure.iter().filter(|rule| !rule.is_soft()).map(|rule| forbidden(rule)).collect();
        if !hard.is_empty() {
            return decided(Decision::Refused { reasons: hard });
        }
        let permits = self.held(&slice.permits, asked, blind)?;
        if permits.sure.is_empty() && permits.open.is_empty() {
            let Prospect { principal, action, environment, .. } = prospect;
            let on = prospect.resource.map_or_else(String::new, |resource| format!(" on `{resource}`"));
            let sentence =
                format!("no policy permits {principal} to do `{}`{on} in {environment}", action.id);
            return decided(Decision::refused(Why::NotPermitted, sentence, None));
        }
        let resource = prospect.resource.unwrap_or_default();
        let conditions: Vec<Condition> =
            forbids.sure.iter().flat_map(|rule| self.conditions(rule, resource)).collect();
        // What holds until the requester writes something depends on what they will write.
        let unwritten: Vec<&Rule> =
            forbids.sure.iter().copied().filter(|rule| rule.writing.is_some()).collect();
        if permits.sure.is_empty() || !forbids.open.is_empty() || !unwritten.is_empty() {
            let waits = !permits.sure.is_empty() && forbids.open.iter().all(|rule| rule.is_soft());
            let open = if permits.sure.is_empty() { permits.open } else { Vec::new() };
            let all = open.iter().chain(&forbids.open).chain(&unwritten);
            let mut ids: Vec<String> = all.map(|rule| rule.id.clone()).collect();
            ids.sort();
            return Ok((Foresight::Depends(ids), if waits { conditions } else { Vec::new() }));
        }
        let policies = permits.sure.iter().map(|rule| rule.id.clone()).collect();
        let cool_down_seconds = forbids.sure.iter().map(|rule| rule.cool_down_seconds).max().unwrap_or(0);
        let timeout_seconds = forbids.sure.iter().filter_map(|rule| rule.timeout_seconds).min();
        decided(if conditions.is_empty() {
            Decision::Allowed { policies, cool_down_seconds, timeout_seconds }
        } else {
            Decision::NeedsApproval { conditions, policies, cool_down_seconds, timeout_seconds }
        })
    }

    fn held(&self, set: &PolicySet, asked: &Asked, blind: bool) -> Result<Held<'_>, Vec<Reason>> {
        let is_open =
            |id: &str| self.reaches.get(id).is_some_and(|reach| reach.call || (blind && reach.resource));
        let sure = self.satisfied_among(set, asked, |id| !is_open(id))?;
        let scopes = set.policies().map(|policy| AsRef::<str>::as_ref(policy.id())).filter(|id| is_open(id));
        let scopes = scopes.filter_map(|id| self.reaches.get(id));
        let scopes = scopes.map(|reach| if blind { &reach.any_resource } else { &reach.scope }).cloned();
        let open = match PolicySet::from_policies(scopes) {
            Ok(scopes) if scopes.is_empty() => Vec::new(),
            Ok(scopes) => self.satisfied_among(&scopes, asked, |_| true)?,
            Err(error) => {
                let sentence = format!("the policies could not be asked ({error}), so the answer is no");
                return Err(vec![Reason { policy: None, sentence, next: None, kind: Why::CannotJudge }]);
            }
        };
        Ok(Held { sure, open })
    }

    /// The same in few words, for a list of actions.
    pub fn outlook(&self, prospect: &Prospect<'_>) -> Outlook {
        let (foresight, conditions) = self.foresee_with(prospect);
        match foresight {
            Foresight::Decided(Decision::Allowed { policies, .. }) => {
                Outlook { answer: Answer::Allowed, because: None, policies }
            }
            // Whatever the call brings, people are asked; perhaps more of them than these.
            Foresight::Depends(_) if !conditions.is_empty() => waiting(conditions),
            Foresight::Decided(Decision::NeedsApproval { conditions, .. }) => waiting(conditions),
            Foresight::Decided(Decision::Refused { reasons }) => Outlook {
                answer: Answer::Refused,
                because: Some(
                    reasons.iter().map(|reason| reason.sentence.as_str()).collect::<Vec<_>>().join("; "),
                ),
                policies: reasons.into_iter().filter_map(|reason| reason.policy).collect(),
            },
            Foresight::Depends(policies) => {
                let reads = |call: bool| {
                    policies.iter().filter_map(|id| self.reaches.get(id)).any(|reach| {
                        if call { reach.call } else { reach.resource && prospect.resource.is_none() }
                    })
                };
                let writes =
                    policies.iter().filter_map(|id| self.rules.get(id)).any(|rule| rule.writing.is_some());
                let parts: Vec<&str> = [
                    (reads(true) || !(reads(false) || writes), "on its input"),
                    (reads(false), "on what it acts on"),
                    (writes, "on the reason that is given"),
                ]
                .into_iter()
                .filter_map(|(holds, part)| holds.then_some(part))
                .collect();
                let because = format!("depends {}", parts.join(" and "));
                Outlook { answer: Answer::Depends, because: Some(because), policies }
            }
        }
    }
}

fn waiting(conditions: Vec<Condition>) -> Outlook {
    let because: Vec<&str> = conditions.iter().map(|one| one.because.as_str()).collect();
    Outlook {
        answer: Answer::NeedsApproval,
        because: Some(because.join("; ")),
        policies: conditions.into_iter().map(|one| one.policy).collect(),
    }
}

/// Policies that hold whatever the call brings, and those that may hold.
struct Held<'a> {
    sure: Vec<&'a Rule>,
    open: Vec<&'a Rule>,
}

fn nothing() -> RestrictedExpression {
    // A record without members cannot repeat one.
    RestrictedExpression::new_record(std::iter::empty())
        .unwrap_or_else(|_| RestrictedExpression::new_bool(false))
}
