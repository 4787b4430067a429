//! The token that tells a provider who calls. A read's token is reused for a while, since making one costs more than
//! the rest of a read; a change's token is made for it alone.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use guichet_contract::{Clock, Digest, Principal};
use guichet_contract::{Problem, code};
use guichet_operations::{ProviderCall, ProviderError};
use http::HeaderValue;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

/// What the token says.
#[derive(Debug, Clone)]
pub struct Claims<'a> {
    /// The audience.
    pub provider: &'a str,
    /// Who calls.
    pub principal: &'a Principal,
    /// Where.
    pub environment: &'a str,
    /// The operation it is for.
    pub operation: &'a str,
    /// The run, for changes.
    pub run: Option<String>,
    /// Digest of the input, for changes.
    pub input: Option<Digest>,
    /// Digest of the journal that is handed over.
    pub journal: Option<Digest>,
    /// Digest of the plan being performed.
    pub plan: Option<Digest>,
    /// Who approved.
    pub approved_by: &'a [String],
}

/// Whoever holds the keys.
pub trait SignTokens: Send + Sync + 'static {
    /// A token that holds 60 seconds, or why not.
    fn sign(&self, claims: &Claims<'_>) -> Result<String, String>;
}

/// How long a read's token is reused; half of what it holds.
const REUSED_FOR: SignedDuration = SignedDuration::from_secs(30);
/// How many tokens are remembered; beyond it the memory is cleared.
const REMEMBERED: usize = 10_000;

pub(crate) struct Tokens {
    signer: Arc<dyn SignTokens>,
    clock: Arc<dyn Clock>,
    of_reads: RwLock<HashMap<u64, Remembered>>,
}

type Remembered = (ReadKey, HeaderValue, Timestamp);

/// Everything a read's token says, so that no token is ever reused for something else.
#[derive(PartialEq, Eq, Hash, Clone)]
struct ReadKey {
    provider: String,
    operation: String,
    environment: String,
    principal: String,
    kind: guichet_contract::PrincipalKind,
    agent: Option<String>,
    teams: Vec<String>,
}

impl Tokens {
    pub(crate) fn new(signer: Arc<dyn SignTokens>, clock: Arc<dyn Clock>) -> Self {
        Self { signer, clock, of_reads: RwLock::new(HashMap::new()) }
    }

    /// The value of `Authorization` that bears it.
    pub(crate) fn token(&self, call: &ProviderCall<'_>) -> Result<HeaderValue, ProviderError> {
        if call.run.is_some() {
            return self.sign(call);
        }
        let hash = hash_of(call);
        let now = self.clock.now();
        {
            let known = self.of_reads.read().unwrap_or_else(PoisonError::into_inner);
            if let Some((key, token, at)) = known.get(&hash) {
                let age = now.duration_since(*at);
                if !age.is_negative() && age < REUSED_FOR && key.is_of(call) {
                    return Ok(token.clone());
                }
            }
        }
        let token = self.sign(call)?;
        let mut known = self.of_reads.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(hash, (ReadKey::of(call), token.clone(), now));
        Ok(token)
    }

    fn sign(&self, call: &ProviderCall<'_>) -> Result<HeaderValue, ProviderError> {
        let claims = Claims {
            provider: &call.action.provider,
            principal: call.principal,
            environment: call.environment,
            operation: &call.action.operation,
            run: call.run.map(|run| run.to_string()),
            input: call.run.map(|_| Digest::of_json(call.input)),
            journal: call.journal.map(|journal| Digest::of_json(&Value::Object(journal.clone()))),
            plan: call.plan.map(guichet_contract::Plan::digest),
            approved_by: call.approved_by,
        };
        let bearer = self.signer.sign(&claims).and_then(|token| {
            let mut value =
                HeaderValue::try_from(format!("Bearer {token}")).map_err(|error| error.to_string())?;
            value.set_sensitive(true);
            Ok(value)
        });
        bearer.map_err(|why| {
            ProviderError::NotSent(
                Problem::new(code::INTERNAL, format!("no token for the provider could be made: {why}"))
                    .next("nothing was done; tell the operators of this gateway"),
            )
        })
    }
}

fn hash_of(call: &ProviderCall<'_>) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    (&call.action.provider, &call.action.operation, call.environment).hash(&mut hasher);
    (&call.principal.name, call.principal.kind, &call.principal.agent, &call.principal.teams)
        .hash(&mut hasher);
    hasher.finish()
}

impl ReadKey {
    fn of(call: &ProviderCall<'_>) -> Self {
        Self {
            provider: call.action.provider.clone(),
            operation: call.action.operation.clone(),
            environment: call.environment.to_owned(),
            principal: call.principal.name.clone(),
            kind: call.principal.kind,
            agent: call.principal.agent.clone(),
            teams: call.principal.teams.iter().cloned().collect(),
        }
    }
    fn is_of(&self, call: &ProviderCall<'_>) -> bool {
        self.provider == call.action.provider
            && self.operation == call.action.operation
            && self.environment == call.environment
            && self.principal == call.principal.name
            && self.kind == call.principal.kind
            && self.agent == call.principal.agent
            && self.teams.iter().eq(call.principal.teams.iter())
    }
}
