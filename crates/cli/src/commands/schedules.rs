//! `guichet schedules …`: what is done at set times.

use clap::ArgMatches;
use guichet_client::NewSchedule;
use guichet_contract::{Run, Schedule, ScheduleState};
use jiff::{Timestamp, tz::TimeZone};
use serde_json::{Value, json};

use crate::{
    arguments::globals,
    commands::{Cx, named, now, subcommand, text},
    exit::Exit,
    failure::Failure,
    printer::{
        Printer, Row,
        card::{Card, who},
        text::{duration, moment, words},
    },
    prompt,
};

pub(crate) fn run(cx: &Cx, matches: &ArgMatches, printer: &Printer) -> Result<Exit, Failure> {
    let (verb, matches) = subcommand(matches)?;
    let which = text(matches, "schedule").unwrap_or_default();
    let reason = globals::reason(matches);
    match verb {
        "create" => create(cx, matches, printer),
        "list" => list(cx, printer),
        "approve" => approve(cx, matches, which, printer),
        "reject" => reject(cx, which, reason, printer),
        "pause" => cx.online(printer, async |client| {
            let schedule = client.pause_schedule(which, reason).await?;
            printer.done(&schedule, &format!("halted: {} makes no runs until it is resumed", schedule.name));
            Ok(Exit::Done)
        }),
        "resume" => cx.online(printer, async |client| {
            let schedule = client.resume_schedule(which, reason).await?;
            let next = schedule.next_at.map(|at| format!(", next {}", local(at, &schedule.zone)));
            printer.done(&schedule, &format!("goes on: {}{}", schedule.name, next.unwrap_or_default()));
            Ok(Exit::Done)
        }),
        "delete" => cx.online(printer, async |client| {
            let schedule = client.delete_schedule(which).await?;
            printer.done(&schedule, &format!("removed: {}; its runs and records stay", schedule.name));
            Ok(Exit::Done)
        }),
        _ => cx.online(printer, async |client| {
            let schedule = client.read_schedule(which).await?;
            printer.card(&schedule, &card(cx, &schedule, now(), printer.verbose));
            Ok(Exit::Done)
        }),
    }
}

/// The flags of `create` that say when. They may stand after the action too, where it has none of their names.
const WHEN: [&str; 5] = ["name", "at", "zone", "until", "missed"];

fn create(cx: &Cx, matches: &ArgMatches, printer: &Printer) -> Result<Exit, Failure> {
    let (words, mut flags) = named::typed(matches);
    let found = named::find(cx, &words)?;
    let taken: Vec<&str> = found.2.iter().map(|member| member.flag.as_str()).collect();
    let mut when = WHEN.map(|name| text(matches, name).map(str::to_owned));
    for (value, name) in when.iter_mut().zip(WHEN) {
        if value.is_none() {
            *value = named::take(&mut flags, &taken, name)?;
        }
    }
    let [name, at, zone, until, missed] = when;
    let taken: Vec<String> = taken.into_iter().map(str::to_owned).collect();
    // Before anything is missed: `--help` behind the action tells of the action's own flags.
    let named = named::read(cx, "guichet schedules create", found, &flags)?;
    let clash = |flag: &str| {
        if taken.iter().any(|taken| taken == flag) {
            "; before the action, which has one of its own"
        } else {
            ""
        }
    };
    let missing = |flag: &str, example: &str| {
        Failure::usage(format!("--{flag} is missing{}", clash(flag)))
            .next(format!("guichet schedules create --{flag} {example} …"))
    };
    let name = name.ok_or_else(|| missing("name", "nightly"))?;
    let expression = at.ok_or_else(|| missing("at", "\"0 3 * * 1-5\""))?;
    let missed = missed.as_deref().unwrap_or("skip").parse().map_err(|why: String| Failure::usage(why))?;
    let new = NewSchedule {
        name,
        action: named.action.id,
        input: named.input.unwrap_or_default(),
        reason: named.reason.or_else(|| globals::reason(matches).map(str::to_owned)),
        expression,
        zone: zone.unwrap_or_else(|| "UTC".to_owned()),
        missed,
        until,
    };
    cx.online(printer, async |client| {
        let schedule = client.create_schedule(&new).await?;
        printer.card_aside(&card(cx, &schedule, now(), printer.verbose));
        let line = if schedule.state == ScheduleState::AwaitingApproval {
            format!("made: {0} waits for approval: guichet schedules approve {0}", schedule.name)
        } else {
            format!("made: {} is active", schedule.name)
        };
        printer.done(&schedule, &line);
        Ok(Exit::Done)
    })
}

fn list(cx: &Cx, printer: &Printer) -> Result<Exit, Failure> {
    cx.online(printer, async |client| {
        let page = client.list_schedules().await?;
        let row = |schedule: &Schedule| {
            let last = schedule.last.as_ref().map(|last| match last.run {
                Some(run) => format!("{}: run {}", local(last.at, &schedule.zone), run.short()),
                None => format!("{}: no run", local(last.at, &schedule.zone)),
            });
            let next = schedule.next_at.map(|at| local(at, &schedule.zone));
            Row::from_iter([
                ("name".to_owned(), json!(schedule.name)),
                ("state".to_owned(), json!(words(schedule.state.as_str()))),
                ("when".to_owned(), json!(in_words(schedule))),
                ("next".to_owned(), json!(next)),
                ("action".to_owned(), json!(schedule.action)),
                ("by".to_owned(), json!(schedule.requested_by.to_string())),
                ("last".to_owned(), json!(last)),
            ])
        };
        printer.list(&page, &page.items.iter().map(row).collect::<Vec<_>>(), "no schedules");
        Ok(Exit::Done)
    })
}

fn approve(cx: &Cx, matches: &ArgMatches, which: &str, printer: &Printer) -> Result<Exit, Failure> {
    let asks = !matches.get_flag("yes");
    if asks && !prompt::is_possible() {
        return Err(Failure::usage("there is no terminal to ask for confirmation")
            .next("read the card with `guichet schedules show NAME`, then approve with --yes"));
    }
    cx.online(printer, async |client| {
        let shown = client.read_schedule(which).await?;
        printer.card_aside(&card(cx, &shown, now(), printer.verbose));
        if asks && shown.state == ScheduleState::AwaitingApproval {
            let question = format!("Approve each of these runs in {}?", shown.environment);
            if !prompt::confirm(&question)? {
                printer.outcome(Exit::Cancelled, &format!("not approved: {} still waits", shown.name));
                return Ok(Exit::Cancelled);
            }
        }
        let id = shown.id.to_string();
        let after = client.approve_schedule(&id, &shown.binding, globals::reason(matches)).await?;
        printer.done(&after, &format!("approved: {} is {}", after.name, words(after.state.as_str())));
        Ok(Exit::Done)
    })
}

fn reject(cx: &Cx, which: &str, reason: Option<&str>, printer: &Printer) -> Result<Exit, Failure> {
    let reason = match reason {
        Some(reason) => reason.to_owned(),
        None if prompt::is_possible() => prompt::ask_optional("Why not?")?
            .ok_or_else(|| Failure::usage("a no needs a reason: the requester sees it"))?,
        None => {
            return Err(Failure::usage("--reason is missing: the requester sees why")
                .next("guichet schedules reject NAME --reason \"…\""));
        }
    };
    cx.online(printer, async |client| {
        let after = client.reject_schedule(which, &reason).await?;
        printer.done(&after, &format!("rejected: {}", after.name));
        Ok(Exit::Done)
    })
}

/// When its times are, as a sentence says it.
pub(super) fn in_words(schedule: &Schedule) -> String {
    schedule.in_words.clone().unwrap_or_else(|| format!("{}, {}", schedule.expression, schedule.zone))
}

/// As the clocks on the wall show it there: `Mon 2026-11-23 03:00 +01`.
fn local(at: Timestamp, zone: &str) -> String {
    match TimeZone::get(zone) {
        Ok(zone) => at.to_zoned(zone).strftime("%a %Y-%m-%d %H:%M %Z").to_string(),
        Err(_) => moment(at),
    }
}

/// What its approvers read: the card of its runs, with their times.
fn card(cx: &Cx, schedule: &Schedule, now: Timestamp, verbose: bool) -> Card {
    let run: Run = schedule.as_run();
    let mut card = Card::default()
        .with("Schedule", schedule.name.clone())
        .with("State", words(schedule.state.as_str()))
        .maybe("Because", schedule.because.clone())
        .with("When", in_words(schedule));
    let next: Vec<String> = schedule.next.iter().map(|at| local(*at, &schedule.zone)).collect();
    if !next.is_empty() {
        card = card.with("Next times", next.join(", "));
    }
    card = card
        .with(
            "Until",
            schedule.until.map_or_else(|| "it is deleted".to_owned(), |at| local(at, &schedule.zone)),
        )
        .with(
            "Missed times",
            match schedule.missed {
                guichet_contract::Missed::Skip => "are left out",
                guichet_contract::Missed::Once => "are made up for by one run",
            },
        )
        .with("Environment", schedule.environment.clone())
        .with("Action", format!("{} ({})", schedule.title, schedule.effect.as_str()))
        .with("Command", cx.command_of(&run))
        .with("Reason", schedule.reason.clone().unwrap_or_else(|| "none given".to_owned()));
    if let Some(plan) = &schedule.plan {
        card = card.with("What happens", plan.sentence.clone());
        for fact in &plan.facts {
            card = card.with(&format!("  {}", fact.name), value_of(&fact.value));
        }
        card = card
            .with("  note", "as planned when it was made; each run is planned anew and may find other facts");
    }
    card = card.with(
        "Resource",
        match &schedule.owner {
            Some(owner) => format!("{}, owned by team {owner}", schedule.resource),
            None => format!("{}, without an owner", schedule.resource),
        },
    );
    card = card.with("Requested by", format!("{}, {}", schedule.requested_by, moment(schedule.created_at)));
    for approval in &schedule.approvals {
        let given = guichet_contract::approval::lifted_by(approval, &schedule.decisions);
        let line = format!("{given} of {} by {} ({})", approval.count, who(approval), approval.because);
        card = card.with("Approval", line);
    }
    for decision in &schedule.decisions {
        let label = match decision.verdict {
            guichet_contract::Verdict::Approve => "Approved by",
            guichet_contract::Verdict::Reject => "Rejected by",
        };
        let reason = decision.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        card = card.with(label, format!("{}, {}{reason}", decision.by, moment(decision.at)));
    }
    if schedule.state == ScheduleState::AwaitingApproval {
        card = card.maybe("Expires in", schedule.expires_at.map(|at| duration(at.duration_since(now))));
    }
    if let Some(last) = &schedule.last {
        let run = last.run.map_or_else(|| "no run".to_owned(), |run| format!("run {}", run.short()));
        let because = last.because.as_ref().map(|because| format!(" ({because})")).unwrap_or_default();
        card = card.with("Last time", format!("{}: {run}{because}", local(last.at, &schedule.zone)));
    }
    if verbose {
        card.with("Binding", schedule.binding.to_string())
    } else {
        card.with("Binding", schedule.binding.short())
    }
}

fn value_of(value: &Value) -> String {
    crate::printer::text::cell(value)
}
