//! A provider's command: input, questions, plan, confirmation, submission, following, result.
//!
//! The order is the order of this file. Nothing is decided here that the gateway does not decide again.

mod ask;
mod conclude;
pub(crate) mod follow;
pub(crate) mod submit;

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

/// `input_flag` is how this command calls the flag of the whole input.
pub(crate) fn run(
    cx: &Cx,
    action: &Action,
    words: &[String],
    matches: &ArgMatches,
    input_flag: &str,
    printer: &Printer,
) -> Result<Exit, Failure> {
    let members = members(action);
    let attempt = Attempt { cx, action, words, members: &members, matches, printer };
    let input = input::collect(matches, &members, input_flag)?;
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
            let plan = async |reason: Option<&str>| self.show_plan(client, &input, reason).await;
            return submit::with_reason(self.printer, reason, plan).await;
        }
        if reason.is_none() && prompt::is_possible() {
            if self.breaks_glass() {
                reason = Some(prompt::ask_reason("Reason, for those who are skipped:", None)?);
            } else if self.action.approval.is_some() {
                reason = prompt::ask_optional("Reason, for whoever approves:")?;
            }
        }
        let mut shown = None;
        let asked = async |reason: Option<&str>| {
            if shown.is_none() && self.is_asked_about() {
                shown = Some(self.show_before(client, &input, reason).await?);
                if !self.confirm()? {
                    return Ok(None);
                }
            }
            submit::submit(self, client, &input, reason).await.map(Some)
        };
        let submitted = submit::with_reason(self.printer, reason, asked).await?;
        let Some(submitted) = submitted else {
            self.printer.outcome(Exit::Cancelled, "stopped: nothing was done");
            return Ok(Exit::Cancelled);
        };
        let shown = shown.unwrap_or_default();
        match submitted {
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

    fn breaks_glass(&self) -> bool {
        self.matches.get_flag("break-glass")
    }

    /// Whether a person is asked if they mean it.
    fn is_asked_about(&self) -> bool {
        let weighs = self.action.effect == Effect::Destroy || self.action.confirm || self.breaks_glass();
        weighs && !self.matches.get_flag("yes") && prompt::is_possible()
    }

    fn confirm(&self) -> Result<bool, Failure> {
        let without = if self.breaks_glass() { ", without the approvals it needs" } else { "" };
        prompt::confirm(&format!("Do this in {}{without}?", self.environment()))
    }

    async fn show_plan(&self, client: &Client, input: &Value, reason: Option<&str>) -> Result<Exit, Failure> {
        let planned = client.plan_run(&self.action.id, input, reason).await?;
        self.printer.card(&planned, &self.plan_card(&planned, input));
        self.printer.note("this was a plan: nothing was done");
        Ok(Exit::Done)
    }

    /// Shows what is about to be asked for. Whether all that is known of it was shown; an action without a plan is no
    /// reason to stop.
    async fn show_before(
        &self,
        client: &Client,
        input: &Value,
        reason: Option<&str>,
    ) -> Result<bool, Failure> {
        let planned = if self.action.effect == Effect::Read {
            None
        } else {
            match client.plan_run(&self.action.id, input, reason).await {
                Ok(planned) => Some(planned),
                Err(guichet_client::Error::Problem(problem)) if problem.code == code::NOT_OFFERED => None,
                Err(error) => return Err(error.into()),
            }
        };
        let card = match &planned {
            Some(planned) => self.plan_card(planned, input),
            None => Card::of_action(self.action, &self.environment(), &self.command(input)),
        };
        self.printer.card_aside(&card);
        Ok(planned.is_some())
    }

    fn plan_card(&self, planned: &Planned, input: &Value) -> Card {
        Card::of_plan(planned, self.action, &self.environment(), &self.command(input))
    }

    /// The command line that asks for this, without what is secret.
    fn command(&self, input: &Value) -> String {
        let input = guichet_contract::redact::redact_input(&self.action.input, input, self.action.sensitive);
        command_line(self.words, self.members, &input, None)
    }

    fn environment(&self) -> String {
        cache::load_state(&self.cx.settings).map_or_else(|| "this environment".to_owned(), |s| s.environment)
    }
}
