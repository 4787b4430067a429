//! A question in Cedar's terms: as few entities as the policies can reach.
//!
//! The principal with its teams, the resource with its prefixes, the owner with its parents, the action with its
//! groups: at most six entities, the teams and prefixes only as names. Policies are validated not to reach further
//! (`MAX_STEPS`), so a question needs neither the whole registry nor a look-up while it is answered.

use std::collections::{HashMap, HashSet};

use cedar_policy::{
    Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, Request, RestrictedExpression,
};
use guichet_contract::{Principal, PrincipalKind};

use crate::{Registry, policies::Slice, registry::UNOWNED, resource::prefixes};

/// The entity types, parsed once.
pub(crate) struct Names {
    person: EntityTypeName,
    service_account: EntityTypeName,
    ci_job: EntityTypeName,
    team: EntityTypeName,
    resource: EntityTypeName,
    action: EntityTypeName,
}

impl Names {
    pub(crate) fn new() -> Result<Self, String> {
        let name = |text: &str| text.parse().map_err(|error| format!("{text}: {error}"));
        Ok(Self {
            person: name("Person")?,
            service_account: name("ServiceAccount")?,
            ci_job: name("CiJob")?,
            team: name("Team")?,
            resource: name("Resource")?,
            action: name("Action")?,
        })
    }

    pub(crate) fn action(&self, id: &str) -> EntityUid {
        uid(&self.action, id)
    }

    fn principal(&self, principal: &Principal) -> EntityUid {
        let kind = match principal.kind {
            PrincipalKind::Person => &self.person,
            PrincipalKind::ServiceAccount => &self.service_account,
            PrincipalKind::CiJob => &self.ci_job,
        };
        uid(kind, &principal.name)
    }
}

/// What Cedar is asked.
pub(crate) struct Asked {
    pub(crate) request: Request,
    pub(crate) entities: Entities,
}

/// Puts a question in Cedar's terms. The error says what could not be put so, which refuses.
pub(crate) fn ask(
    names: &Names,
    registry: &Registry,
    slice: &Slice,
    action: &str,
    principal: &Principal,
    resource: &str,
    context: Vec<(String, RestrictedExpression)>,
) -> Result<Asked, String> {
    let principal_uid = names.principal(principal);
    let teams = registry.with_parents(&principal.teams);
    let mut attributes =
        HashMap::from([("name".to_owned(), RestrictedExpression::new_string(principal.name.clone()))]);
    if let Some(agent) = &principal.agent {
        attributes.insert("agent".to_owned(), RestrictedExpression::new_string(agent.clone()));
    }
    let parents = teams.into_iter().map(|team| uid(&names.team, team)).collect();
    let principal =
        Entity::new(principal_uid.clone(), attributes, parents).map_err(|error| error.to_string())?;

    let owner = registry.owner_of(resource).unwrap_or(UNOWNED);
    let owner_uid = uid(&names.team, owner);
    let owner_parents: HashSet<EntityUid> = registry
        .with_parents([&owner.to_owned()])
        .into_iter()
        .filter(|team| *team != owner)
        .map(|team| uid(&names.team, team))
        .collect();

    let resource_uid = uid(&names.resource, resource);
    let attributes = HashMap::from([
        ("path".to_owned(), RestrictedExpression::new_string(resource.to_owned())),
        ("owner".to_owned(), RestrictedExpression::new_entity_uid(owner_uid.clone())),
    ]);
    let parents = prefixes(resource).map(|prefix| uid(&names.resource, prefix)).collect();
    let resource =
        Entity::new(resource_uid.clone(), attributes, parents).map_err(|error| error.to_string())?;

    let action_uid = names.action(action);
    let entities = slice.groups.iter().cloned().map(Entity::with_uid).chain([
        Entity::new_no_attrs(action_uid.clone(), slice.groups.iter().cloned().collect()),
        principal,
        resource,
        Entity::new_no_attrs(owner_uid, owner_parents),
    ]);
    let entities = Entities::from_entities(entities, None).map_err(|error| error.to_string())?;
    let context = Context::from_pairs(context).map_err(|error| error.to_string())?;
    // Not checked against the schema once more: the context is made by the shapes the schema was made of.
    let request = Request::new(principal_uid, action_uid, resource_uid, context, None)
        .map_err(|error| error.to_string())?;
    Ok(Asked { request, entities })
}

fn uid(kind: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id))
}
