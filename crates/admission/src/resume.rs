//! A run under way goes on: it was admitted when it started, and is not asked for again.

use std::sync::Arc;

use guichet_contract::{Problem, Run, code};

use crate::{
    admitted::ActionCall,
    door::{Door, resource_of},
    unfit::Unfit,
    validate,
};

impl Door {
    /// The call of a run that has started, for calling its provider once more: to go on, to stop, to ask what became of it.
    /// Policies are not asked: they decide what begins, and half of a thing is worse than either end. Who wants it stopped
    /// cancels it.
    ///
    /// # Errors
    /// The action is no longer declared as it was when the run started. Or that this cannot be seen yet.
    pub fn resume(&self, run: &Run) -> Result<ActionCall, Unfit> {
        let world = self.world();
        let changed = |detail: String| {
            Problem::new(code::BINDING_CHANGED, detail)
                .next("look at the resource: how far it came is not known")
        };
        let Some(action) = world.catalogue.action(run.action.as_str()).map(Arc::clone) else {
            return Err(Unfit::not_offered(&world, &run.action, changed));
        };
        if action.action.version != run.action_version {
            let detail = format!("the declaration of {} has changed since the run started", run.action);
            return Err(changed(detail).into());
        }
        let input = validate::validate(&action, &run.input).map_err(|problem| changed(problem.detail))?;
        let resource = resource_of(&action, &input).map_err(|problem| changed(problem.detail))?;
        Ok(ActionCall {
            world,
            action,
            input,
            reason: run.reason.clone(),
            resource,
            owner: run.owner.clone(),
            conditions: Vec::new(),
            policies: Vec::new(),
            cool_down_seconds: 0,
            timeout_seconds: run.timeout_seconds,
        })
    }
}
