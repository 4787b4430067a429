//! How a run ended, in one line, one result and one exit code.

use guichet_contract::{Run, RunState, Verdict, action::View};

use crate::{
    exit::Exit,
    printer::{
        Printer,
        text::{took, words},
    },
};

/// It came to its end: the result on standard output, how it ended beside it.
pub(super) fn ended(run: &Run, because: Option<&str>, view: Option<&View>, printer: &Printer) -> Exit {
    let exit = Exit::of_state(run.state);
    let outcome = run.outcome.as_ref();
    if let Some(result) = outcome.and_then(|outcome| outcome.result.as_ref()) {
        printer.result(result, view);
    }
    let sentence = run.plan.as_ref().map_or(run.title.as_str(), |plan| plan.sentence.as_str());
    let detail = match run.state {
        RunState::Succeeded => sentence.to_owned(),
        RunState::Unknown => {
            format!("{sentence}: it may or may not have been done; look before you try again")
        }
        RunState::Rejected => rejection(run).unwrap_or_else(|| "an approver said no".to_owned()),
        RunState::Expired => "nobody decided in time; nothing was done".to_owned(),
        RunState::Voided => {
            because.unwrap_or("what was approved is no longer what would run; nothing was done").to_owned()
        }
        _ => because.unwrap_or(sentence).to_owned(),
    };
    printer.outcome(exit, &format!("{}: {detail} ({})", words(run.state.as_str()), footnote(run)));
    if run.undo.is_some() {
        printer.note(&format!("to undo it: guichet runs undo {}", run.id.short()));
    }
    if run.broken_glass.is_some() {
        printer.note("the glass was broken: somebody else must review it (`guichet reviews list`)");
    }
    if let Some(problem) = outcome.and_then(|outcome| outcome.problem.as_ref()) {
        printer.problem(problem);
    }
    exit
}

fn rejection(run: &Run) -> Option<String> {
    let no = run.decisions.iter().rev().find(|decision| decision.verdict == Verdict::Reject)?;
    Some(match &no.reason {
        Some(reason) => format!("{} said no: {reason}", no.by),
        None => format!("{} said no", no.by),
    })
}

fn footnote(run: &Run) -> String {
    let mut notes = vec![format!("run {}", run.id.short())];
    if let (Some(from), Some(to)) = (run.started_at, run.finished_at) {
        notes.push(took(from, to));
    }
    let mut approvers: Vec<&str> = run
        .decisions
        .iter()
        .filter(|decision| decision.verdict == Verdict::Approve)
        .map(|decision| decision.by.as_str())
        .collect();
    approvers.dedup();
    if !approvers.is_empty() {
        notes.push(format!("approved by {}", approvers.join(", ")));
    }
    notes.join(", ")
}

/// `--no-wait`: submitted, and that was all that was asked.
pub(super) fn left_alone(run: &Run, printer: &Printer) -> Exit {
    let exit = match run.state {
        RunState::Planned | RunState::Queued | RunState::Running => Exit::Done,
        state => Exit::of_state(state),
    };
    let id = run.id;
    let text = format!("submitted: run {id} is {}", words(run.state.as_str()));
    printer.done(run, &text);
    printer.note(&format!("next: guichet runs watch {}", run.id.short()));
    exit
}

/// `--timeout` was reached.
pub(super) fn still_waiting(run: &Run, printer: &Printer) -> Exit {
    let state = words(run.state.as_str());
    printer.outcome(Exit::Waiting, &format!("still waiting: run {} is {state} and goes on", run.id.short()));
    printer.note(&format!("next: guichet runs watch {}", run.id.short()));
    Exit::Waiting
}

/// Ctrl-C.
pub(super) fn interrupted(run: &Run, printer: &Printer) -> Exit {
    let state = words(run.state.as_str());
    printer.outcome(Exit::Interrupted, &format!("left: run {} is {state} and goes on", run.id.short()));
    let short = run.id.short();
    printer.note(&format!("next: guichet runs watch {short}, or guichet runs cancel {short}"));
    Exit::Interrupted
}
