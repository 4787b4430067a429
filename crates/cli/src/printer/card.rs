//! The card: what an approver reads before saying yes, and what `runs show` tells.

use console::measure_text_width;
use guichet_client::Planned;
use guichet_contract::{Action, Approval, Plan, Run, RunState, Verdict, approval::lifted_by};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::printer::{
    Row,
    text::{cell, duration, moment, plain, took, words},
};

/// Labels and what stands beside them.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Card(Vec<(String, String)>);

impl Card {
    /// Adds a line.
    #[must_use]
    pub(crate) fn with(mut self, label: &str, value: impl Into<String>) -> Self {
        self.0.push((plain(label), plain(&value.into())));
        self
    }

    /// Adds a line when there is something to say.
    #[must_use]
    pub(crate) fn maybe(self, label: &str, value: Option<impl Into<String>>) -> Self {
        match value {
            Some(value) => self.with(label, value),
            None => self,
        }
    }

    fn plan(mut self, plan: Option<&Plan>) -> Self {
        let Some(plan) = plan else { return self };
        self = self.with("What happens", plan.sentence.clone());
        for fact in &plan.facts {
            let value = lines(&fact.value);
            let told = fact.freedom().map(|freedom| format!("{value} ({freedom})")).unwrap_or(value);
            self = self.with(&format!("  {}", fact.name), told);
        }
        self
    }

    /// As text; `bold` makes a label stand out. On a terminal of `columns`, long values go on beneath themselves.
    pub(crate) fn draw(&self, columns: Option<usize>, bold: impl Fn(&str) -> String) -> String {
        let width = self.0.iter().map(|(label, _)| label.chars().count()).max().unwrap_or(0);
        let room = columns.map_or(usize::MAX, |columns| columns.saturating_sub(width + 2).max(20));
        let mut text = String::new();
        for (label, value) in &self.0 {
            let gap = " ".repeat(width - label.chars().count() + 2);
            let beneath = format!("\n{}", " ".repeat(width + 2));
            let value: Vec<String> = value.split('\n').flat_map(|line| wrapped(line, room)).collect();
            text.push_str(format!("{}{gap}{}", bold(label), value.join(&beneath)).trim_end());
            text.push('\n');
        }
        text
    }

    /// As one row of a spreadsheet.
    pub(crate) fn row(&self) -> Row {
        self.0
            .iter()
            .map(|(label, value)| (label.trim().to_owned(), Value::from(value.replace('\n', ", "))))
            .collect()
    }

    /// Of a run. `command` is the command line that asks for the same.
    pub(crate) fn of_run(run: &Run, command: &str, now: Timestamp, verbose: bool) -> Self {
        let mut card = Self::default()
            .with(
                "Run",
                if verbose { run.id.to_string() } else { format!("{} ({})", run.id.short(), run.id) },
            )
            .with("Environment", run.environment.clone())
            .with("Action", format!("{} ({})", run.title, run.effect.as_str()))
            .with("Command", command)
            .with("Reason", run.reason.clone().unwrap_or_else(|| "none given".to_owned()))
            .plan(run.plan.as_ref())
            .with("Resource", with_owner(&run.resource, run.owner.as_deref()))
            .with("Requested by", format!("{}, {}", run.requested_by, moment(run.created_at)));
        card = card.maybe("Schedule", run.schedule.clone());
        if let Some(undone) = run.undoes {
            card = card.with("Undoes", format!("run {}", undone.short()));
        }
        for approval in &run.approvals {
            card = card.with("Approval", approval_line(approval, run));
        }
        if let Some(glass) = &run.broken_glass {
            for approval in &glass.skipped {
                let line = format!("skipped: {} by {} ({})", approval.count, who(approval), approval.because);
                card = card.with("Glass broken", line);
            }
            if glass.waived_seconds > 0 {
                let line = format!(
                    "skipped: a wait of {} before it starts",
                    duration(SignedDuration::from_secs(glass.waived_seconds.into()))
                );
                card = card.with("Glass broken", line);
            }
            card = card.with("Review due", moment(glass.review_due_at));
        }
        for decision in &run.decisions {
            let label = match decision.verdict {
                Verdict::Approve => "Approved by",
                Verdict::Reject => "Rejected by",
            };
            let reason = decision.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
            card = card.with(label, format!("{}, {}{reason}", decision.by, moment(decision.at)));
        }
        card = card.with("State", words(run.state.as_str()));
        if run.state == RunState::AwaitingApproval {
            let left = run.expires_at.map(|at| duration(at.duration_since(now)));
            card = card.maybe("Expires in", left);
        }
        if let Some(before) = run.behind {
            let of = run.concurrency.as_deref().unwrap_or_default();
            card = card.with("Waits behind", format!("run {}: one at a time for {of}", before.short()));
        }
        if let Some(at) = run.begins_at() {
            let left = duration(at.duration_since(now));
            card = card.with("Starts in", format!("{left}, and can be cancelled until then"));
        } else if run.state == RunState::AwaitingApproval && run.cool_down_seconds > 0 {
            let delay = SignedDuration::from_secs(run.cool_down_seconds.into());
            card = card.with("Starts", format!("{} after the last yes", duration(delay)));
        }
        if let Some(seconds) = run.timeout_seconds {
            card = card.with(
                "May take",
                format!("{} (policy)", duration(SignedDuration::from_secs(seconds.into()))),
            );
        }
        if let Some(until) = run.waits_until {
            let left = duration(until.duration_since(now));
            card = card.with("Waits until", format!("{}, {left} from now", moment(until)));
        }
        if let Some(asked) = &run.cancel_asked {
            let confirmed = if run.state == RunState::Running { ", not confirmed yet" } else { "" };
            let because = asked.because.as_ref().map(|because| format!(": {because}")).unwrap_or_default();
            let line = format!("{}, {}{confirmed}{because}", asked.by, moment(asked.at));
            card = card.with("Cancel asked by", line);
        }
        if let (Some(from), Some(to)) = (run.started_at, run.finished_at) {
            card = card.with("Took", took(from, to));
        }
        if let Some(outcome) = &run.outcome {
            card = card.maybe("Problem", outcome.problem.as_ref().map(ToString::to_string));
            card = card.maybe("Result", outcome.result.as_ref().filter(|r| !r.is_null()).map(cell));
        }
        if run.undo.is_some() {
            card = card.with("Undo", format!("guichet runs undo {}", run.id.short()));
        }
        if verbose {
            return card
                .with("Binding", run.binding.to_string())
                .with("Action version", run.action_version.to_string())
                .with("Policy version", run.policy_version.to_string())
                .maybe("Trace", run.trace_id.clone());
        }
        card.with("Binding", run.binding.short())
    }

    /// Of what is typed, with nothing else known of it.
    pub(crate) fn of_action(action: &Action, environment: &str, command: &str) -> Self {
        Self::default()
            .with("Environment", environment)
            .with("Action", format!("{} ({})", action.title, action.effect.as_str()))
            .with("Command", command)
    }

    /// Of a plan that is not yet a run.
    pub(crate) fn of_plan(planned: &Planned, action: &Action, environment: &str, command: &str) -> Self {
        let mut card = Self::of_action(action, environment, command);
        card = match &planned.plan {
            Some(plan) => card.plan(Some(plan)),
            None => card.with("What happens", "the provider offers no plan for this action"),
        };
        card = card.maybe(
            "Resource",
            planned.resource.as_deref().map(|resource| with_owner(resource, planned.owner.as_deref())),
        );
        if planned.approvals.is_empty() {
            return card.with("Approval", "not needed");
        }
        for approval in &planned.approvals {
            let line = format!("{} of {} ({})", approval.count, who(approval), approval.because);
            card = card.with("Approval", line);
        }
        card
    }
}

fn with_owner(resource: &str, owner: Option<&str>) -> String {
    match owner {
        Some(owner) => format!("{resource}, owned by team {owner}"),
        None => format!("{resource}, without an owner"),
    }
}

fn approval_line(approval: &Approval, run: &Run) -> String {
    let lifted = lifted_by(approval, &run.decisions);
    format!("{lifted} of {} by {} ({})", approval.count, who(approval), approval.because)
}

/// Who can lift it.
pub(crate) fn who(approval: &Approval) -> String {
    approval.who().unwrap_or_else(|| "the owner, but nobody owns this: nobody can approve".to_owned())
}

/// The items of a list, one a line; anything else as a cell.
fn lines(value: &Value) -> String {
    match value {
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join("\n"),
        other => cell(other),
    }
}

/// The line in pieces of at most `room` columns, broken between words where there are any.
fn wrapped(line: &str, room: usize) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut piece = String::new();
    let mut taken = 0;
    for word in line.split_inclusive(' ') {
        let width = measure_text_width(word);
        if taken + measure_text_width(word.trim_end()) > room && taken > 0 {
            pieces.push(std::mem::take(&mut piece).trim_end().to_owned());
            taken = 0;
        }
        piece.push_str(word);
        taken += width;
    }
    pieces.push(piece);
    pieces
}
