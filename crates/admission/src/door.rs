//! The itinerary of every call, top to bottom: identify, resolve, validate, authorize; and, once the provider has
//! planned, require.

use std::{pin::Pin, sync::Arc};

use arc_swap::ArcSwap;
use guichet_contract::{
    Clock, Plan, Principal, Problem, Record, RecordVerdict, Run, Surface, Verb, code, redact,
};
use guichet_identity::{Identified, Identity, IdentityError, Scope};
use guichet_rules::{self as rules, Decision, Question};
use guichet_store::{Store, TokenKind, UnitOfWork};
use jiff::Timestamp;
use serde_json::{Value, json};
use tracing::Instrument as _;

use crate::{
    admitted::{ActionCall, Admitted, GatewayCall},
    caller::{Call, Caller},
    refusal::Refusal,
    resolve::{self, RestCall, RestMatch},
    unfit::not_read_yet,
    validate,
    world::{CompiledAction, World},
};

/// The longest reason, characters.
pub const REASON_MAX: usize = 2_000;
/// What the audit trail is called in policies.
pub(crate) const AUDITED: &str = "guichet/records";
/// Inputs larger than this (bytes of JSON) are recorded as their digest.
const RECORDED_INPUT_MAX: usize = 16 * 1024;

/// The only way in.
pub struct Door {
    world: ArcSwap<World>,
    identity: Arc<Identity>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
}

/// What someone wants to do: an action, an input, a reason.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// `provider.operation`.
    pub action: String,
    /// The flat input.
    pub input: Value,
    /// Why.
    pub reason: Option<String>,
}

/// What the attempt is for. It is recorded under this verb when it is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To be performed: a read now, a change as a run.
    Perform,
    /// To see what it would do.
    Plan,
    /// To be performed at set times.
    Schedule,
}

impl Purpose {
    fn verb(self) -> Verb {
        match self {
            Self::Perform => Verb::SubmitRun,
            Self::Plan => Verb::PlanRun,
            Self::Schedule => Verb::CreateSchedule,
        }
    }
}

/// What the gateway itself offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GatewayVerb {
    /// To see the catalogue, one's own identity, one's own runs. Open to everyone who is signed in.
    LookAround,
    /// To read runs; with a token that may read or approve.
    ReadRuns,
    /// To make or revoke one's own tokens; not with a personal token.
    ManageOwnTokens,
    /// To make schedules; not with a personal token, which they would outlive.
    CreateSchedules,
    /// To end one's own session.
    SignOut,
    /// To read the audit trail.
    ReadRecords,
    /// To ask the policies about others; recorded under this verb.
    AskPolicies(Verb),
}

impl Door {
    /// A door to this world.
    pub fn new(world: World, identity: Arc<Identity>, store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        Self { world: ArcSwap::from_pointee(world), identity, store, clock }
    }

    /// What decisions are taken against at this moment.
    pub fn world(&self) -> Arc<World> {
        self.world.load_full()
    }

    /// From now on, decisions are taken against this.
    pub fn replace_world(&self, world: World) {
        self.world.store(Arc::new(world));
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Who is who.
    pub fn identity(&self) -> &Arc<Identity> {
        &self.identity
    }

    /// Who calls.
    ///
    /// # Errors
    /// Not signed in, or credentials that do not hold; recorded.
    pub async fn identify(&self, call: &Call) -> Result<Caller, Refusal> {
        // `auth` in a trace: from the secret to the person.
        match self.identity.identify(call.bearer.as_deref()).instrument(tracing::info_span!("auth")).await {
            Ok(identified) => {
                call.note_held();
                Ok(self.with_teams(identified, call))
            }
            Err(error) => {
                let problem = identity_problem(&error);
                let mut record = self.record(Verb::Identify, RecordVerdict::Refused, call.surface);
                record.trace_id = call.trace_id();
                record.detail = Some(error.to_string());
                Err(self.refuse(record, problem).await)
            }
        }
    }

    fn with_teams(&self, identified: Arc<Identified>, call: &Call) -> Caller {
        let mut principal = identified.principal.clone();
        principal.teams = self.world.load().registry.teams_of(&principal.name);
        Caller { principal, identified, surface: call.surface, traceparent: call.traceparent.clone() }
    }

    /// What a provider's own path leads to.
    ///
    /// # Errors
    /// Unknown provider, path or method; recorded.
    pub async fn resolve_rest(&self, caller: &Caller, call: &RestCall<'_>) -> Result<RestMatch, Refusal> {
        match resolve::resolve_rest(&self.world.load(), call) {
            Ok(found) => Ok(found),
            Err(problem) => {
                let mut record = self.record_of(caller, Verb::SubmitRun, RecordVerdict::Refused);
                record.detail = Some(format!("{} /providers/{}{}", call.method, call.provider, call.path));
                Err(self.refuse(record, problem).await)
            }
        }
    }

    /// An action with an input, for this caller.
    ///
    /// # Errors
    /// Unknown action, invalid input, a token without the scope, or policy; recorded.
    pub async fn admit_action(
        &self,
        caller: Caller,
        attempt: Attempt,
        purpose: Purpose,
    ) -> Result<Admitted<ActionCall>, Refusal> {
        let world = self.world.load_full();
        let verb = purpose.verb();
        let Some(action) = world.catalogue.action(&attempt.action).map(Arc::clone) else {
            let mut record = self.record_of(&caller, verb, RecordVerdict::Refused);
            record.detail = Some(format!("action {}", shortened(&attempt.action)));
            return Err(self.refuse(record, unknown_action(&world, &attempt.action)).await);
        };
        let checked = tracing::info_span!("authorize", action = %action.action.id)
            .in_scope(|| check_action(&world, &caller, &action, &attempt, self.clock.now()));
        match checked {
            Ok(wanted) => Ok(Admitted { caller, wanted }),
            Err(no) => {
                let problem = self.advise_attempt(&world, &caller, &action, &attempt, no);
                let mut record = self.record_of(&caller, verb, RecordVerdict::Refused);
                record.reason = attempt.reason.map(|reason| reason.chars().take(REASON_MAX).collect());
                record.action = Some(action.action.id.clone());
                record.action_version = Some(action.action.version.clone());
                record.effect = Some(action.action.effect);
                record.input = Some(recorded_input(redacted(&action, &attempt.input)));
                record.policy_version = Some(world.policies.version().clone());
                Err(self.refuse(record, problem).await)
            }
        }
    }

    /// What the plan makes of it: the resource it narrows to, and what approvals that needs. Authorizes anew.
    ///
    /// # Errors
    /// A plan outside the action's resource, or policy; recorded.
    pub async fn require(
        &self,
        admitted: Admitted<ActionCall>,
        plan: &Plan,
        purpose: Purpose,
    ) -> Result<Admitted<ActionCall>, Refusal> {
        let Admitted { caller, mut wanted } = admitted;
        match narrow(&mut wanted, plan).map_err(No::from).and_then(|()| {
            authorize(&mut wanted, &caller.principal, caller.surface, Some(plan), self.clock.now())
        }) {
            Ok(()) => Ok(Admitted { caller, wanted }),
            Err(no) => {
                let problem = self.advise_call(&caller, &wanted, plan, no);
                let mut record = self.record_of(&caller, purpose.verb(), RecordVerdict::Refused);
                describe(&mut record, &wanted);
                Err(self.refuse(record, problem).await)
            }
        }
    }

    /// Something of the gateway's own.
    ///
    /// # Errors
    /// Policy, or a token that may not; recorded.
    pub async fn admit_gateway(
        &self,
        caller: Caller,
        verb: GatewayVerb,
    ) -> Result<Admitted<GatewayCall>, Refusal> {
        let world = self.world.load_full();
        let (checked, record_verb) = match verb {
            GatewayVerb::LookAround => (Ok(()), Verb::ReadRuns),
            GatewayVerb::ReadRuns => (
                check_scope(&caller.identified, Scope::Read)
                    .or_else(|problem| check_scope(&caller.identified, Scope::Approve).map_err(|_| problem)),
                Verb::ReadRuns,
            ),
            GatewayVerb::SignOut => (Ok(()), Verb::SignOut),
            GatewayVerb::ManageOwnTokens => {
                (only_by_session(&caller, "a personal token cannot make or revoke tokens"), Verb::CreateToken)
            }
            GatewayVerb::CreateSchedules => (
                only_by_session(&caller, "a personal token cannot make a schedule, which would outlive it"),
                Verb::CreateSchedule,
            ),
            GatewayVerb::ReadRecords => (may_audit(&world, &caller, AUDITED), Verb::ReadRecords),
            GatewayVerb::AskPolicies(verb) => (may_audit(&world, &caller, "guichet/policies"), verb),
        };
        match checked {
            Ok(()) => Ok(Admitted { caller, wanted: GatewayCall { world, verb } }),
            Err(problem) => {
                let record = self.record_of(&caller, record_verb, RecordVerdict::Refused);
                Err(self.refuse(record, problem).await)
            }
        }
    }

    /// Records a refusal and makes it. A store that takes no records cannot keep this one either; the call is
    /// refused all the same.
    pub fn refuse(
        &self,
        mut record: Record,
        mut problem: Problem,
    ) -> Pin<Box<dyn Future<Output = Refusal> + Send + '_>> {
        // In a box: refusals are rare, and each call that may be refused would carry the room for one.
        Box::pin(async move {
            record.problem = Some(problem.code.clone());
            if record.policies.is_empty() {
                record.policies.clone_from(&problem.policies);
            }
            problem.trace_id.clone_from(&record.trace_id);
            tracing::info!(verb = record.verb.as_str(), code = %problem.code, "refused");
            // Durable before it is told: a refused attempt is what an auditor looks for first.
            if let Err(error) = self.store.commit(UnitOfWork::new().append_record(record)).await {
                tracing::error!(%error, "a refusal could not be recorded");
            }
            Refusal::recorded(problem)
        })
    }

    /// A record of this moment and environment.
    pub fn record(&self, verb: Verb, verdict: RecordVerdict, surface: Surface) -> Record {
        Record::new(self.clock.now(), verb, verdict, &self.world.load().environment, surface)
    }

    /// The same, by this caller.
    pub fn record_of(&self, caller: &Caller, verb: Verb, verdict: RecordVerdict) -> Record {
        let mut record = self.record(verb, verdict, caller.surface);
        record.principal = Some(caller.principal.clone());
        record.trace_id = caller.trace_id();
        record
    }
}

pub(crate) fn check_action(
    world: &Arc<World>,
    caller: &Caller,
    action: &Arc<CompiledAction>,
    attempt: &Attempt,
    now: Timestamp,
) -> Result<ActionCall, No> {
    check_reason(attempt.reason.as_deref())?;
    check_scope(&caller.identified, action.action.effect.into())?;
    let input = validate::validate(action, &attempt.input)?;
    let resource = resource_of(action, &input)?;
    let mut wanted = ActionCall {
        world: Arc::clone(world),
        action: Arc::clone(action),
        input,
        reason: attempt.reason.clone().filter(|reason| !reason.trim().is_empty()),
        owner: None,
        resource,
        conditions: Vec::new(),
        policies: Vec::new(),
        cool_down_seconds: 0,
        timeout_seconds: None,
    };
    authorize(&mut wanted, &caller.principal, caller.surface, None, now)?;
    Ok(wanted)
}

/// Fills in what a record says of an action call.
pub fn describe(record: &mut Record, wanted: &ActionCall) {
    let action = wanted.action();
    record.action = Some(action.id.clone());
    record.action_version = Some(action.version.clone());
    record.effect = Some(action.effect);
    record.resource = Some(wanted.resource.clone());
    record.owner.clone_from(&wanted.owner);
    record.input = Some(recorded_input(wanted.redacted_input()));
    record.reason.clone_from(&wanted.reason);
    record.policies.clone_from(&wanted.policies);
    record.policy_version = Some(wanted.policy_version().clone());
}

/// Fills in what a record says of a run. The input was told when the run was submitted.
pub fn describe_run(record: &mut Record, run: &Run) {
    record.run = Some(run.id);
    record.action = Some(run.action.clone());
    record.action_version = Some(run.action_version.clone());
    record.effect = Some(run.effect);
    record.resource = Some(run.resource.clone());
    record.owner.clone_from(&run.owner);
    record.policy_version = Some(run.policy_version.clone());
    record.binding = Some(run.binding.clone());
}

pub(crate) fn resource_of(action: &CompiledAction, input: &Value) -> Result<String, Problem> {
    rules::resource_of(
        action.action.resource.as_deref(),
        input,
        &action.action.provider,
        &action.action.operation,
    )
    .map_err(|why| Problem::new(code::INVALID_INPUT, why))
}

/// A no to an attempt, as it is told.
pub(crate) struct No {
    pub(crate) problem: Problem,
    /// It is one only because no policy permits it: who could, and whom to ask, is worth telling.
    pub(crate) by_default: bool,
}

impl From<Problem> for No {
    fn from(problem: Problem) -> Self {
        Self { problem, by_default: false }
    }
}

/// Decides, and notes who owns the resource and what must be lifted.
pub(crate) fn authorize(
    wanted: &mut ActionCall,
    principal: &Principal,
    surface: Surface,
    plan: Option<&Plan>,
    now: Timestamp,
) -> Result<(), No> {
    wanted.owner = wanted.world.registry.owner_of(&wanted.resource).map(str::to_owned);
    let decision = wanted.world.policies.authorize(&Question {
        principal,
        action: &wanted.action.action,
        input: &wanted.input,
        resource: &wanted.resource,
        environment: &wanted.world.environment,
        surface,
        reason: wanted.reason.as_deref(),
        plan,
        now,
    });
    match decision {
        Decision::Allowed { policies, cool_down_seconds, timeout_seconds } => {
            wanted.policies = policies;
            wanted.conditions = Vec::new();
            wanted.cool_down_seconds = cool_down_seconds;
            wanted.timeout_seconds = timeout_seconds;
            Ok(())
        }
        Decision::NeedsApproval { conditions, policies, cool_down_seconds, timeout_seconds } => {
            wanted.policies = policies;
            wanted.conditions = conditions;
            wanted.cool_down_seconds = cool_down_seconds;
            wanted.timeout_seconds = timeout_seconds;
            Ok(())
        }
        refused @ Decision::Refused { .. } => {
            let by_default = refused.is_by_default();
            allowed_or_problem(&refused).map_err(|problem| No { problem, by_default })
        }
    }
}

/// A plan may narrow the resource, never leave it.
pub(crate) fn narrow(wanted: &mut ActionCall, plan: &Plan) -> Result<(), Problem> {
    let declared = resource_of(&wanted.action, &wanted.input)?;
    wanted.resource = match &plan.resource {
        None => declared,
        Some(narrower) if rules::lies_under(narrower, &declared) => narrower.clone(),
        Some(elsewhere) => {
            return Err(Problem::new(
                code::PROVIDER_PROTOCOL,
                format!("the plan is about {elsewhere}, which does not lie under {declared}, the action's resource"),
            )
            .next("the provider must plan within its declared resource; tell its owners"));
        }
    };
    Ok(())
}

pub(crate) fn check_scope(identified: &Identified, scope: Scope) -> Result<(), Problem> {
    if identified.has_scope(scope) {
        return Ok(());
    }
    Err(Problem::new(
        code::REFUSED,
        format!(
            "this token is limited to {}, and this needs {}",
            identified.scopes.join(", "),
            scope.as_str()
        ),
    )
    .next("use a token with that scope, or sign in with `guichet login`"))
}

fn only_by_session(caller: &Caller, else_why: &str) -> Result<(), Problem> {
    if caller.identified.token_kind == TokenKind::Session {
        return Ok(());
    }
    Err(Problem::new(code::REFUSED, else_why).next("sign in with `guichet login` and do it from there"))
}

pub(crate) fn check_reason(reason: Option<&str>) -> Result<(), Problem> {
    match reason {
        Some(reason) if reason.chars().count() > REASON_MAX => Err(Problem::new(
            code::INVALID_INPUT,
            format!("the reason is longer than {REASON_MAX} characters"),
        )
        .next("say it shorter, and link to the rest")),
        _ => Ok(()),
    }
}

fn may_audit(world: &World, caller: &Caller, what: &str) -> Result<(), Problem> {
    check_scope(&caller.identified, Scope::Read)?;
    allowed_or_problem(&world.policies.may(&caller.principal, "audit", what, &world.environment))
}

pub(crate) fn allowed_or_problem(decision: &Decision) -> Result<(), Problem> {
    let Decision::Refused { reasons } = decision else {
        return Ok(());
    };
    let detail: Vec<&str> = reasons.iter().map(|reason| reason.sentence.as_str()).collect();
    let policies: Vec<String> = reasons.iter().filter_map(|reason| reason.policy.clone()).collect();
    let code = if decision.wants_reason() { code::REASON_REQUIRED } else { code::REFUSED };
    let mut problem = Problem::new(code, detail.join("; ")).policies(policies);
    problem.next = reasons.iter().find_map(|reason| reason.next.clone());
    Err(problem)
}

fn identity_problem(error: &IdentityError) -> Problem {
    match error {
        IdentityError::Missing => Problem::new(code::NOT_SIGNED_IN, error.to_string())
            .next("sign in with `guichet login`, or send `Authorization: Bearer TOKEN`"),
        IdentityError::TooManyAttempts => {
            Problem::new(code::TOO_MANY_REQUESTS, error.to_string()).next("wait a minute")
        }
        IdentityError::Store(_) => Problem::new(code::STORE_UNAVAILABLE, error.to_string())
            .next("nothing was done; try again when the operators have mended it"),
        IdentityError::Fault(_) => Problem::new(code::INTERNAL, error.to_string()),
        IdentityError::BadToken(_) => Problem::new(code::INVALID_INPUT, error.to_string()),
        IdentityError::UnknownToken
        | IdentityError::Expired(_)
        | IdentityError::Revoked(_)
        | IdentityError::UserGone(_)
        | IdentityError::WrongPassword => Problem::new(code::INVALID_CREDENTIALS, error.to_string())
            .next("sign in again with `guichet login`"),
    }
}

/// The same words for whoever signs in.
pub fn sign_in_problem(error: &IdentityError) -> Problem {
    identity_problem(error)
}

pub(crate) fn unknown_action(world: &World, given: &str) -> Problem {
    if let Some(problem) = not_read_yet(world, given) {
        return problem;
    }
    let ids = world.catalogue.published.actions.iter().map(|action| action.id.as_str());
    let hint =
        validate::nearest(given, ids).map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
    Problem::new(code::UNKNOWN_ACTION, format!("no action is called `{}`{hint}", shortened(given)))
        .next("`guichet actions list` shows those there are")
}

fn shortened(text: &str) -> String {
    text.chars().take(200).collect()
}

fn redacted(action: &CompiledAction, input: &Value) -> Value {
    redact::redact_input(&action.action.input, input, action.action.sensitive)
}

fn recorded_input(redacted: Value) -> Value {
    let mut size = Size(0);
    // Counting cannot fail, and a value of JSON has a text.
    let _ = serde_json::to_writer(&mut size, &redacted);
    if size.0 <= RECORDED_INPUT_MAX {
        return redacted;
    }
    json!({"digest": guichet_contract::Digest::of_json(&redacted), "bytes": size.0})
}

/// Counts what is written to it.
struct Size(usize);

impl std::io::Write for Size {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
