//! Who may say that they answer for a provider, who may add a service as one, and who may take a name back.

use guichet_contract::{Principal, PrincipalKind, Problem, RecordVerdict, Registration, Verb, code};
use guichet_identity::Scope;

use crate::{
    admitted::Admitted,
    caller::Caller,
    door::{Door, allowed_or_problem, check_scope},
    refusal::Refusal,
};

/// The right to register as a provider.
#[derive(Debug, Clone)]
pub struct Registering {
    pub(crate) provider: String,
}

impl Registering {
    /// As which provider.
    pub fn provider(&self) -> &str {
        &self.provider
    }
}

/// The right to add a service as a provider.
#[derive(Debug, Clone)]
pub struct Adding {
    pub(crate) provider: String,
}

impl Adding {
    /// As which provider.
    pub fn provider(&self) -> &str {
        &self.provider
    }
}

impl Door {
    /// To say that one answers for a provider: service accounts alone, with a token that may, when the policies permit it on
    /// the resource that has the provider's name.
    ///
    /// # Errors
    /// Any of that; recorded.
    pub async fn admit_registration(
        &self,
        caller: Caller,
        provider: &str,
    ) -> Result<Admitted<Registering>, Refusal> {
        let world = self.world();
        let checked = only_services(&caller.principal)
            .and_then(|()| check_scope(&caller.identified, Scope::Register))
            .and_then(|()| {
                let verb = Verb::RegisterInstance.as_str();
                allowed_or_problem(&world.policies.may(&caller.principal, verb, provider, &world.environment))
            });
        match checked {
            Ok(()) => Ok(Admitted { caller, wanted: Registering { provider: provider.to_owned() } }),
            Err(problem) => {
                let mut record = self.record_of(&caller, Verb::RegisterInstance, RecordVerdict::Refused);
                record.detail = Some(format!("provider {provider}"));
                record.resource = Some(provider.to_owned());
                record.policy_version = Some(world.policies.version().clone());
                Err(self.refuse(record, problem).await)
            }
        }
    }

    /// To add a service as a provider: whom the policies permit it on the resource that has the provider's name, and no agent:
    /// what it adds would be a new way out, that nobody has looked at.
    ///
    /// # Errors
    /// Any of that; recorded.
    pub async fn admit_addition(&self, caller: Caller, provider: &str) -> Result<Admitted<Adding>, Refusal> {
        let world = self.world();
        let checked = no_agent(&caller.principal)
            .and_then(|()| check_scope(&caller.identified, Scope::Change))
            .and_then(|()| {
                let verb = Verb::AddProvider.as_str();
                allowed_or_problem(&world.policies.may(&caller.principal, verb, provider, &world.environment))
            });
        match checked {
            Ok(()) => Ok(Admitted { caller, wanted: Adding { provider: provider.to_owned() } }),
            Err(problem) => {
                let mut record = self.record_of(&caller, Verb::AddProvider, RecordVerdict::Refused);
                record.detail = Some(format!("provider {provider}"));
                record.resource = Some(provider.to_owned());
                record.policy_version = Some(world.policies.version().clone());
                Err(self.refuse(record, problem).await)
            }
        }
    }

    /// To take an instance, or a whole provider, out: whoever registered or added it, or whom the policies permit to remove it.
    ///
    /// # Errors
    /// Neither; recorded under this verb.
    pub async fn admit_removal(
        &self,
        caller: &Caller,
        registration: &Registration,
        verb: Verb,
    ) -> Result<(), Refusal> {
        let world = self.world();
        let provider = registration.provider.as_str();
        let scope = if registration.service.is_some() { Scope::Change } else { Scope::Register };
        let checked = check_scope(&caller.identified, scope).and_then(|()| {
            if registration.is_of(&caller.principal) {
                return Ok(());
            }
            let remove = Verb::RemoveProvider.as_str();
            allowed_or_problem(&world.policies.may(&caller.principal, remove, provider, &world.environment))
        });
        let Err(problem) = checked else { return Ok(()) };
        let mut record = self.record_of(caller, verb, RecordVerdict::Refused);
        record.detail = Some(format!("provider {provider}"));
        record.resource = Some(provider.to_owned());
        record.policy_version = Some(world.policies.version().clone());
        Err(self.refuse(record, problem).await)
    }
}

fn only_services(principal: &Principal) -> Result<(), Problem> {
    if principal.kind == PrincipalKind::ServiceAccount && principal.agent.is_none() {
        return Ok(());
    }
    let detail = format!("{principal} is no service account, and only these register as providers");
    Err(Problem::new(code::REFUSED, detail).next(
        "use a token of the service account that the provider has; docs/provider-protocol.md tells how",
    ))
}

fn no_agent(principal: &Principal) -> Result<(), Problem> {
    if principal.agent.is_none() {
        return Ok(());
    }
    let detail = format!("{principal} is an agent's, and no agent adds a provider");
    Err(Problem::new(code::REFUSED, detail)
        .next("have a person, or a service account of their pipeline, add it"))
}
