//! Behind which bulkhead a job stands: a provider that hangs keeps its own runs waiting, and nobody else's.
//!
//! What is asked of a provider without changing anything (what became of a run, the plan of a schedule's next run) stands
//! behind a second one: it waits neither for runs of its own provider that hang, nor for another provider's.

use guichet_contract::ActionId;

/// Of the runs that this provider performs.
pub fn of_runs(provider: &str) -> String {
    provider.to_owned()
}

/// Of what this provider is asked. No provider's name has a slash.
pub fn of_questions(provider: &str) -> String {
    format!("{provider}/questions")
}

pub(crate) fn of_runs_of(action: &ActionId) -> Option<String> {
    Some(of_runs(action.provider()))
}

pub(crate) fn of_questions_about(action: &ActionId) -> Option<String> {
    Some(of_questions(action.provider()))
}
