//! `guichet policy …`: why something is allowed or not, who can do it, who can approve it, what other policies would change.

use std::{collections::BTreeMap, fs, path::Path};

use clap::ArgMatches;
use guichet_client::Subject;
use guichet_contract::{
    Answer, ApprovalTold, Explanation, PolicyTold, RunId, Says, Simulation, WhoCan, WhoCanApprove,
};
use serde_json::json;

use crate::{
    arguments::globals,
    commands::{Cx, named, subcommand, text},
    exit::Exit,
    failure::Failure,
    printer::{
        Printer, Row,
        card::Card,
        text::{moment, words},
    },
};

pub(crate) fn run(cx: &Cx, matches: &ArgMatches, printer: &Printer) -> Result<Exit, Failure> {
    let (verb, matches) = subcommand(matches)?;
    if verb == "simulate" {
        return simulate(cx, matches, printer);
    }
    let subject = subject(cx, verb, matches)?;
    cx.online(printer, async |client| {
        match verb {
            "who-can" => draw_who_can(&client.who_can(&subject).await?, printer),
            "who-can-approve" => draw_approvers(&client.who_can_approve(&subject).await?, printer),
            _ => {
                let explanation = client.explain_policy(&subject).await?;
                printer.card(&explanation, &card(&explanation));
            }
        }
        Ok(Exit::Done)
    })
}

/// What is asked about: a run by its id, or an action by its id or words, with the flags that its own command takes.
fn subject(cx: &Cx, verb: &str, matches: &ArgMatches) -> Result<Subject, Failure> {
    let (words, mut flags) = named::typed(matches);
    let owned = |name| text(matches, name).map(str::to_owned);
    let mut subject = Subject {
        as_user: owned("as"),
        resource: owned("resource"),
        reason: globals::reason(matches).map(str::to_owned),
        ..Subject::default()
    };
    if let [id] = &words[..]
        && is_run(id)
    {
        take_own(verb, &mut flags, &[], &mut subject)?;
        named::parse(globals::add(named::bare(), &cx.settings), &flags)?;
        subject.run = Some(id.clone());
        return Ok(subject);
    }
    let found = named::find(cx, &words)?;
    let taken: Vec<&str> = found.2.iter().map(|member| member.flag.as_str()).collect();
    take_own(verb, &mut flags, &taken, &mut subject)?;
    let named = named::read(cx, &format!("guichet policy {verb}"), found, &flags)?;
    subject.input = named.input;
    subject.reason = named.reason.or(subject.reason);
    subject.action = Some(named.action.id.to_string());
    Ok(subject)
}

fn is_run(id: &str) -> bool {
    id.parse::<RunId>().is_ok() || (id.len() == 8 && id.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Takes `--as` and `--resource` from among the action's flags, where the action has none of that name.
fn take_own(
    verb: &str,
    flags: &mut Vec<String>,
    taken: &[&str],
    subject: &mut Subject,
) -> Result<(), Failure> {
    if verb != "who-can" {
        subject.as_user = named::take(flags, taken, "as")?.or(subject.as_user.take());
    }
    subject.resource = named::take(flags, taken, "resource")?.or(subject.resource.take());
    Ok(())
}

fn card(told: &Explanation) -> Card {
    let who = &told.principal;
    let teams: Vec<&str> = who.teams.iter().map(String::as_str).collect();
    let teams = if teams.is_empty() { "in no team".to_owned() } else { format!("of {}", teams.join(", ")) };
    let resource = told.resource.as_ref().map(|resource| match &told.owner {
        Some(owner) => format!("{resource}, owned by team {owner}"),
        None => format!("{resource}, without an owner"),
    });
    let mut card = Card::default()
        .with("Answer", words(told.answer.as_str()))
        .with("For", format!("{who}, {teams}"))
        .with("Action", format!("{} ({})", told.action, told.effect.as_str()))
        .maybe("Run", told.run.map(|run| run.short()))
        .with("Resource", resource.unwrap_or_else(|| "not known without the input".to_owned()))
        .with("Where", format!("{}, through {}", told.environment, told.surface.as_str()));
    for policy in &told.decided_by {
        let label = match (told.answer, policy.says) {
            (Answer::Depends, _) => "Depends on",
            (_, Says::Permits) => "Permitted by",
            (_, Says::Forbids) => "Forbidden by",
            (_, Says::WaitsFor) => "Waits by",
        };
        card = card.with(label, line(policy));
    }
    for reason in &told.reasons {
        card = card.with("Because", reason.clone());
    }
    for approval in &told.approvals {
        card = card.with("Needs", needs(approval));
    }
    for policy in &told.did_not_hold {
        card =
            card.with("Did not hold", format!("{} ({}, {})", policy.id, policy.says.words(), policy.place));
    }
    for note in &told.notes {
        card = card.with("Note", note.clone());
    }
    card.maybe("Next", told.next.clone()).with("Policies", told.policy_version.short())
}

fn line(policy: &PolicyTold) -> String {
    let sentence = policy.sentence.as_ref().map(|sentence| format!(": {sentence}")).unwrap_or_default();
    format!("{} ({}){sentence}", policy.id, policy.place)
}

/// `1 of team dba (#databases), for "it cancels a query": omar or rita`.
fn needs(approval: &ApprovalTold) -> String {
    let team = match (&approval.team, &approval.chat) {
        (Some(team), Some(chat)) => format!("team {team} ({chat})"),
        (Some(team), None) => format!("team {team}"),
        (None, _) => "the owner, whom the registry does not name".to_owned(),
    };
    let people =
        if approval.people.is_empty() { "nobody can".to_owned() } else { approval.people.join(", ") };
    let given = if approval.given.is_empty() {
        String::new()
    } else {
        format!("; given by {}", approval.given.join(", "))
    };
    format!("{} of {team}: {people}{given} ({})", approval.count, approval.because)
}

fn draw_who_can(told: &WhoCan, printer: &Printer) {
    let rows: Vec<Row> = told
        .able
        .iter()
        .map(|able| {
            let policies: Vec<&str> = able.policies.iter().map(|policy| policy.id.as_str()).collect();
            Row::from_iter([
                ("name".to_owned(), json!(able.name)),
                ("kind".to_owned(), json!(able.kind)),
                ("answer".to_owned(), json!(words(able.answer.as_str()))),
                ("policies".to_owned(), json!(policies)),
                ("waits for".to_owned(), json!(able.waits_for.join("; "))),
            ])
        })
        .collect();
    printer.list(told, &rows, "nobody can");
    let on = told.resource.as_ref().map(|resource| format!(" on {resource}")).unwrap_or_default();
    let open = told.able.iter().filter(|able| able.answer == Answer::Depends).count();
    let sure = told.able.len() - open;
    let depends = if open == 0 { String::new() } else { format!("; {open} may, depending on the input") };
    printer.note(&format!("{sure} of {} users can do {}{on}{depends}", told.asked, told.action));
    if !told.not_users.is_empty() {
        printer.note(&format!("in teams, but no users of this gateway: {}", told.not_users.join(", ")));
    }
}

fn draw_approvers(told: &WhoCanApprove, printer: &Printer) {
    let rows: Vec<Row> = told
        .able
        .iter()
        .map(|able| {
            Row::from_iter([
                ("name".to_owned(), json!(able.name)),
                ("approves".to_owned(), json!(able.lifts)),
                ("permitted by".to_owned(), json!(able.policies)),
            ])
        })
        .collect();
    let nothing = match told.answer {
        Answer::NeedsApproval => "nobody can approve this",
        Answer::Allowed => "this needs no approval",
        Answer::Refused => "this would be refused, so there is nothing to approve",
        Answer::Depends => "this depends on the input: give the action's flags, or --input JSON",
    };
    printer.list(told, &rows, nothing);
    for approval in &told.approvals {
        printer.note(&format!("needed when {} asks: {}", told.requester, needs(approval)));
    }
    for reason in &told.reasons {
        printer.note(reason);
    }
}

fn simulate(cx: &Cx, matches: &ArgMatches, printer: &Printer) -> Result<Exit, Failure> {
    let policies = read_policies(Path::new(text(matches, "policy").unwrap_or_default()))?;
    let days = matches.get_one::<u16>("days").copied().unwrap_or(7);
    cx.online(printer, async |client| {
        draw_simulation(&client.simulate_policy(&policies, days).await?, printer);
        Ok(Exit::Done)
    })
}

/// Every `*.cedar` of a folder, by name.
fn read_policies(folder: &Path) -> Result<BTreeMap<String, String>, Failure> {
    let fault = |path: &Path, error: std::io::Error| Failure::usage(format!("{}: {error}", path.display()));
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(|error| fault(folder, error))? {
        let path = entry.map_err(|error| fault(folder, error))?.path();
        if path.extension().is_some_and(|extension| extension == "cedar") {
            let text = fs::read_to_string(&path).map_err(|error| fault(&path, error))?;
            found.insert(path.display().to_string(), text);
        }
    }
    if found.is_empty() {
        return Err(Failure::usage(format!("{}: there is no *.cedar in this folder", folder.display())));
    }
    Ok(found)
}

fn draw_simulation(told: &Simulation, printer: &Printer) {
    let rows: Vec<Row> = told
        .changes
        .iter()
        .map(|one| {
            let who = match &one.agent {
                Some(agent) => format!("{} (through agent {agent})", one.principal),
                None => one.principal.clone(),
            };
            Row::from_iter([
                ("change".to_owned(), json!(one.change.words())),
                ("action".to_owned(), json!(one.action)),
                ("principal".to_owned(), json!(who)),
                ("records".to_owned(), json!(one.records)),
                ("for example".to_owned(), json!(format!("#{} {}", one.example.index, one.example.resource))),
                ("because".to_owned(), json!(one.example.because)),
            ])
        })
        .collect();
    printer.list(told, &rows, "nothing would change");
    if told.more > 0 {
        printer.note(&format!("{} more records would change", told.more));
    }
    printer.note(&format!(
        "{} records since {} were held against both: {} answered the same; policies {} now, {} then",
        told.replayed,
        moment(told.since),
        told.unchanged,
        told.now.short(),
        told.then.short()
    ));
    for unknown in &told.cannot_tell {
        printer.note(&format!("{} cannot be told: {}", unknown.records, unknown.why));
    }
    for warning in &told.warnings {
        printer.note(&format!("warning: {warning}"));
    }
}
