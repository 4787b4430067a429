//! Who may see what became of notices, who may have one sent once more, and who may try a channel.

use guichet_contract::{RecordVerdict, Verb};
use guichet_identity::Scope;

use crate::{
    caller::Caller,
    door::{Door, allowed_or_problem, check_scope},
    refusal::Refusal,
};

/// What the deliveries are called in policies.
const DELIVERIES: &str = "guichet/deliveries";

impl Door {
    /// To read deliveries, to replay one, or to ping a channel: whom the policies permit the verb of that name on `guichet/deliveries`, with a
    /// token that may read, or change. `what` is told in the record of a refusal.
    ///
    /// # Errors
    /// Policy, or a token that may not; recorded.
    pub async fn admit_deliveries(&self, caller: &Caller, verb: Verb, what: &str) -> Result<(), Refusal> {
        let world = self.world();
        let scope = if verb == Verb::ReadDeliveries { Scope::Read } else { Scope::Change };
        let checked = check_scope(&caller.identified, scope).and_then(|()| {
            let asked = world.policies.may(&caller.principal, verb.as_str(), DELIVERIES, &world.environment);
            allowed_or_problem(&asked)
        });
        let Err(problem) = checked else { return Ok(()) };
        let mut record = self.record_of(caller, verb, RecordVerdict::Refused);
        record.detail = Some(what.to_owned());
        record.resource = Some(DELIVERIES.to_owned());
        record.policy_version = Some(world.policies.version().clone());
        Err(self.refuse(record, problem).await)
    }
}
