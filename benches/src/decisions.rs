//! Decisions: what the door asks of the policies, beside Cedar asked the same with nothing around it.
//!
//! 500 policies and 2,000 teams that each own resources, as a company of some thousand people has them. The gateway's
//! own answers hold until the next reload where no policy reads what a single call brings; so there are two kinds of
//! questions: about an action whose policies read its input (each is decided anew), and about one whose do not.

use std::{
    fmt::Write as _,
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow};
use cedar_policy as cedar;
use guichet_contract::{
    Action, Catalogue, Principal, Surface,
    openapi::{self, Strictness},
};
use guichet_rules::{Defaults, Policies, Question, Registry};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    figures::{Measured, Table, count, duration, median, median_of, of_durations, ratio, times},
    setting::{ROUNDS, Setting},
};

const POLICIES: usize = 500;
const TEAMS: usize = 2_000;
/// Actions that policies name one by one; the rest of the policies hold for all.
const ACTIONS: usize = 100;
/// Of ten actions, one whose policies read the input, and one whose do not; see [`policies`].
const READS_INPUT: usize = 2;
const READS_NONE: usize = 7;

/// Measures.
pub(crate) fn measure(setting: &Setting) -> Result<String> {
    let company = Company::new()?;
    let bare = Bare::new(&company)?;
    let names = ["remembered", "decided anew", "Cedar alone, all policies"];
    let mut measured: [Vec<Measured>; 3] = Default::default();
    for round in 0..ROUNDS {
        eprintln!("  round {} of {ROUNDS}", round + 1);
        measured[0].push(repeat(setting.seconds, |turn| company.ask(turn, 1))?);
        measured[1].push(repeat(setting.seconds, |turn| company.ask(turn, 0))?);
        measured[2].push(repeat(setting.seconds, |turn| bare.ask(&company, turn))?);
    }
    let mut table = Table::new(&["", "decisions/s on one core", "p50", "p99", "of Cedar alone"]);
    for (name, rounds) in names.iter().zip(&measured) {
        table.row(&[
            (*name).to_owned(),
            count(median(rounds.iter().map(|round| round.per_second))),
            nanoseconds(median_of(rounds.iter().map(|round| round.p50))),
            nanoseconds(median_of(rounds.iter().map(|round| round.p99))),
            times(ratio(rounds, &measured[2])),
        ]);
    }
    Ok(format!(
        "## decisions\n\n{POLICIES} policies, {TEAMS} teams of two people that each own a tree of resources, {ACTIONS} actions; who asks, \
         for what and about which resource changes with each question. Ours includes the owner from the registry, the conditions and who can lift \
         them; Cedar alone is `is_authorized` over all policies with the same six entities, made anew for each question too. Reading, checking and preparing it all \
         took {}. {ROUNDS} rounds in turns.\n\n{}",
        duration(company.load),
        table.into_text()
    ))
}

fn nanoseconds(time: Duration) -> String {
    if time < Duration::from_micros(10) { format!("{} ns", time.as_nanos()) } else { duration(time) }
}

fn repeat(how_long: Duration, mut once: impl FnMut(usize) -> Result<()>) -> Result<Measured> {
    let began = Instant::now();
    let mut durations = Vec::new();
    while began.elapsed() < how_long {
        let one = Instant::now();
        once(durations.len())?;
        durations.push(one.elapsed());
    }
    Ok(of_durations(durations, began.elapsed()))
}

struct Company {
    policies: Policies,
    text: String,
    actions: Vec<Arc<Action>>,
    people: Vec<Principal>,
    load: Duration,
}

fn team(number: usize) -> String {
    format!("team-{number}")
}

impl Company {
    fn new() -> Result<Self> {
        let mut registry = "teams:\n".to_owned();
        for number in 0..TEAMS {
            let name = team(number);
            let _ = writeln!(registry, "  - {{name: {name}, members: [p{number}a, p{number}b]}}");
        }
        registry.push_str("resources:\n");
        for number in 0..TEAMS {
            let _ = writeln!(registry, "  - {{pattern: 'things/area-{number}/**', owner: {}}}", team(number));
        }
        let mut paths = serde_json::Map::new();
        for number in 0..ACTIONS {
            paths.insert(
                format!("/a{number}/{{name}}"),
                json!({"post": {
                    "operationId": format!("act-{number}"), "responses": {},
                    "x-guichet": {"effect": "change", "resource": "things/{name}"},
                    "parameters": [
                        {"name": "name", "in": "path", "required": true, "schema": {"type": "string"}},
                        {"name": "count", "in": "query", "schema": {"type": "integer"}},
                    ],
                }}),
            );
        }
        let document =
            json!({"openapi": "3.1.0", "info": {"title": "Things", "version": "1"}, "paths": paths});
        let read = openapi::read("things", &document, Strictness::Strict)
            .map_err(|faults| anyhow!("the document is not good: {faults:?}"))?;
        let text = policies();
        let began = Instant::now();
        let registry = Registry::parse(&[("registry.yaml".to_owned(), registry)])
            .map_err(|faults| anyhow!("the registry is not good: {faults:?}"))?;
        let catalogue = Catalogue::new("production", read.actions);
        let files = [("policies.cedar".to_owned(), text.clone())];
        let policies = Policies::load(&files, &catalogue.actions, &registry, Defaults::default())
            .map_err(|faults| anyhow!("the policies are not good: {faults:?}"))?;
        let load = began.elapsed();
        let people = (0..TEAMS)
            .map(|number| {
                let name = format!("p{number}a");
                Principal { teams: registry.teams_of(&name), ..Principal::person(name) }
            })
            .collect();
        let mut actions = catalogue.actions;
        actions.sort_by_key(|action| {
            action.operation.trim_start_matches("act-").parse::<usize>().unwrap_or_default()
        });
        Ok(Self { policies, text, actions, people, load })
    }

    /// `kind` 0: actions whose policies read the input; 1: those whose do not.
    fn turn(&self, turn: usize, kind: usize) -> Result<(&Principal, &Action, String, Value)> {
        let place = if kind == 0 { READS_INPUT } else { READS_NONE };
        let action = self.actions.get((turn % (ACTIONS / 10)) * 10 + place).context("no action")?;
        // Every third one asks about what another team owns.
        let owner = if turn.is_multiple_of(3) { turn * 7 + 1 } else { turn } % TEAMS;
        let person = self.people.get(turn % TEAMS).context("nobody")?;
        Ok((person, action, format!("things/area-{owner}/x"), json!({"name": "x", "count": turn % 10})))
    }

    fn ask(&self, turn: usize, kind: usize) -> Result<()> {
        let (principal, action, resource, input) = self.turn(turn, kind)?;
        black_box(self.policies.authorize(&Question {
            principal,
            action,
            input: &input,
            resource: &resource,
            environment: "production",
            surface: Surface::Rest,
            reason: None,
            plan: None,
            now: Timestamp::UNIX_EPOCH,
        }));
        Ok(())
    }
}

/// A fifth for everybody, the rest about single actions and teams; of the actions, every other one's read the input.
fn policies() -> String {
    let mut text = String::new();
    for number in 0..POLICIES {
        let action = number % ACTIONS;
        let reads_input = action.is_multiple_of(2);
        let _ = match number % 5 {
            0 => writeln!(
                text,
                "@id(\"own-{number}\") permit (principal, action in Action::\"change\", resource) when {{ principal in resource.owner && resource.path like \"things/area-{number}*\" }};"
            ),
            1 | 2 if reads_input => writeln!(
                text,
                "@id(\"few-{number}\") permit (principal in Team::\"{}\", action == Action::\"things.act-{action}\", resource) when {{ context.input has count && context.input.count < 5 }};",
                team(number)
            ),
            3 => writeln!(
                text,
                "@id(\"ask-{number}\") @approval(\"it is another team's\") @by(\"owner\") forbid (principal, action == Action::\"things.act-{action}\", resource) unless {{ principal in resource.owner }};"
            ),
            _ => writeln!(
                text,
                "@id(\"team-{number}\") permit (principal in Team::\"{}\", action == Action::\"things.act-{action}\", resource in Resource::\"things\");",
                team(number)
            ),
        };
    }
    text
}

/// Cedar with nothing of ours around it.
struct Bare {
    policies: cedar::PolicySet,
    authorizer: cedar::Authorizer,
}

impl Bare {
    fn new(company: &Company) -> Result<Self> {
        let policies = company.text.parse().context("Cedar does not read the policies")?;
        Ok(Self { policies, authorizer: cedar::Authorizer::new() })
    }

    fn ask(&self, company: &Company, turn: usize) -> Result<()> {
        let (principal, action, resource, _) = company.turn(turn, 0)?;
        let uid = |kind: &str, id: &str| -> Result<cedar::EntityUid> {
            let kind: cedar::EntityTypeName = kind.parse().context("a type")?;
            Ok(cedar::EntityUid::from_type_name_and_id(kind, cedar::EntityId::new(id)))
        };
        let area = resource.split('/').nth(1).unwrap_or_default();
        let owner = uid("Team", &format!("team-{}", area.trim_start_matches("area-")))?;
        let teams = principal.teams.iter().map(|team| uid("Team", team)).collect::<Result<_>>()?;
        let change = uid("Action", "change")?;
        let attributes = [
            ("path".to_owned(), cedar::RestrictedExpression::new_string(resource.clone())),
            ("owner".to_owned(), cedar::RestrictedExpression::new_entity_uid(owner.clone())),
        ];
        let above = [uid("Resource", "things")?, uid("Resource", &format!("things/{area}"))?];
        let (who, what, on) = (
            uid("Person", &principal.name)?,
            uid("Action", action.id.as_str())?,
            uid("Resource", &resource)?,
        );
        let entities = [
            cedar::Entity::new(who.clone(), [].into(), teams)?,
            cedar::Entity::new(on.clone(), attributes.into(), above.into())?,
            cedar::Entity::new_no_attrs(what.clone(), [change.clone()].into()),
            cedar::Entity::new_no_attrs(change, [].into()),
            cedar::Entity::new_no_attrs(owner, [].into()),
        ];
        let entities = cedar::Entities::from_entities(entities, None)?;
        let number = i64::try_from(turn % 10)?;
        let input = [("count".to_owned(), cedar::RestrictedExpression::new_long(number))];
        let context = cedar::Context::from_pairs([
            ("environment".to_owned(), cedar::RestrictedExpression::new_string("production".to_owned())),
            ("input".to_owned(), cedar::RestrictedExpression::new_record(input)?),
        ])?;
        let request = cedar::Request::new(who, what, on, context, None)?;
        black_box(self.authorizer.is_authorized(&request, &self.policies, &entities));
        Ok(())
    }
}
