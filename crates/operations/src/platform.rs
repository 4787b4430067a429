//! What every verb needs at hand.

use std::sync::Arc;

use guichet_admission::{Caller, Door, Refusal};
use guichet_contract::{
    Clock, Principal, Problem, Record, RecordVerdict, Run, UndoOffer, Verb, code, redact,
};
use guichet_store::{CommitError, Store, StoreError};
use serde_json::{Map, Value, json};

use crate::{
    messenger::Messages, providers::Providers, register_instance::RegistrationRules, services::Services,
    undo_run,
};

/// The door, the store, the providers, the clock.
pub struct Platform {
    /// The only way in.
    pub door: Door,
    /// What is kept.
    pub store: Arc<dyn Store>,
    /// Who performs.
    pub providers: Arc<dyn Providers>,
    /// How services are looked at before they are added.
    pub services: Arc<dyn Services>,
    /// How people are told what happens.
    pub messages: Messages,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Limits.
    pub settings: Settings,
}

/// Limits of the verbs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How many runs one principal may have that are not final. Beyond it, submitting is refused.
    pub open_runs_per_principal: usize,
    /// Seconds until somebody else should have looked at a run that broke the glass.
    pub review_seconds: u32,
    /// What providers that register themselves may say.
    pub registration: RegistrationRules,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            open_runs_per_principal: 200,
            review_seconds: 3 * 86_400,
            registration: RegistrationRules::default(),
        }
    }
}

impl Platform {
    /// The run as it may be seen: sensitive members of its input redacted. When the action is no longer known as it
    /// was, nobody can say which members are sensitive, so all are hidden.
    ///
    /// The result of a sensitive action is its requester's alone.
    pub fn shown(&self, mut run: Run, to: &Principal) -> Run {
        let world = self.door.world();
        // From the true input, before it is redacted.
        let offered = undo_run::offer(&world, &run, to);
        let known = world
            .catalogue
            .action(run.action.as_str())
            .filter(|action| action.action.version == run.action_version);
        run.input = match known {
            Some(action) => redact::redact_input(&action.action.input, &run.input, action.action.sensitive),
            None => match run.input {
                Value::Object(members) => members
                    .into_iter()
                    .map(|(name, _)| (name, json!(redact::REDACTED)))
                    .collect::<Map<_, _>>()
                    .into(),
                _ => json!(redact::REDACTED),
            },
        };
        let open = known.is_some_and(|action| !action.action.sensitive) || run.requested_by.is_same_actor(to);
        if let Some(outcome) = run.outcome.as_mut().filter(|_| !open) {
            outcome.result = outcome.result.take().map(|_| json!(redact::REDACTED));
        }
        run.salt = None;
        run.starts_at = run.begins_at();
        run.undo = offered.map(|(action, input)| UndoOffer {
            input: redact::redact_input(&action.action.input, &input, action.action.sensitive),
            action: action.action.id.clone(),
        });
        if let Some(plan) = &mut run.plan {
            // What the provider binds itself to is between it and the gateway.
            plan.bound = None;
        }
        run
    }

    /// Records that this caller was shown something of the gateway's own, without waiting for the disk.
    ///
    /// When the store takes no records, it is shown all the same, and the log says to whom: on a full disk, what is there
    /// can still be read, and people must see what became of their runs. Whatever reaches a provider, and the audit
    /// trail itself, is not answered then.
    pub(crate) async fn note_shown(&self, caller: &Caller, verb: Verb, describe: impl FnOnce(&mut Record)) {
        let mut record = self.door.record_of(caller, verb, RecordVerdict::Allowed);
        describe(&mut record);
        if let Err(error) = self.store.append_soon(record).await {
            let (who, verb) = (&caller.principal.name, verb.as_str());
            tracing::error!(%error, who, verb, "a look at the gateway could not be recorded");
        }
    }

    /// A refusal because the store does not take it.
    pub async fn store_refusal(&self, record: Record, error: CommitError) -> Refusal {
        let problem = match error {
            CommitError::Conflict { what } => {
                Problem::new(code::WRONG_STATE, format!("{what}; someone was quicker"))
                    .next("look again, then decide anew")
            }
            CommitError::Store(error) => store_problem(&error),
        };
        self.door.refuse(record, problem).await
    }
}

/// What a caller is told when the store does not answer.
pub fn store_problem(error: &StoreError) -> Problem {
    if matches!(error, StoreError::BadCursor) {
        return Problem::new(code::BAD_REQUEST, error.to_string()).next("begin again without a cursor");
    }
    match error {
        StoreError::TooLong(_) => Problem::new(code::SEARCH_TOO_LONG, error.to_string())
            .next("ask for a shorter time, or for one principal, action, resource or run; then page on"),
        StoreError::Busy(_) => Problem::new(code::STORE_UNAVAILABLE, error.to_string())
            .next("nothing was done; try again in a moment"),
        _ => Problem::new(code::STORE_UNAVAILABLE, error.to_string())
            .next("nothing was done; try again when the operators have mended it"),
    }
}
