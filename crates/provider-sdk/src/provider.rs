//! A provider: a name and its actions.

use std::{fmt, sync::Arc};

use guichet_contract::{Clock, Plan, SystemClock};
use schemars::{JsonSchema, SchemaGenerator};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    context::Context,
    declare::{Declared, Declaring},
    document,
    error::ActionError,
    keys::Keys,
    mounted::Mounted,
    prepared::Prepared,
    recall::Recalled,
    schema,
    serve::{self, ServeError},
    settings::Settings,
};

/// A service that owns actions and performs them.
pub struct Provider {
    pub(crate) name: String,
    pub(crate) title: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) version: String,
    pub(crate) actions: Vec<Declared>,
    pub(crate) generator: SchemaGenerator,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) body_limit: usize,
    pub(crate) calls_at_once: usize,
    pub(crate) one_process: bool,
    pub(crate) left_out: Vec<String>,
}

/// A provider without actions. The name is the audience of the gateway's tokens: lower-case letters, digits
/// and dashes, the same as in the gateway's settings.
pub fn provider(name: impl Into<String>) -> Provider {
    Provider {
        name: name.into(),
        title: None,
        description: None,
        version: "1".to_owned(),
        actions: Vec::new(),
        generator: schema::generator(),
        clock: Arc::new(SystemClock),
        body_limit: 1 << 20,
        calls_at_once: 256,
        one_process: false,
        left_out: Vec::new(),
    }
}

impl Provider {
    /// Under another name, when a gateway has several of its kind.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// What it is called in lists.
    #[must_use]
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = Some(title.into());
        self
    }

    /// What it is for, in CommonMark.
    #[must_use]
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }

    /// The version of its document.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = version.into();
        self
    }

    /// The largest body a call may have, bytes (1 MiB when never called). A larger one is refused with 413.
    #[must_use]
    pub fn body_limit(mut self, bytes: usize) -> Self {
        self.body_limit = bytes;
        self
    }

    /// How many calls are performed at once (256 when never called), at least 1. One more is refused with 503.
    #[must_use]
    pub fn calls_at_once(mut self, calls: usize) -> Self {
        self.calls_at_once = calls.max(1);
        self
    }

    /// Only one process answers for this provider. Then, and only then, its memory can tell the gateway that a call never
    /// arrived; with two of them, the other may have had it.
    #[must_use]
    pub fn one_process(mut self) -> Self {
        self.one_process = true;
        self
    }

    /// What it would have offered, had it been right: a sentence each, for whoever made it. They are shown where the gateway
    /// tells how its providers stand; the first 1,000.
    #[must_use]
    pub fn left_out(mut self, sentences: impl IntoIterator<Item = String>) -> Self {
        self.left_out = sentences.into_iter().take(1_000).collect();
        self
    }

    /// Another clock, for tests.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Declares an action: its `operationId` and the function that performs it.
    ///
    /// The types of the function are the action's input (a struct) and result. Until told otherwise it is a
    /// change, `POST /actions/{name}` with the input as JSON body.
    pub fn action<F, Fut, I, O>(self, name: impl Into<String>, perform: F) -> Declaring<I>
    where
        F: Fn(Context, I) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<O, ActionError>> + Send + 'static,
        I: DeserializeOwned + JsonSchema + Send + 'static,
        O: Serialize + JsonSchema + 'static,
    {
        Declaring::new(self, name.into(), perform)
    }

    /// Declares an action whose input and result are known as JSON Schema alone, because no Rust type stands behind them: it
    /// was read in a file, or made from another system's description. All else is as for [`action`](Self::action).
    ///
    /// `input` is the schema (2020-12) of an object, written out in place, with `properties`; members beyond those are refused
    /// unless it says otherwise. A member may have `x-guichet: {sensitive, name}`. `output` is the schema of the result;
    /// `true` for any.
    pub fn action_with_schema<F, Fut>(
        self,
        name: impl Into<String>,
        input: Value,
        output: Value,
        perform: F,
    ) -> Declaring<Value>
    where
        F: Fn(Context, Value) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Value, ActionError>> + Send + 'static,
    {
        Declaring::with_schema(self, name.into(), input, output, perform)
    }

    /// The OpenAPI 3.1 document that the gateway reads.
    pub fn document(&self) -> Value {
        document::of(self)
    }

    /// What is wrong with the declarations: a template that names no member, an operation declared twice …
    /// A test that calls this finds it before a gateway does.
    pub fn check(&self) -> Result<(), Mistakes> {
        Mistakes::none_or(document::mistakes(self))
    }

    /// Ready to answer calls. A provider with [`Mistakes`] answers every call with them.
    pub fn prepare(self, keys: Keys) -> Prepared {
        Prepared::new(self, keys)
    }

    /// As a router, to be served by another program or called in process. It runs what it spawns on the
    /// present Tokio runtime; take [`Provider::prepare`] where the program waits for running changes at its end.
    pub fn router(self, keys: Keys) -> axum::Router {
        self.prepare(keys).router()
    }

    /// To be served by this program beside its own routes, on its own port; registered with the gateway when the settings
    /// have a token.
    ///
    /// # Errors
    /// [`Mistakes`] in its declarations.
    pub fn mount(self, settings: Settings) -> Result<Mounted, ServeError> {
        Mounted::new(self.prepare(settings.keys), settings.registration, settings.listen)
    }

    /// Serves, and registers with the gateway when the settings have a token, until SIGTERM or Ctrl-C; then takes leave and
    /// finishes what is under way (at most 30 s).
    pub async fn serve(self, settings: Settings) -> Result<(), ServeError> {
        serve::serve(self, settings).await
    }
}

/// Handlers as they are kept: from JSON to JSON.
pub(crate) type Perform = Arc<
    dyn Fn(Context, Value) -> futures_util::future::BoxFuture<'static, Result<Value, ActionError>>
        + Send
        + Sync,
>;
/// Planners as they are kept.
pub(crate) type MakePlan = Arc<
    dyn Fn(Context, Value) -> futures_util::future::BoxFuture<'static, Result<Plan, ActionError>>
        + Send
        + Sync,
>;

/// What asks others about a change, as it is kept.
pub(crate) type Recall = Arc<
    dyn Fn(Context, Value) -> futures_util::future::BoxFuture<'static, Result<Recalled, ActionError>>
        + Send
        + Sync,
>;

/// What is wrong with a provider's declarations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes(pub Vec<String>);

impl Mistakes {
    pub(crate) fn none_or(mistakes: Vec<String>) -> Result<(), Self> {
        if mistakes.is_empty() { Ok(()) } else { Err(Self(mistakes)) }
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the provider is declared wrongly: {}", self.0.join("; "))
    }
}

impl std::error::Error for Mistakes {}
