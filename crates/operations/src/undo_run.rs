//! A run that is done is undone by another: the inverse that its action names, through the same door.

use std::sync::Arc;

use guichet_admission::{ActionCall, Admitted, Attempt, Call, CompiledAction, Refusal, World};
use guichet_contract::{ActionId, Principal, Problem, RecordVerdict, Run, RunState, Verb, code};
use serde_json::{Map, Value, json};

use crate::{
    platform::{Platform, store_problem},
    read_runs,
    submit_run::{self, Manner, Submitted},
};

/// The inverse of a run for this person, and the input it would take. `None` where it cannot be undone by them, or is
/// undone already.
pub(crate) fn offer(world: &World, run: &Run, to: &Principal) -> Option<(Arc<CompiledAction>, Value)> {
    if run.undone_by.is_some() {
        return None;
    }
    inverse(world, run, to).ok()
}

/// The same, also where it is undone already.
///
/// # Errors
/// The run is not done, its action is not declared as it was or names no inverse, or what it brought is its requester's
/// alone.
fn inverse(world: &World, run: &Run, to: &Principal) -> Result<(Arc<CompiledAction>, Value), Problem> {
    const SEARCH: &str = "look for an action that puts it right: `guichet actions search`";
    if run.state != RunState::Succeeded {
        let why = format!("it is {}, and only what succeeded can be undone", run.state);
        return Err(Problem::new(code::WRONG_STATE, why).next(SEARCH));
    }
    let action = world.catalogue.action(run.action.as_str()).map(|action| &action.action);
    let Some(action) = action.filter(|action| action.version == run.action_version) else {
        // What it took and gave may mean something else now, and so may the inverse.
        let why = format!("action {} is no longer declared as it was when this was done", run.action);
        return Err(Problem::new(code::NO_INVERSE, why).next(SEARCH));
    };
    if action.sensitive && !run.requested_by.is_same_actor(to) {
        let why =
            format!("what {} brought is for {} alone, who asked for it", run.action, run.requested_by.name);
        return Err(
            Problem::new(code::REFUSED, why).next(format!("ask {} to undo it", run.requested_by.name))
        );
    }
    let undo = action.undo.as_ref();
    let found = undo.and_then(|undo| {
        let inverse = ActionId::new(&action.provider, &undo.operation);
        world.catalogue.action(inverse.as_str()).map(|inverse| (undo, inverse))
    });
    let Some((undo, inverse)) = found else {
        let why = match undo {
            Some(undo) => format!("{}, its inverse, is not offered now", undo.operation),
            None => format!("action {} names no inverse", run.action),
        };
        return Err(Problem::new(code::NO_INVERSE, why).next(SEARCH));
    };
    let facts: Map<String, Value> = run
        .plan
        .iter()
        .flat_map(|plan| &plan.facts)
        .map(|fact| (fact.name.clone(), fact.value.clone()))
        .collect();
    let result = run.outcome.as_ref().and_then(|outcome| outcome.result.clone());
    let parts = json!({"input": run.input, "plan": facts, "result": result});
    let mut input = Map::new();
    for (name, pointer) in &undo.with {
        // What the run does not have is left out: the inverse's own schema says whether it can do without.
        if let Some(value) = parts.pointer(pointer).filter(|value| !value.is_null()) {
            input.insert(name.clone(), value.clone());
        }
    }
    Ok((Arc::clone(inverse), Value::Object(input)))
}

/// Submits the inverse of a run. It is a run like any other: validated, authorized, planned, approved where that is
/// needed. A run is undone once: again only when what was to undo it came to nothing.
///
/// # Errors
/// Unknown run; one that cannot be undone or is undone; whatever the door says of the inverse.
pub async fn undo_run(
    platform: &Arc<Platform>,
    call: &Call,
    run: &str,
    reason: Option<String>,
    idempotency_key: Option<String>,
) -> Result<Submitted, Refusal> {
    let caller = read_runs::reader(platform, call).await?;
    let run = read_runs::find(platform, &caller, run, Verb::SubmitRun).await?;
    let (inverse, input) = match inverse(&platform.door.world(), &run, &caller.principal) {
        Ok(found) => found,
        Err(problem) => {
            let mut record = platform.door.record_of(&caller, Verb::SubmitRun, RecordVerdict::Refused);
            guichet_admission::door::describe_run(&mut record, &run);
            record.detail = Some("to be undone".to_owned());
            return Err(platform.door.refuse(record, problem).await);
        }
    };
    let attempt = Attempt { action: inverse.action.id.to_string(), input, reason };
    let manner = Manner { idempotency_key, undoes: Some(run.id), ..Manner::default() };
    submit_run::submit_run(platform, call, attempt, manner).await
}

/// Told before the provider is asked for a plan. That nobody was quicker is seen to by the store.
pub(crate) async fn check_not_undone(
    platform: &Platform,
    admitted: &Admitted<ActionCall>,
    manner: &Manner,
) -> Result<(), Refusal> {
    let Some(undone) = manner.undoes else { return Ok(()) };
    let problem = match platform.store.run(undone).await {
        Ok(Some(Run { undone_by: Some(by), .. })) => {
            let why = format!("run {} undoes run {} already", by.short(), undone.short());
            let next = format!("see what became of it: `guichet runs show {}`", by.short());
            Problem::new(code::WRONG_STATE, why).next(next)
        }
        Ok(_) => return Ok(()),
        Err(error) => store_problem(&error),
    };
    Err(platform.door.refuse(submit_run::refused(platform, admitted), problem).await)
}
