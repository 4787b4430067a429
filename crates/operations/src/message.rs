//! What a message says of a run: everything a card needs, and no secret.

use guichet_contract::{
    Addressee, Message, Notice, Occasion, Principal, Run, RunState, Schedule, Verdict,
    approval::lifted_by,
    notice::{Asked, Ended},
};

use crate::{platform::Platform, read_schedules};

/// Characters of a problem's words that a message takes.
const DETAIL_MAX: usize = 500;

/// The message of this notice to these people. The run is shown as to a stranger: sensitive members hidden, and no result.
///
/// Where a schedule is given, it is told of it, and the run stands for it.
pub(crate) fn of(
    platform: &Platform,
    notice: &Notice,
    run: &Run,
    schedule: Option<&Schedule>,
    to: Vec<Addressee>,
) -> Message {
    // Nobody's name is empty: to this one nothing is shown that is the requester's alone.
    let run = platform.shown(run.clone(), &Principal::person(""));
    let skipped = run.broken_glass.as_ref().map(|glass| glass.concerns(run.owner.as_deref()));
    let approvals = run
        .approvals
        .iter()
        .chain(skipped.iter().flat_map(|skipped| skipped.iter()))
        .map(|approval| Asked {
            policy: approval.policy.clone(),
            because: approval.because.clone(),
            teams: approval.teams.clone(),
            count: approval.count.max(1),
            given: lifted_by(approval, &run.decisions),
        })
        .collect();
    let outcome = run.outcome.as_ref().map(|outcome| Ended {
        status: outcome.status,
        code: outcome.problem.as_ref().map(|problem| problem.code.clone()),
        detail: outcome.problem.as_ref().map(|problem| problem.detail.chars().take(DETAIL_MAX).collect()),
        next: outcome.problem.as_ref().and_then(|problem| problem.next.clone()),
    });
    let short_id = run.id.short();
    let times = schedule.map(|schedule| when(platform, schedule));
    let command = match notice.occasion {
        occasion if schedule.is_some() => {
            let verb = if occasion == Occasion::ApprovalRequested { "approve" } else { "show" };
            format!("guichet schedules {verb} {}", run.schedule.as_deref().unwrap_or_default())
        }
        Occasion::ApprovalRequested => format!("guichet approvals approve {short_id}"),
        Occasion::GlassBroken => format!("guichet reviews show {short_id}"),
        Occasion::RunAsked => format!("guichet runs comment {short_id} \"…\""),
        _ => format!("guichet runs show {short_id}"),
    };
    Message {
        id: notice.event,
        occasion: notice.occasion,
        at: notice.at,
        sentence: sentence(notice, &run, times.as_deref()),
        environment: run.environment.clone(),
        run: run.id,
        short_id,
        state: run.state,
        action: run.action.clone(),
        title: run.title.clone(),
        effect: run.effect,
        resource: run.resource.clone(),
        owner: run.owner.clone(),
        requested_by: run.requested_by.clone(),
        reason: run.reason.clone(),
        input: run.input.clone(),
        plan: run.plan.as_ref().map(|plan| plan.sentence.clone()),
        facts: run.plan.as_ref().map(|plan| plan.facts.clone()).unwrap_or_default(),
        approvals,
        // After the waiting it means nothing any more.
        expires_at: run.expires_at.filter(|_| run.state == RunState::AwaitingApproval),
        binding: run.binding.short().to_owned(),
        schedule: run.schedule.clone(),
        by: notice.by.clone(),
        verdict: notice.verdict,
        because: notice.because.clone(),
        outcome,
        command,
        to,
    }
}

/// A schedule's name, its times and their end: `schedule nightly (at 03:00, UTC, until 2026-12-31 22:59 UTC)`.
fn when(platform: &Platform, schedule: &Schedule) -> String {
    let shown = read_schedules::shown(platform, schedule.clone(), &Principal::person(""));
    let words = shown.in_words.as_ref().unwrap_or(&schedule.expression);
    let until = schedule.until.map(|until| format!(", until {}", until.strftime("%Y-%m-%d %H:%M UTC")));
    format!("schedule {} ({words}{})", schedule.name, until.unwrap_or_default())
}

/// One sentence for people: what happened, and to what.
fn sentence(notice: &Notice, run: &Run, times: Option<&str>) -> String {
    let mut what = run.plan.as_ref().map_or_else(
        || format!("{} on {}", run.title, run.resource),
        |plan| plan.sentence.trim_end_matches('.').to_owned(),
    );
    if let Some(times) = times {
        what = format!("{what}, {times}");
    }
    let who = notice.by.as_deref();
    match notice.occasion {
        Occasion::ApprovalRequested => {
            format!("{} asks for approval in {}: {what}", run.requested_by, run.environment)
        }
        Occasion::ApprovalClosed => {
            let why = match (notice.state, who) {
                (RunState::Rejected, Some(who)) => format!("{who} said no"),
                (RunState::Expired, _) => "the time to decide is over".to_owned(),
                (RunState::Voided, _) => "it is void, because what would happen has changed".to_owned(),
                (RunState::Cancelled, Some(who)) => format!("{who} withdrew it"),
                (_, Some(who)) => format!("{who} said yes"),
                (state, None) => format!("it is {}", state.as_str().replace('_', " ")),
            };
            format!("Your approval is no longer needed, {why}: {what}")
        }
        Occasion::GlassBroken => {
            let waived = run.broken_glass.as_ref().map_or(0, |glass| glass.waived_seconds);
            let alone = run.broken_glass.as_ref().is_some_and(|glass| glass.skipped.is_empty());
            let without = match (alone, waived) {
                (false, 0) => "your approval".to_owned(),
                (false, seconds) => format!("your approval and without waiting {seconds} s"),
                (true, seconds) => format!("waiting {seconds} s"),
            };
            let (who, environment) = (&run.requested_by, &run.environment);
            format!("{who} went on in {environment} without {without}, and a review is open: {what}")
        }
        Occasion::RunAsked => {
            let question = notice.because.as_deref().unwrap_or_default();
            format!("{} asks “{question}” about: {what}", who.unwrap_or("somebody"))
        }
        Occasion::RunAnswered => {
            let answer = notice.because.as_deref().unwrap_or_default();
            format!("{} answers “{answer}” about: {what}", who.unwrap_or("somebody"))
        }
        Occasion::RunDecided => {
            let word = if notice.verdict == Some(Verdict::Reject) { "no" } else { "yes" };
            let more = if notice.state == RunState::AwaitingApproval {
                ", and more approvals are needed"
            } else {
                ""
            };
            format!("{} said {word}{more}: {what}", who.unwrap_or("somebody"))
        }
        Occasion::RunSubmitted => format!("{} submitted in {}: {what}", run.requested_by, run.environment),
        Occasion::RunStarted => format!("It begins: {what}"),
        Occasion::RunWithdrawn => format!("{} withdrew it: {what}", run.requested_by),
        // Its message tells of no run: `ping_channel` makes it.
        Occasion::Ping => what,
        Occasion::RunExpired => format!("Nobody decided in time: {what}"),
        Occasion::RunVoided => format!("It will not be done, because what would happen has changed: {what}"),
        Occasion::RunCancelled => format!("{} withdrew it: {what}", who.unwrap_or("somebody")),
        Occasion::ScheduleHalted => {
            let because = notice.because.as_deref().unwrap_or_default();
            format!("A schedule of yours needs you, because {because}: {what}")
        }
        Occasion::RunEnded => match notice.state {
            RunState::Succeeded => format!("Done: {what}"),
            RunState::Failed => format!("It failed: {what}"),
            RunState::Cancelled => format!("It was stopped: {what}"),
            _ => format!("Nobody can say whether it was done: {what}"),
        },
    }
}
