//! A provider's command: input, questions, plan, confirmation, submission, following, result.
//!
//! The order is the order of this file. Nothing is decided here that the gateway does not decide again.

mod ask;
mod conclude;
pub(crate) mod follow;
mod submit;

use clap::ArgMatches;
use guichet_client::{Client, Planned, Submitted};
use guichet_contract::{Action, Effect, RunState, code};
use serde_json::{Map, Value};

use crate::{
    arguments::{
        example::command_line,
        globals, input,
        schema::{Member, members},
    },
    cache,
    commands::{Cx, now},
    exit::Exit,
    failure::Failure,
    printer::{Printer, card::Card},
    prompt,
};

/// One command line of a provider's command.
struct Attempt<'a> {
    cx: &'a Cx,
    action: &'a Action,
    words: &'a [String],
    members: &'a [Member],
    matches: &'a ArgMatches,
    printer: &'a Printer,
}

pub(crate) fn run(
    cx: &Cx,
    action: &Action,
    words: &[String],
    matches: &ArgMatches,
    printer: &Printer,
) -> Result<Exit, Failure> {
    let members = members(action);
    let attempt = Attempt { cx, action, words, members: &members, matches, printer };
    let input = input::collect(matches, &members)?;
    if !prompt::is_possible() {
        // Told before any network: a script learns all that is missing at once.
        ask::nothing_missing(&attempt, &input)?;
    }
    cx.online(printer, async |client| attempt.perform(client, input).await)
}

impl Attempt<'_> {
    async fn perform(&self, client: &Client, mut input: Map<String, Value>) -> Result<Exit, Failure> {
        let is_read = self.action.effect == Effect::Read;
        ask::for_missing(self, client, &mut input).await?;
        let input = Value::Object(input);
        let mut reason = globals::reason(self.matches).map(str::to_owned);
        if !is_read && self.matches.get_flag("plan") {
            return self.show_plan(client, &input, reason.as_deref()).await;
        }
        if reason.is_none() && self.action.approval.is_some() && prompt::is_possible() && !is_read {
            reason = prompt::ask_optional("Reason, for whoever approves:")?;
        }
        let mut shown = false;
        if self.action.effect == Effect::Destroy && !self.matches.get_flag("yes") && prompt::is_possible() {
            shown = self.show_before(client, &input, reason.as_deref()).await?;
            if !prompt::confirm(&format!("Do this in {}?", self.environment()))? {
                self.printer.outcome(Exit::Cancelled, "stopped: nothing was done");
                return Ok(Exit::Cancelled);
            }
        }
        match submit::submit(self, client, &input, reason.as_deref()).await? {
            Submitted::Result(result) => {
                self.printer.result(&result, self.action.view.as_ref());
                Ok(Exit::Done)
            }
            Submitted::Run(run) => {
                if !shown && (run.plan.is_some() || run.state == RunState::AwaitingApproval) {
                    let command = self.cx.command_of(&run);
                    let card = Card::of_run(&run, &command, now(), self.printer.verbose);
                    self.printer.card_aside(&card);
                }
                if self.matches.get_flag("no-wait") {
                    return Ok(conclude::left_alone(&run, self.printer));
                }
                let timeout = self.matches.get_one::<u64>("timeout").copied();
                follow::to_its_end(self.cx, client, *run, timeout, self.printer).await
            }
        }
    }

    async fn show_plan(&self, client: &Client, input: &Value, reason: Option<&str>) -> Result<Exit, Failure> {
        let planned = client.plan_run(&self.action.id, input, reason).await?;
        self.printer.card(&planned, &self.plan_card(&planned, input));
        self.printer.note("this was a plan: nothing was done");
        Ok(Exit::Done)
    }

    /// Whether a card could be shown; an action without a plan has none, which is no reason to stop.
    async fn show_before(
        &self,
        client: &Client,
        input: &Value,
        reason: Option<&str>,
    ) -> Result<bool, Failure> {
        match client.plan_run(&self.action.id, input, reason).await {
            Ok(planned) => {
                self.printer.card_aside(&self.plan_card(&planned, input));
                Ok(true)
            }
            Err(guichet_client::Error::Problem(problem)) if problem.code == code::NOT_OFFERED => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn plan_card(&self, planned: &Planned, input: &Value) -> Card {
        let input = guichet_contract::redact::redact_input(&self.action.input, input, self.action.sensitive);
        let command = command_line(self.words, self.members, &input, None);
        Card::of_plan(planned, self.action, &self.environment(), &command)
    }

    fn environment(&self) -> String {
        cache::load_state(&self.cx.settings).map_or_else(|| "this environment".to_owned(), |s| s.environment)
    }
}
