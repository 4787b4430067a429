//! Cases beside the policies, `policy/*.test.yaml`: who asks for what, and what the policies must answer. They are asked as
//! the door asks ([`World::think`], [`Thought::ask`](guichet_admission::Thought::ask)).

use std::collections::{BTreeMap, BTreeSet};

use guichet_admission::{Asked, Thought, World, ask::approvers};
use guichet_contract::{Approval, Clock, Plan, Principal, PrincipalKind, Surface};
use guichet_rules::{Condition, Decision, Fault, Foresight, Reason, did_you_mean};
use serde::Deserialize;
use serde_json::Value;
use serde_saphyr::{Location, Spanned};

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct FileText {
    /// Where all cases are that do not say it.
    #[serde(default)]
    environment: Option<String>,
    #[serde(default)]
    cases: Vec<CaseText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseText {
    #[serde(default)]
    name: Option<String>,
    who: Spanned<String>,
    #[serde(default = "person")]
    kind: PrincipalKind,
    /// Instead of those of the registry.
    #[serde(default)]
    teams: Option<Vec<Spanned<String>>>,
    #[serde(default)]
    agent: Option<String>,
    action: Spanned<String>,
    #[serde(default)]
    input: Option<BTreeMap<String, Value>>,
    #[serde(default)]
    resource: Option<String>,
    /// Facts of its plan, by name; without them it was not planned yet.
    #[serde(default)]
    plan: Option<BTreeMap<String, Value>>,
    #[serde(default)]
    environment: Option<String>,
    #[serde(default)]
    surface: Surface,
    #[serde(default)]
    reason: Option<String>,
    /// The moment it is asked at; that of the test when absent.
    #[serde(default)]
    at: Option<jiff::Timestamp>,
    expect: Spanned<String>,
    /// Ids of the policies that decide.
    #[serde(default)]
    by: Option<Vec<Spanned<String>>>,
    /// Who can approve, all of them.
    #[serde(default)]
    approvers: Option<Vec<Spanned<String>>>,
}

fn person() -> PrincipalKind {
    PrincipalKind::Person
}

/// What can be expected.
const EXPECTATIONS: [&str; 4] = ["allowed", "needs-approval", "refused", "invalid"];

/// What came of all cases.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tried {
    /// How many were tried.
    pub cases: usize,
    /// How many are about actions of providers without a document.
    pub not_tried: usize,
    /// What does not hold, and what cannot be read.
    pub faults: Vec<Fault>,
}

/// What is known beside the world.
#[derive(Debug, Clone, Default)]
pub struct Around {
    /// Providers without a document: cases about their actions are not tried.
    pub absent: BTreeSet<String>,
    /// Members of teams who are no persons, so that they approve nothing.
    pub programs: BTreeSet<String>,
}

/// Tries the cases of these files `(name, text)`.
pub fn try_all(world: &World, files: &[(String, String)], around: &Around, clock: &dyn Clock) -> Tried {
    let mut tried = Tried::default();
    for (file, text) in files {
        let comments = text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'));
        let read: FileText = if comments {
            FileText::default()
        } else {
            match serde_saphyr::from_str(text) {
                Ok(read) => read,
                Err(error) => {
                    tried.faults.push(unreadable(file, &error));
                    continue;
                }
            }
        };
        for case in &read.cases {
            let provider = case.action.value.split('.').next().unwrap_or_default();
            if around.absent.contains(provider) {
                tried.not_tried += 1;
                continue;
            }
            tried.cases += 1;
            let environment = case.environment.as_deref().or(read.environment.as_deref());
            let mut trial = Trial { world, around, file, case, faults: Vec::new() };
            trial.run(environment, clock);
            tried.faults.extend(trial.faults);
        }
    }
    tried
}

struct Trial<'a> {
    world: &'a World,
    around: &'a Around,
    file: &'a str,
    case: &'a CaseText,
    faults: Vec<Fault>,
}

impl Trial<'_> {
    fn run(&mut self, environment: Option<&str>, clock: &dyn Clock) {
        let case = self.case;
        let expected = case.expect.value.as_str();
        if !EXPECTATIONS.contains(&expected) {
            let near = did_you_mean(expected, EXPECTATIONS);
            let what = format!("`{expected}` cannot be expected{near} (known: {})", EXPECTATIONS.join(", "));
            return self.fault(case.expect.referenced, &what);
        }
        self.check_names();
        let input = case.input.clone().unwrap_or_default().into_iter().collect();
        let plan = case.plan.as_ref().map(|facts| {
            facts.iter().fold(Plan::new(""), |plan, (name, value)| plan.fact(name, value.clone()))
        });
        let thought = self.world.think(&Asked {
            action: &case.action.value,
            input: Some(&Value::Object(input)),
            resource: case.resource.as_deref(),
            environment,
            surface: case.surface,
            reason: case.reason.as_deref(),
            plan: plan.as_ref(),
            now: case.at.unwrap_or_else(|| clock.now()),
        });
        let thought = match thought {
            Ok(thought) => thought,
            Err(problem) => {
                let known = self.world.catalogue.action(&case.action.value).is_some();
                if known && expected == "invalid" {
                    return;
                }
                let members = problem.errors.iter().map(|e| format!("; {} {}", e.pointer, e.message));
                let why = problem.detail.clone() + &members.collect::<String>();
                return self.fault(case.action.referenced, &format!("the case cannot be asked: {why}"));
            }
        };
        let mut principal = self.world.principal(&case.who.value, case.kind);
        principal.agent.clone_from(&case.agent);
        if let Some(teams) = &case.teams {
            let given: BTreeSet<String> = teams.iter().map(|team| team.value.clone()).collect();
            principal.teams =
                self.world.registry.with_parents(&given).into_iter().map(str::to_owned).collect();
        }
        match thought.ask(&self.world.policies, &principal) {
            Foresight::Decided(decision) => self.judge(&thought, &principal, &decision),
            // With an input everything is known.
            Foresight::Depends(policies) => {
                self.fault(case.expect.referenced, &format!("it depends on {}", policies.join(", ")));
            }
        }
    }

    /// Policies and teams that nobody knows would make a case hold for a wrong reason.
    fn check_names(&mut self) {
        let case = self.case;
        for policy in case.by.iter().flatten() {
            if self.world.policies.rule(&policy.value).is_none() {
                let known = self.world.policies.rules().map(|rule| rule.id.as_str());
                let near = did_you_mean(&policy.value, known);
                self.fault(policy.referenced, &format!("no policy has the id `{}`{near}", policy.value));
            }
        }
        for team in case.teams.iter().flatten() {
            if self.world.registry.team(&team.value).is_none() {
                let known = self.world.registry.teams().map(|team| team.name.as_str());
                let near = did_you_mean(&team.value, known);
                self.fault(team.referenced, &format!("no team is called `{}`{near}", team.value));
            }
        }
    }

    fn judge(&mut self, thought: &Thought, principal: &Principal, decision: &Decision) {
        let case = self.case;
        let (answer, by) = match decision {
            Decision::Allowed { policies, .. } => ("allowed", policies.clone()),
            Decision::NeedsApproval { conditions, .. } => {
                ("needs-approval", conditions.iter().map(|one| one.policy.clone()).collect())
            }
            Decision::Refused { reasons } => {
                ("refused", reasons.iter().filter_map(|one| one.policy.clone()).collect())
            }
        };
        if answer != case.expect.value {
            let what = format!("expected `{}`, and it is {}", case.expect.value, told(decision));
            return self.fault(case.expect.referenced, &what);
        }
        if let Some(expected) = &case.by {
            let expected: BTreeSet<&str> = expected.iter().map(|policy| policy.value.as_str()).collect();
            let found: BTreeSet<&str> = by.iter().map(String::as_str).collect();
            // Several may permit the same; what refuses or waits is told in full.
            let holds = if answer == "allowed" { expected.is_subset(&found) } else { expected == found };
            if !holds {
                let expected = if expected.is_empty() { "no policy".to_owned() } else { listed(&expected) };
                let what = format!("expected by {expected}, and it is {}", told(decision));
                self.fault(self.place_of(case.by.as_ref()), &what);
            }
        }
        if let Some(expected) = &case.approvers {
            let conditions: &[Condition] = match decision {
                Decision::NeedsApproval { conditions, .. } => conditions,
                _ => &[],
            };
            let approvals: Vec<Approval> =
                conditions.iter().map(|condition| condition.clone().into_approval(thought.now)).collect();
            let members = self.world.registry.teams().flat_map(|team| team.members.iter().cloned());
            let people: BTreeSet<String> =
                members.filter(|name| !self.around.programs.contains(name)).collect();
            let able = approvers(self.world, &thought.waiting(principal, &approvals), thought.now, people);
            let found: BTreeSet<&str> = able.iter().map(|(name, _)| name.as_str()).collect();
            let expected: BTreeSet<&str> = expected.iter().map(|person| person.value.as_str()).collect();
            if found != expected {
                let what =
                    format!("expected approvers {}, and they are {}", listed(&expected), listed(&found));
                self.fault(self.place_of(case.approvers.as_ref()), &what);
            }
        }
    }

    fn place_of(&self, list: Option<&Vec<Spanned<String>>>) -> Location {
        list.and_then(|list| list.first()).map_or(self.case.expect.referenced, |first| first.referenced)
    }

    fn fault(&mut self, at: Location, what: &str) {
        let number = |position: u64| usize::try_from(position).unwrap_or(usize::MAX).max(1);
        let name = self
            .case
            .name
            .clone()
            .unwrap_or_else(|| format!("{} asks for {}", self.case.who.value, self.case.action.value));
        self.faults.push(Fault {
            file: self.file.to_owned(),
            line: number(at.line()),
            column: number(at.column()),
            message: format!("{name}: {what}"),
        });
    }
}

fn listed(names: &BTreeSet<&str>) -> String {
    if names.is_empty() {
        return "nobody".to_owned();
    }
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn told(decision: &Decision) -> String {
    match decision {
        Decision::Allowed { policies, .. } => format!("allowed by `{}`", policies.join("`, `")),
        Decision::NeedsApproval { conditions, .. } => {
            let waits: Vec<String> =
                conditions.iter().map(|one| format!("`{}` ({one})", one.policy)).collect();
            format!("waiting for {}", waits.join(", "))
        }
        Decision::Refused { reasons } => {
            let why = |reason: &Reason| match &reason.policy {
                Some(policy) => format!("`{policy}`: {}", reason.sentence),
                None => reason.sentence.clone(),
            };
            format!("refused: {}", reasons.iter().map(why).collect::<Vec<_>>().join("; "))
        }
    }
}

fn unreadable(file: &str, error: &serde_saphyr::Error) -> Fault {
    let error = error.without_snippet();
    let at = error.location();
    let number = |position: Option<u64>| usize::try_from(position.unwrap_or(1)).unwrap_or(usize::MAX).max(1);
    let message = match error {
        serde_saphyr::Error::SerdeUnknownField { field, expected, .. } => {
            let near = did_you_mean(field, expected.iter().copied());
            format!("unknown field `{field}`{near} (known here: {})", expected.join(", "))
        }
        serde_saphyr::Error::SerdeMissingField { field, .. } => {
            format!("the field `{field}` is missing: add it")
        }
        other => other.to_string().lines().next().unwrap_or_default().to_owned(),
    };
    Fault {
        file: file.to_owned(),
        line: number(at.map(|at| at.line())),
        column: number(at.map(|at| at.column())),
        message,
    }
}
