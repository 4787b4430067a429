//! A caller's key against doing the same twice: what is asked for with one is done once, and asked for again it answers what
//! became of it.

use guichet_contract::{Digest, Principal, Problem, RunId, code};
use guichet_store::{Change, Store};
use jiff::Timestamp;
use serde_json::Value;

use crate::platform::store_problem;

/// Longest key, characters.
pub const IDEMPOTENCY_KEY_MAX: usize = 200;
/// So begin the keys of runs that schedules make, and no others.
const OF_SCHEDULES: &str = "schedule/";

/// A key and what was asked for with it.
#[derive(Debug, Clone)]
pub(crate) struct IdempotencyKey {
    /// Whose: two people's keys never meet.
    principal: String,
    text: String,
    /// Digest of what is asked for.
    request: Digest,
}

impl IdempotencyKey {
    /// A caller's, for this request.
    pub(crate) fn of(principal: &Principal, text: String, request: &Value) -> Self {
        let principal = format!("{:?}/{}", principal.kind, principal.name);
        Self { principal, text, request: Digest::of_json(request) }
    }

    /// A schedule's own, under a text that no caller can give.
    pub(crate) fn of_schedule(text: &str, request: &Value) -> Self {
        let text = format!("{OF_SCHEDULES}{text}");
        Self { principal: "schedule".to_owned(), text, request: Digest::of_json(request) }
    }

    /// As it was given.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// What it stands for already: a run, or by [`DeliveryId::of_run`](guichet_contract::DeliveryId::of_run) a delivery, as the
    /// request is about.
    ///
    /// # Errors
    /// One that nobody can give; one that stands for another request; the store's.
    pub(crate) async fn earlier(&self, store: &dyn Store) -> Result<Option<RunId>, Problem> {
        if self.text.starts_with(OF_SCHEDULES) {
            let detail = format!("an Idempotency-Key that begins with {OF_SCHEDULES} is a schedule's");
            return Err(Problem::new(code::BAD_REQUEST, detail).next("use another key"));
        }
        if self.text.is_empty() || self.text.chars().count() > IDEMPOTENCY_KEY_MAX {
            let detail = format!("an Idempotency-Key has 1 to {IDEMPOTENCY_KEY_MAX} characters");
            return Err(Problem::new(code::BAD_REQUEST, detail).next("use another key, such as a UUID"));
        }
        match store.idempotent_run(&self.principal, &self.text).await {
            Ok(None) => Ok(None),
            Ok(Some((request, stands_for))) if request == self.request => Ok(Some(stands_for)),
            Ok(Some(_)) => {
                let detail = "you used this Idempotency-Key before, for something else";
                Err(Problem::new(code::IDEMPOTENCY_CONFLICT, detail).next("use a new key for a new request"))
            }
            Err(error) => Err(store_problem(&error)),
        }
    }

    /// From now on it stands for this.
    pub(crate) fn stands_for(&self, run: RunId, at: Timestamp) -> Change {
        Change::InsertIdempotencyKey {
            principal: self.principal.clone(),
            key: self.text.clone(),
            request: self.request.clone(),
            run,
            at,
        }
    }
}
