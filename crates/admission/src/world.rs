//! What a decision is taken against: catalogue, policies, registry, all of one moment. Replaced as a whole.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    panic::resume_unwind,
    sync::{Arc, OnceLock},
    thread,
};

use guichet_contract::{Action, Catalogue, redact};
use guichet_rules::{Policies, Registry};
use jsonschema::{PatternOptions, Validator};

/// Everything the door decides against. Immutable; a reload makes a new one.
#[derive(Debug, Clone)]
pub struct World {
    /// staging, production …
    pub environment: String,
    /// All actions, ready to be used.
    pub catalogue: CompiledCatalogue,
    /// What is allowed.
    pub policies: Arc<Policies>,
    /// Teams, services, owners.
    pub registry: Arc<Registry>,
    /// Providers that are configured and whose document could not be read since this gateway started, or not be used: what
    /// they offer is not known, which is something else than that they offer nothing.
    pub absent: BTreeSet<String>,
}

/// All actions with their validators and paths prepared.
#[derive(Debug, Clone)]
pub struct CompiledCatalogue {
    /// As it is published.
    pub published: Arc<Catalogue>,
    by_id: HashMap<String, Arc<CompiledAction>>,
    pub(crate) paths: Paths,
}

/// An action with its validator.
#[derive(Debug)]
pub struct CompiledAction {
    /// The declaration.
    pub action: Arc<Action>,
    /// Made when it is needed first: of many actions, few are called.
    validator: OnceLock<Result<Validator, NotOffered>>,
    has_secrets: OnceLock<bool>,
}

/// An action that cannot be offered.
#[derive(Debug, Clone, thiserror::Error)]
#[error("action {action}: {message}")]
pub struct NotOffered {
    /// Which.
    pub action: String,
    /// Why.
    pub message: String,
}

impl CompiledAction {
    /// Whether a valid input may hold what must not be recorded.
    pub(crate) fn has_secrets(&self) -> bool {
        *self.has_secrets.get_or_init(|| self.action.sensitive || redact::may_hide(&self.action.input))
    }

    /// What tells whether an input is as the action takes it.
    ///
    /// # Errors
    /// A schema that does not compile; [`check_schema`] finds those before they are offered.
    pub(crate) fn validator(&self) -> Result<&Validator, NotOffered> {
        self.validator.get_or_init(|| compile_schema(&self.action)).as_ref().map_err(Clone::clone)
    }
}

impl CompiledCatalogue {
    /// Prepares every action; their schemas were found good by [`check_schema`]. An action whose path clashes with another's
    /// is named; it is offered without it.
    pub fn compile(environment: &str, actions: &[Arc<Action>]) -> (Self, Vec<NotOffered>) {
        // The digest of ten thousand actions takes as long as the rest: each on a core of its own.
        thread::scope(|scope| {
            let published = scope.spawn(|| Catalogue::new(environment, actions.iter().map(Arc::clone)));
            let (by_id, paths, refused) = prepare(actions);
            let published = published.join().unwrap_or_else(|panic| resume_unwind(panic));
            (Self { published: Arc::new(published), by_id, paths }, refused)
        })
    }

    /// The action of this id.
    pub fn action(&self, id: &str) -> Option<&Arc<CompiledAction>> {
        self.by_id.get(id)
    }
}

/// Provider → method → paths.
type Paths = HashMap<String, BTreeMap<String, matchit::Router<Arc<CompiledAction>>>>;

fn prepare(actions: &[Arc<Action>]) -> (HashMap<String, Arc<CompiledAction>>, Paths, Vec<NotOffered>) {
    let mut refused = Vec::new();
    let mut by_id = HashMap::with_capacity(actions.len());
    let mut paths = Paths::new();
    for action in actions {
        let compiled = Arc::new(CompiledAction {
            action: Arc::clone(action),
            validator: OnceLock::new(),
            has_secrets: OnceLock::new(),
        });
        let methods = match paths.get_mut(&action.provider) {
            Some(methods) => methods,
            None => paths.entry(action.provider.clone()).or_default(),
        };
        let router = methods.entry(action.http.method.clone()).or_default();
        if let Err(error) = router.insert(action.http.path.clone(), Arc::clone(&compiled)) {
            // Still offered by name; only its transparent path is not.
            refused.push(NotOffered {
                action: action.id.to_string(),
                message: format!("its path {} is not offered under /providers: {error}", action.http.path),
            });
        }
        by_id.insert(action.id.to_string(), compiled);
    }
    (by_id, paths, refused)
}

/// Whether the action's inputs can be checked at all.
///
/// # Errors
/// A schema that does not compile: the action cannot be offered.
pub fn check_schema(action: &Action) -> Result<(), NotOffered> {
    compile_schema(action).map(|_| ())
}

/// Whether texts can be held against this pattern, in the way they are when an input is checked.
///
/// # Errors
/// Why not: a mistake, or something (such as looking ahead) that takes more than linear time.
pub fn check_pattern(pattern: &str) -> Result<(), String> {
    let schema = serde_json::json!({"pattern": pattern});
    let built = jsonschema::options().offline().with_pattern_options(PatternOptions::regex()).build(&schema);
    built.map(|_| ()).map_err(|error| error.to_string())
}

fn compile_schema(action: &Action) -> Result<Validator, NotOffered> {
    // No fetching of anything (the crate is built without its retrievers), and patterns in linear time.
    jsonschema::options()
        .offline()
        .should_validate_formats(true)
        .with_pattern_options(PatternOptions::regex())
        .build(&action.input)
        .map_err(|error| NotOffered {
            action: action.id.to_string(),
            message: format!("its input schema is not usable at {}: {error}", error.schema_path()),
        })
}
