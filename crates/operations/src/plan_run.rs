//! A dry run: what would happen, and who would have to approve. Changes nothing.

use std::sync::Arc;

use guichet_admission::{ActionCall, Admitted, Attempt, Call, Purpose, Refusal, door};
use guichet_contract::{Approval, Plan, RecordVerdict, Verb};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    platform::{Platform, store_problem},
    providers::{ProviderCall, ProviderError},
};

/// What a run would do, and what it would need.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Forecast {
    /// The provider's plan; absent when the action offers none.
    pub plan: Option<Plan>,
    /// Allowed, or allowed once people approve.
    pub decision: Foreseen,
    /// What would have to be lifted.
    pub approvals: Vec<Approval>,
    /// What it would act on.
    pub resource: String,
    /// The team that owns it.
    pub owner: Option<String>,
}

/// What the policy would say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Foreseen {
    /// It would start at once.
    Allowed,
    /// It would wait for people.
    NeedsApproval,
}

/// Plans without running.
///
/// # Errors
/// Whatever the door refuses; a provider that cannot plan.
pub async fn plan_run(platform: &Arc<Platform>, call: &Call, attempt: Attempt) -> Result<Forecast, Refusal> {
    let caller = platform.door.identify(call).await?;
    let mut admitted = platform.door.admit_action(caller, attempt, Purpose::Plan).await?;
    let plan = match ask_plan(platform, &admitted).await {
        Ok(None) => None,
        Ok(Some(made)) => {
            admitted = platform.door.require(admitted, &made, Purpose::Plan).await?;
            Some(Plan { bound: None, ..made })
        }
        Err(error) => {
            let mut record = platform.door.record_of(admitted.caller(), Verb::PlanRun, RecordVerdict::Failed);
            door::describe(&mut record, admitted.wanted());
            return Err(platform.door.refuse(record, error.into_problem()).await);
        }
    };
    let mut record = platform.door.record_of(admitted.caller(), Verb::PlanRun, RecordVerdict::Allowed);
    let wanted = admitted.wanted();
    door::describe(&mut record, wanted);
    platform.store.append_soon(record).await.map_err(|error| Refusal::from(store_problem(&error)))?;
    let now = platform.clock.now();
    let approvals: Vec<Approval> =
        wanted.conditions().iter().cloned().map(|condition| condition.into_approval(now)).collect();
    let decision = if approvals.is_empty() { Foreseen::Allowed } else { Foreseen::NeedsApproval };
    Ok(Forecast {
        plan,
        decision,
        approvals,
        resource: wanted.resource().to_owned(),
        owner: wanted.owner().map(str::to_owned),
    })
}

/// What the provider says it would do; none where the action makes no plans.
///
/// # Errors
/// The provider's.
pub(crate) async fn ask_plan(
    platform: &Platform,
    admitted: &Admitted<ActionCall>,
) -> Result<Option<Plan>, ProviderError> {
    let (caller, wanted) = (admitted.caller(), admitted.wanted());
    if !wanted.action().plan {
        return Ok(None);
    }
    let call = ProviderCall {
        traceparent: caller.traceparent.as_deref(),
        ..ProviderCall::of(wanted.action(), wanted.input(), &caller.principal, wanted.environment())
    };
    platform.providers.plan(&call).await.map(Some)
}
