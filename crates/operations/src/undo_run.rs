//! A run that is done is undone by another: the inverse that its action names, through the same door.

use std::sync::Arc;

use guichet_admission::{Attempt, Call, CompiledAction, Refusal, World};
use guichet_contract::{ActionId, Problem, RecordVerdict, Run, RunState, Verb, code};
use serde_json::{Map, Value, json};

use crate::{
    platform::Platform,
    read_runs,
    submit_run::{self, Manner, Submitted},
};

/// The inverse of a run, and the input it would take. `None` where the run is not done, its action names no inverse, or
/// something the inverse needs is not in the run.
pub(crate) fn offer(world: &World, run: &Run) -> Option<(Arc<CompiledAction>, Value)> {
    if run.state != RunState::Succeeded {
        return None;
    }
    let action = &world.catalogue.action(run.action.as_str())?.action;
    let undo = action.undo.as_ref()?;
    let inverse = world.catalogue.action(ActionId::new(&action.provider, &undo.operation).as_str())?;
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
    Some((Arc::clone(inverse), Value::Object(input)))
}

/// Submits the inverse of a run. It is a run like any other: validated, authorized, planned, approved where that is
/// needed.
///
/// # Errors
/// Unknown run; one that is not done or has no inverse; whatever the door says of the inverse.
pub async fn undo_run(
    platform: &Arc<Platform>,
    call: &Call,
    run: &str,
    reason: Option<String>,
    idempotency_key: Option<String>,
) -> Result<Submitted, Refusal> {
    let caller = read_runs::reader(platform, call).await?;
    let run = read_runs::find(platform, &caller, run, Verb::SubmitRun).await?;
    let Some((inverse, input)) = offer(&platform.door.world(), &run) else {
        let mut record = platform.door.record_of(&caller, Verb::SubmitRun, RecordVerdict::Refused);
        guichet_admission::door::describe_run(&mut record, &run);
        record.detail = Some("to be undone".to_owned());
        let (code, why) = if run.state == RunState::Succeeded {
            (code::NO_INVERSE, format!("action {} names no inverse", run.action))
        } else {
            (code::WRONG_STATE, format!("it is {}, and only what succeeded can be undone", run.state))
        };
        let problem =
            Problem::new(code, why).next("look for an action that puts it right: `guichet actions search`");
        return Err(platform.door.refuse(record, problem).await);
    };
    let attempt = Attempt { action: inverse.action.id.to_string(), input, reason };
    let manner = Manner { idempotency_key, undoes: Some(run.id), ..Manner::default() };
    submit_run::submit_run(platform, call, attempt, manner).await
}
