//! What a handler may know about the call it answers, and how it tells what it does.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use guichet_contract::Principal;
use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{error::ActionError, journal::Journal, story::Story, token::Claims};

/// One call: who asks, for which run, until when. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    inner: Arc<Inner>,
}

struct Inner {
    operation: String,
    claims: Arc<Claims>,
    principal: Principal,
    planned: Option<String>,
    deadline: Instant,
    story: Option<Arc<Story>>,
    journal: Arc<Journal>,
}

impl Context {
    pub(crate) fn new(
        operation: &str,
        claims: Arc<Claims>,
        planned: Option<String>,
        deadline: Instant,
        story: Option<Arc<Story>>,
        journal: Arc<Journal>,
    ) -> Self {
        let principal = claims.principal();
        let operation = operation.to_owned();
        Self { inner: Arc::new(Inner { operation, claims, principal, planned, deadline, story, journal }) }
    }

    /// Who asks: name, kind, teams, and the agent that works for them, when one does.
    pub fn principal(&self) -> &Principal {
        &self.inner.principal
    }

    /// The gateway's environment: `production`.
    pub fn environment(&self) -> &str {
        &self.inner.claims.environment
    }

    /// The `operationId` that is called.
    pub fn operation(&self) -> &str {
        &self.inner.operation
    }

    /// The run that is performed; `None` for reads, and for a plan that belongs to no run yet.
    pub fn run(&self) -> Option<&str> {
        self.inner.claims.run.as_deref()
    }

    /// The people who approved this run.
    pub fn approved_by(&self) -> &[String] {
        &self.inner.claims.approved_by
    }

    /// What the approved plan was bound to ([`Plan::bound_to`](crate::Plan::bound_to)); `None` when the call
    /// follows no such plan. Act on this and on nothing else.
    pub fn planned<T: DeserializeOwned>(&self) -> Result<Option<T>, ActionError> {
        let Some(text) = &self.inner.planned else { return Ok(None) };
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|error| {
            ActionError::failed(format!("the header Guichet-Plan is not base64url: {error}"))
        })?;
        let bound = serde_json::from_slice(&bytes).map_err(|error| {
            ActionError::conflict(format!("the plan was made by another version of this provider: {error}"))
                .next("run the command again to plan anew")
        })?;
        Ok(Some(bound))
    }

    /// The present moment, as the provider's clock tells it.
    pub fn now(&self) -> Timestamp {
        self.inner.journal.clock.now()
    }

    /// The moment after which nobody waits for the answer any more.
    pub fn deadline(&self) -> Instant {
        self.inner.deadline
    }

    /// How long someone still waits for the answer.
    pub fn remaining(&self) -> Duration {
        self.inner.deadline.saturating_duration_since(Instant::now())
    }

    /// A line for whoever follows the run; for actions that are not `long` it goes to the provider's log.
    pub fn log(&self, line: impl AsRef<str>) {
        let line = line.as_ref();
        if let Some(story) = &self.inner.story {
            story.log(line);
        } else {
            tracing::info!(operation = self.inner.operation, run = self.run(), "{line}");
        }
    }

    /// How far it is: 0–100, or `None` when that cannot be told, and what it is doing.
    pub fn progress(&self, percent: impl Into<Option<f64>>, message: impl AsRef<str>) {
        if let Some(story) = &self.inner.story {
            let percent = percent.into().map(|percent| percent.clamp(0.0, 100.0));
            let _ = story.tell("progress", json!({"percent": percent, "message": message.as_ref()}));
        }
    }

    /// Tells that something is done, with its result; nothing rests on it. [`Context::step`] does a step and keeps it.
    pub fn note(&self, name: impl AsRef<str>, result: impl Serialize) {
        if let Some(story) = &self.inner.story {
            let result = serde_json::to_value(result).unwrap_or(Value::Null);
            let _ = story.tell("step", json!({"name": name.as_ref(), "state": "noted", "result": result}));
        }
    }

    pub(crate) fn journal(&self) -> &Journal {
        &self.inner.journal
    }

    pub(crate) fn story(&self) -> Option<&Story> {
        self.inner.story.as_deref()
    }
}
