//! Why a run, or a schedule, cannot go on at this moment: the world is another than it was, or it cannot be seen yet.

use guichet_contract::{ActionId, Problem, code};

use crate::world::World;

/// Why not.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Unfit {
    /// What was agreed to is not what would run.
    #[error("{0}")]
    Changed(Problem),
    /// Its provider has not said yet what it offers: this gateway has just started, or the provider is away. Look again.
    #[error("{0}")]
    NotYet(Problem),
}

impl From<Problem> for Unfit {
    fn from(changed: Problem) -> Self {
        Self::Changed(changed)
    }
}

impl Unfit {
    /// In words.
    pub fn into_problem(self) -> Problem {
        match self {
            Self::Changed(problem) | Self::NotYet(problem) => problem,
        }
    }

    /// Of an action that is not in the catalogue; `changed` says what it means when it really is no longer offered.
    pub(crate) fn not_offered(
        world: &World,
        action: &ActionId,
        changed: impl FnOnce(String) -> Problem,
    ) -> Self {
        match not_read_yet(world, action.as_str()) {
            Some(problem) => Self::NotYet(problem),
            None => Self::Changed(changed(format!("action {action} is no longer offered"))),
        }
    }
}

/// Whether an action that is not in the catalogue is of a provider that may well offer it.
pub(crate) fn not_read_yet(world: &World, action: &str) -> Option<Problem> {
    let (provider, _) = action.split_once('.')?;
    world.absent.contains(provider).then(|| {
        let detail = format!("provider {provider} has not said yet what it offers: it cannot be read now");
        Problem::new(code::PROVIDER_UNREACHABLE, detail)
            .next("nothing was done; try again in a moment, or ask the provider's owners")
    })
}
