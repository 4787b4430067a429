//! What holds after each step, and what holds at the end.

use std::collections::{BTreeMap, BTreeSet};

use guichet_contract::{
    EventKind, OutcomeStatus, Record, RecordVerdict, Run, RunId, RunState, Verb, approval::lifted_by,
};
use guichet_ledger::{self as ledger, Edge};
use guichet_store::{Checkpoints as _, Events as _, Records as _, memory::MemoryStore};

use crate::{provider::Book, replica::ledger_keys, schedules, steps, story::Story};

/// Of one key, one run is under way at a time.
pub(crate) fn always(story: &Story) {
    let mut under_way: BTreeMap<String, RunId> = BTreeMap::new();
    story.memory.look_at_runs(|runs| {
        for run in runs.values().filter(|run| run.state == RunState::Running) {
            if let Some(other) = run.line().and_then(|line| under_way.insert(line, run.id)) {
                story.told.wrong(format_args!("{} and {other} of one key are running", run.id));
            }
        }
    });
}

/// Everything that was promised.
pub(crate) async fn at_the_end(story: &Story) {
    always(story);
    let store = MemoryStore::open(&story.memory);
    let leaves = store.leaves(0, usize::MAX).await.unwrap();
    let records: Vec<Record> = leaves.iter().map(|(_, text)| serde_json::from_str(text).unwrap()).collect();
    let book = story.provider.book();
    let runs: Vec<Run> = story.memory.look_at_runs(|runs| runs.values().cloned().collect());
    for run in &runs {
        ended_truly(story, run, &book);
        agreed_to(story, run);
        recorded(story, run, &records, &book);
        followed(story, run, &store).await;
        counted(story, run, &book);
    }
    answered(story, &runs);
    schedules::fired(story, &store, &runs, &records).await;
    sealed(story, &store, &leaves).await;
}

/// What kind of run it was: of each there must be some.
fn counted(story: &Story, run: &Run, book: &Book) {
    let operation = run.action.as_str().trim_start_matches("things.");
    story.told.counted(run.state);
    story.told.counted(format_args!("{operation} {}", run.state));
    let calls = book.calls.get(&run.id.to_string()).copied().unwrap_or(0);
    for (what, is_so) in [
        ("agreed to by two", run.decisions.len() > 1),
        ("with broken glass", run.broken_glass.is_some()),
        ("cancelled under way", run.state == RunState::Cancelled && run.started_at.is_some()),
        ("called for again", calls > 1),
    ] {
        if is_so {
            story.told.counted(what);
        }
    }
}

/// The state says what became of it at the provider.
fn ended_truly(story: &Story, run: &Run, book: &Book) {
    let id = run.id.to_string();
    let effects = book.effects.get(&id).copied().unwrap_or(0);
    let calls = book.calls.get(&id).copied().unwrap_or(0);
    let wrong =
        |what: &str| story.told.wrong(format_args!("{id} is {} and {what} ({effects} effects)", run.state));
    match run.state {
        RunState::Succeeded if effects != 1 => wrong("was not done once"),
        RunState::Failed if effects != 0 => wrong("was done"),
        RunState::Cancelled | RunState::Expired | RunState::Rejected | RunState::Voided if calls != 0 => {
            let can_be_stopped = ["things.asked", "things.steps"].contains(&run.action.as_str());
            let stopped = run.state == RunState::Cancelled && can_be_stopped;
            if !stopped || effects != 0 {
                wrong("the provider was called");
            }
        }
        RunState::Unknown => {
            if effects > 1 {
                wrong("was done more than once");
            }
            let died = story.people.replicas.iter().any(|replica| replica.faults.excuses(run.id));
            if !(story.shape.beyond || died || book.lost.contains(&id) || its_time_was_over(run)) {
                wrong("nothing was lost");
            }
        }
        _ => {}
    }
    stepped(story, run, book);
    let told = run.outcome.as_ref().map(|outcome| outcome.status);
    let expected = match run.state {
        RunState::Succeeded => Some(OutcomeStatus::Succeeded),
        RunState::Failed | RunState::Voided => Some(OutcomeStatus::Failed),
        RunState::Unknown => Some(OutcomeStatus::Unknown),
        RunState::Cancelled if run.started_at.is_some() => Some(OutcomeStatus::Cancelled),
        _ => None,
    };
    if told != expected {
        wrong("its outcome tells something else");
    }
}

/// An action with steps ends by its provider's word, or when its time is over.
fn its_time_was_over(run: &Run) -> bool {
    let (Some(started), Some(ended)) = (run.started_at, run.finished_at) else { return false };
    run.action.as_str() == "things.steps" && (ended - started).get_seconds() + 10 > i64::from(steps::TIMEOUT)
}

/// All of its steps or none of them, each once where nothing failed.
fn stepped(story: &Story, run: &Run, book: &Book) {
    let Some(steps) = book.steps.get(&run.id.to_string()) else { return };
    let all = steps::steps_of(run.input["name"].as_str().unwrap_or_default());
    let stand: Vec<&String> = steps.stands.iter().collect();
    let is_so = match run.state {
        RunState::Succeeded => stand.iter().copied().eq(&all),
        RunState::Failed | RunState::Cancelled => stand.is_empty(),
        _ => true,
    };
    if !is_so {
        story.told.wrong(format_args!("{} is {} and of {all:?} there stand {stand:?}", run.id, run.state));
    }
    if !story.shape.faults && !steps.were_done_once() {
        story.told.wrong(format_args!("{}: a step was done twice for no reason", run.id));
    }
}

/// Whatever was begun, enough people had said yes to it, and none of them its requester.
fn agreed_to(story: &Story, run: &Run) {
    let begun = run.started_at.is_some();
    let lacking = run
        .approvals
        .iter()
        .any(|approval| lifted_by(approval, &run.decisions) < usize::from(approval.count.max(1)));
    if begun && lacking {
        story.told.wrong(format_args!("{} was begun without everybody's yes", run.id));
    }
    if run.state == RunState::Expired && !lacking {
        story.told.wrong(format_args!("{} expired and lacked nothing", run.id));
    }
    let by: BTreeSet<&str> = run.decisions.iter().map(|decision| decision.by.as_str()).collect();
    if by.len() != run.decisions.len() || by.contains(run.requested_by.name.as_str()) {
        story.told.wrong(format_args!("{} has decisions that do not count", run.id));
    }
}

/// The trail tells of all of it, once.
fn recorded(story: &Story, run: &Run, records: &[Record], book: &Book) {
    let count = |verb: Verb, verdict: Option<RecordVerdict>| {
        let of_run = records.iter().filter(|record| record.run == Some(run.id) && record.verb == verb);
        of_run.filter(|record| verdict.is_none_or(|verdict| record.verdict == verdict)).count()
    };
    let calls = book.calls.get(&run.id.to_string()).copied().unwrap_or(0) as usize;
    let begun = usize::from(run.started_at.is_some());
    // Its provider could surely not be called, and it was queued again.
    let given_back = count(Verb::ExecuteRun, Some(RecordVerdict::Failed));
    if given_back > 0 {
        story.told.counted("queued again");
    }
    let stopped = run.state == RunState::Cancelled && begun == 1;
    let ended = stopped || matches!(run.state, RunState::Succeeded | RunState::Failed | RunState::Unknown);
    let ended = usize::from(ended);
    let withdrawn = run.state == RunState::Cancelled && begun == 0;
    let told = [
        ("submit_run", count(Verb::SubmitRun, Some(RecordVerdict::Allowed)), 1),
        ("execute_run", count(Verb::ExecuteRun, Some(RecordVerdict::Allowed)), begun + given_back),
        ("record_outcome", count(Verb::RecordOutcome, None), ended),
        ("expire_run", count(Verb::ExpireRun, None), usize::from(run.state == RunState::Expired)),
        ("void_run", count(Verb::VoidRun, None), usize::from(run.state == RunState::Voided)),
        (
            "cancel_run",
            count(Verb::CancelRun, Some(RecordVerdict::Allowed)),
            usize::from(withdrawn || run.cancel_asked.is_some()),
        ),
        (
            "approve_run and reject_run",
            count(Verb::ApproveRun, Some(RecordVerdict::Allowed))
                + count(Verb::RejectRun, Some(RecordVerdict::Allowed)),
            run.decisions.len(),
        ),
        ("break_glass", count(Verb::BreakGlass, None), usize::from(run.broken_glass.is_some())),
    ];
    for (verb, found, expected) in told {
        if found != expected {
            story.told.wrong(format_args!(
                "{} is {}: {found} records of {verb}, not {expected}",
                run.id, run.state
            ));
        }
    }
    if calls > begun && !["things.again", "things.steps"].contains(&run.action.as_str()) {
        story.told.wrong(format_args!("{} was called for without an intent", run.id));
    }
}

/// Whoever follows it is told everything once, and its end last.
async fn followed(story: &Story, run: &Run, store: &MemoryStore) {
    let events = store.events(run.id, 0, usize::MAX).await.unwrap();
    if !events.iter().zip(1..).all(|(event, seq)| event.seq == seq) {
        story.told.wrong(format_args!("the events of {} have gaps", run.id));
    }
    let states: Vec<RunState> = events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::State { state, .. } => Some(*state),
            _ => None,
        })
        .collect();
    // What was unknown may be settled later, by its provider's word.
    let ends: Vec<RunState> = states.iter().copied().filter(|state| state.is_final()).collect();
    let settled = ends.len() == 2 && ends[0] == RunState::Unknown;
    if settled {
        story.told.counted(format_args!("unknown settled as {}", run.state));
    }
    if states.last() != Some(&run.state) || !(ends.len() == 1 || settled) {
        story.told.wrong(format_args!("{} is {}; its events tell {states:?}", run.id, run.state));
    }
}

/// What people were told is so.
fn answered(story: &Story, runs: &[Run]) {
    for (item, known) in &*story.people.known() {
        let made: Vec<&Run> = runs.iter().filter(|run| run.input["name"] == item.as_str()).collect();
        let wrong = |what: &str| story.told.wrong(format_args!("{item}: {what} ({} runs)", made.len()));
        if made.len() > 1 {
            wrong("asked for once");
        }
        match known.run {
            Some(run) if made.first().is_none_or(|made| made.id != run) => {
                wrong("was accepted and is not there");
            }
            None if known.refused && !known.unsure && !made.is_empty() => wrong("was refused and is there"),
            _ => {}
        }
        if known.key.is_some() && known.refused && !made.is_empty() {
            wrong("its key was answered with a no, and it had made a run");
        }
        if let (Some(run), true) = (made.first(), known.cancelled)
            && run.state != RunState::Cancelled
        {
            wrong(&format!("was cancelled and is {}", run.state));
        }
        if let (Some(run), true) = (made.first(), known.rejected)
            && run.state != RunState::Rejected
        {
            wrong(&format!("was rejected and is {}", run.state));
        }
        if let Some(run) = made.first() {
            let counted: BTreeSet<&str> = run.decisions.iter().map(|decision| decision.by.as_str()).collect();
            if known.yes.iter().any(|who| !counted.contains(who)) {
                wrong("a yes that was taken does not count");
            }
        }
    }
}

/// The trail is dense, all of it is sealed, and each seal that ever was is a beginning of the last.
async fn sealed(story: &Story, store: &MemoryStore, leaves: &[(u64, String)]) {
    let keys = ledger_keys();
    if !leaves.iter().zip(0..).all(|((index, _), expected)| *index == expected) {
        story.told.wrong("a hole in the trail");
    }
    let before: Vec<_> =
        story.memory.checkpoints().iter().map(|(_, note)| keys.open(note).unwrap().tree()).collect();
    let Some((size, note)) = store.latest_checkpoint().await.unwrap() else {
        return story.told.wrong("nothing was sealed");
    };
    if size != leaves.len() as u64 {
        story.told.wrong(format_args!("{size} of {} records are sealed", leaves.len()));
    }
    let checkpoint = keys.open(&note).unwrap();
    let given = leaves.iter().map(|(index, text)| Ok::<_, String>((*index, text)));
    if let Err(fault) = ledger::verify_from(Edge::new(), given, &checkpoint, &before) {
        story.told.wrong(fault);
    }
}
