//! The proof that a call passed the door. Its fields are private to this room: nobody else can make one.

use std::sync::Arc;

use guichet_contract::{Action, Digest, redact};
use guichet_rules::{self as rules, Condition};
use serde_json::Value;

use crate::{
    caller::Caller,
    door::GatewayVerb,
    world::{CompiledAction, World},
};

/// A call that passed the door, and what it wants.
#[derive(Debug, Clone)]
pub struct Admitted<W> {
    pub(crate) caller: Caller,
    pub(crate) wanted: W,
}

impl<W> Admitted<W> {
    /// Who.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }
    /// What.
    pub fn wanted(&self) -> &W {
        &self.wanted
    }
}

/// An action with an input, validated and authorized.
#[derive(Debug, Clone)]
pub struct ActionCall {
    pub(crate) world: Arc<World>,
    pub(crate) action: Arc<CompiledAction>,
    pub(crate) input: Value,
    pub(crate) reason: Option<String>,
    pub(crate) resource: String,
    pub(crate) owner: Option<String>,
    pub(crate) conditions: Vec<Condition>,
    pub(crate) policies: Vec<String>,
    pub(crate) cool_down_seconds: u32,
    pub(crate) timeout_seconds: Option<u32>,
}

impl ActionCall {
    /// The action.
    pub fn action(&self) -> &Action {
        &self.action.action
    }
    /// The validated flat input.
    pub fn input(&self) -> &Value {
        &self.input
    }
    /// The input as it may be recorded.
    pub fn redacted_input(&self) -> Value {
        if !self.action.has_secrets() {
            return self.input.clone();
        }
        redact::redact_input(&self.action().input, &self.input, self.action().sensitive)
    }
    /// Why, in the requester's words.
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }
    /// What it acts on.
    pub fn resource(&self) -> &str {
        &self.resource
    }
    /// The team that owns the resource.
    pub fn owner(&self) -> Option<&str> {
        self.owner.as_deref()
    }
    /// What people must lift before it may be performed; empty when it may be performed at once.
    pub fn conditions(&self) -> &[Condition] {
        &self.conditions
    }
    /// Seconds that the start is delayed after everything is lifted: the policies' or the action's own, whichever is
    /// longer.
    pub fn cool_down_seconds(&self) -> u32 {
        self.cool_down_seconds.max(self.action().cool_down_seconds)
    }
    /// Seconds that it may take: what policies give it or the action's own, whichever is less.
    pub fn timeout_seconds(&self) -> u32 {
        let own = self.action().timeout_seconds;
        self.timeout_seconds.map_or(own, |given| given.min(own))
    }
    /// Of runs of this provider with the same key one is performed at a time.
    pub fn concurrency(&self) -> Option<String> {
        rules::concurrency_of(self.action().concurrency.as_deref()?, &self.input)
    }
    /// The policies that decided.
    pub fn policies(&self) -> &[String] {
        &self.policies
    }
    /// Version of the policies that decided.
    pub fn policy_version(&self) -> &Digest {
        self.world.policies.version()
    }
    /// The environment.
    pub fn environment(&self) -> &str {
        &self.world.environment
    }
}

/// The right to decide on a run.
#[derive(Debug, Clone)]
pub struct Deciding {
    pub(crate) lifts: Vec<String>,
}

impl Deciding {
    /// Ids of the policies whose approval this person's yes counts for.
    pub fn lifts(&self) -> &[String] {
        &self.lifts
    }
}

/// The right to something of the gateway's own.
#[derive(Debug, Clone)]
pub struct GatewayCall {
    pub(crate) world: Arc<World>,
    pub(crate) verb: GatewayVerb,
}

impl GatewayCall {
    /// What it is.
    pub fn verb(&self) -> GatewayVerb {
        self.verb
    }
    /// What the gateway knows at this moment.
    pub fn world(&self) -> &Arc<World> {
        &self.world
    }
}
