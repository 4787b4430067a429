//! Declaring one action: what it does, what people must know, who must approve.

use std::{collections::BTreeMap, marker::PhantomData, sync::Arc};

use guichet_contract::{
    Effect, Plan,
    action::{Options, Place, View},
};
use http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

use crate::{
    approval::ApprovalBy,
    context::Context,
    error::ActionError,
    keys::Keys,
    mounted::Mounted,
    prepared::Prepared,
    provider::{MakePlan, Mistakes, Perform, Provider, Recall},
    recall::Recalled,
    routes::placeholders,
    schema,
    serve::ServeError,
    settings::Settings,
    timeout::Timeout,
};

/// The input of an action that takes none.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
pub struct NoInput {}

/// Hands `state` to a handler: `.action("x", with(&database, x))` for `async fn x(Database, Context, Input)`.
pub fn with<S, I, H, Fut>(
    state: &S,
    handler: H,
) -> impl Fn(Context, I) -> Fut + Send + Sync + 'static + use<S, I, H, Fut>
where
    S: Clone + Send + Sync + 'static,
    H: Fn(S, Context, I) -> Fut + Send + Sync + 'static,
{
    let state = state.clone();
    move |context, input| handler(state.clone(), context, input)
}

/// One action as it was declared.
pub(crate) struct Declared {
    pub(crate) operation: String,
    pub(crate) perform: Perform,
    pub(crate) plan: Option<MakePlan>,
    pub(crate) recall: Option<Recall>,
    pub(crate) facts: BTreeMap<String, Value>,
    pub(crate) input: Map<String, Value>,
    pub(crate) output: Value,
    pub(crate) effect: Option<Effect>,
    pub(crate) route: Option<(Method, String)>,
    pub(crate) command: Option<String>,
    pub(crate) title: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) approval: Option<ApprovalBy>,
    pub(crate) resource: Option<String>,
    pub(crate) concurrency: Option<String>,
    pub(crate) cool_down: Option<String>,
    pub(crate) undo: Option<Value>,
    pub(crate) confirm: bool,
    pub(crate) long: bool,
    pub(crate) resumable: bool,
    pub(crate) idempotent: bool,
    pub(crate) timeout_seconds: u64,
    pub(crate) sensitive: bool,
    pub(crate) view: Option<View>,
    pub(crate) options: BTreeMap<String, Options>,
    pub(crate) examples: Vec<(String, Value)>,
    pub(crate) mistakes: Vec<String>,
}

impl Declared {
    pub(crate) fn effect(&self) -> Effect {
        self.effect.unwrap_or_else(|| match self.route.as_ref().map(|(method, _)| method) {
            Some(method) if *method == Method::GET => Effect::Read,
            Some(method) if *method == Method::DELETE => Effect::Destroy,
            _ => Effect::Change,
        })
    }

    pub(crate) fn route(&self) -> (Method, String) {
        self.route.clone().unwrap_or_else(|| match self.effect() {
            Effect::Read => (Method::GET, format!("/{}", self.operation)),
            Effect::Change | Effect::Destroy => (Method::POST, format!("/actions/{}", self.operation)),
        })
    }

    /// Where a member of the input travels.
    pub(crate) fn place_of(&self, member: &str) -> Place {
        let (method, path) = self.route();
        if placeholders(&path).any(|name| name == member) {
            Place::Path
        } else if matches!(method, Method::GET | Method::DELETE) {
            Place::Query
        } else {
            Place::BodyMember
        }
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.input.get("properties").and_then(Value::as_object).into_iter().flatten()
    }

    pub(crate) fn is_required(&self, member: &str) -> bool {
        let required = self.input.get("required").and_then(Value::as_array);
        required.is_some_and(|required| required.iter().any(|name| name == member))
    }

    /// The input's schema as the gateway and the provider both check it: with options, and without `null`
    /// where a member travels as text.
    pub(crate) fn input_schema(&self) -> Map<String, Value> {
        let mut schema = self.input.clone();
        for (name, member) in
            schema.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten()
        {
            if matches!(self.place_of(name), Place::Path | Place::Query) {
                schema::without_null(member);
            }
            if let Some(options) = self.options.get(name) {
                if !member.is_object() {
                    *member = json!({});
                }
                member["x-guichet"]["options"] = json!(options);
            }
        }
        schema
    }
}

/// An action in the making; the next `.action(…)`, or serving the provider, ends it.
#[must_use = "an action that is not added to its provider is offered to nobody"]
pub struct Declaring<I> {
    provider: Provider,
    current: Declared,
    input: PhantomData<fn(I)>,
}

impl Declared {
    /// A change that says nothing else of itself.
    fn new(
        operation: String,
        input: Result<Map<String, Value>, String>,
        output: Value,
        perform: Perform,
    ) -> Self {
        let mut mistakes = Vec::new();
        let input = input.unwrap_or_else(|mistake| {
            mistakes.push(mistake);
            Map::new()
        });
        Self {
            operation,
            perform,
            plan: None,
            recall: None,
            facts: BTreeMap::new(),
            input,
            output,
            effect: None,
            route: None,
            command: None,
            title: None,
            description: None,
            approval: None,
            resource: None,
            concurrency: None,
            cool_down: None,
            undo: None,
            confirm: false,
            long: false,
            resumable: false,
            idempotent: false,
            timeout_seconds: 30,
            sensitive: false,
            view: None,
            options: BTreeMap::new(),
            examples: Vec::new(),
            mistakes,
        }
    }
}

impl Declaring<Value> {
    pub(crate) fn with_schema<F, Fut>(
        provider: Provider,
        operation: String,
        input: Value,
        output: Value,
        perform: F,
    ) -> Self
    where
        F: Fn(Context, Value) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Value, ActionError>> + Send + 'static,
    {
        let current = Declared::new(operation, schema::of_value(input), output, keep(perform));
        Self { provider, current, input: PhantomData }
    }
}

impl<I: DeserializeOwned + JsonSchema + Send + 'static> Declaring<I> {
    pub(crate) fn new<F, Fut, O>(mut provider: Provider, operation: String, perform: F) -> Self
    where
        F: Fn(Context, I) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<O, ActionError>> + Send + 'static,
        O: Serialize + JsonSchema + 'static,
    {
        let input = schema::of_input::<I>(&mut provider.generator);
        let output = provider.generator.subschema_for::<O>().to_value();
        let current = Declared::new(operation, input, output, keep(perform));
        Self { provider, current, input: PhantomData }
    }

    /// What running it would do, told without doing it. Takes the same input.
    pub fn plan<F, Fut>(mut self, plan: F) -> Self
    where
        F: Fn(Context, I) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Plan, ActionError>> + Send + 'static,
    {
        let plan = Arc::new(plan);
        self.current.plan = Some(Arc::new(move |context, input| {
            let plan = Arc::clone(&plan);
            Box::pin(async move { plan(context, read_input(input)?).await })
        }));
        self
    }

    /// What else remembers its changes when this process does not, and is asked what became of one: with the same input, the same
    /// [`Context::run`], and nobody who waits for more than an answer. It must begin nothing.
    pub fn recall<F, Fut>(mut self, recall: F) -> Self
    where
        F: Fn(Context, I) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Recalled, ActionError>> + Send + 'static,
    {
        let recall = Arc::new(recall);
        self.current.recall = Some(Arc::new(move |context, input| {
            let recall = Arc::clone(&recall);
            Box::pin(async move { recall(context, read_input(input)?).await })
        }));
        self
    }

    /// Policies may read this fact of its plans, as `context.plan["…"]`: of this type (`bool`, `i64`, `String`, or a list of
    /// one of them). A plan need not tell it.
    pub fn fact<T: JsonSchema>(mut self, name: impl Into<String>) -> Self {
        let mut schema = self.provider.generator.subschema_for::<T>().to_value();
        schema::bound_integers(&mut schema);
        let _ = self.current.facts.insert(name.into(), schema);
        self
    }

    /// It looks and changes nothing: `GET /{name}`, the input in the query.
    pub fn read(mut self) -> Self {
        self.current.effect = Some(Effect::Read);
        self
    }

    /// It changes something that can be changed back. So is every action that does not say otherwise.
    pub fn change(mut self) -> Self {
        self.current.effect = Some(Effect::Change);
        self
    }

    /// It removes something.
    pub fn destroy(mut self) -> Self {
        self.current.effect = Some(Effect::Destroy);
        self
    }

    /// Its own method and path: `.route("GET", "/api/v1/instances/{identifier}/activity")`. Members named in
    /// braces travel in the path, the others in the query (GET, DELETE) or the JSON body.
    pub fn route(mut self, method: &str, path: impl Into<String>) -> Self {
        match method.parse::<Method>() {
            Ok(method) if ["GET", "POST", "PUT", "PATCH", "DELETE"].contains(&method.as_str()) => {
                self.current.route = Some((method, path.into()));
            }
            _ => self.current.mistakes.push(format!("`{method}` is no method an action can have")),
        }
        self
    }

    /// The words people type after `guichet`: `rds cancel-query`.
    pub fn command(mut self, words: impl Into<String>) -> Self {
        self.current.command = Some(words.into());
        self
    }

    /// One line, for lists.
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.current.title = Some(title.into());
        self
    }

    /// More, in CommonMark, for help.
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.current.description = Some(description.into());
        self
    }

    /// Who must approve before it runs: [`team`](crate::team) or [`owner`](crate::owner).
    pub fn approval(mut self, by: ApprovalBy) -> Self {
        self.current.mistakes.extend(by.mistake());
        self.current.approval = Some(by);
        self
    }

    /// What it acts on, with members of the input in braces: `postgres/{identifier}`.
    pub fn resource(mut self, template: impl Into<String>) -> Self {
        self.current.resource = Some(template.into());
        self
    }

    /// One run at a time for each value of this template.
    pub fn concurrency(mut self, template: impl Into<String>) -> Self {
        self.current.concurrency = Some(template.into());
        self
    }

    /// Its start is delayed after everybody agreed, so that it can still be cancelled: `"10m"` or a `Duration`, 1 s to
    /// 7 d.
    pub fn cool_down(mut self, time: impl Into<Timeout>) -> Self {
        match time.into().seconds(1, 604_800) {
            Ok(seconds) => self.current.cool_down = Some(Timeout::text(seconds)),
            Err(mistake) => self.current.mistakes.push(format!("cool_down: {mistake}")),
        }
        self
    }

    /// The operation of this provider that undoes it, and where each of its inputs comes from: a JSON pointer into
    /// `{"input": …, "plan": {facts by name}, "result": …}`, such as `("topic", "/input/topic")`.
    pub fn undo<'a>(
        mut self,
        operation: impl Into<String>,
        with: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let with: BTreeMap<&str, &str> = with.into_iter().collect();
        self.current.undo = Some(serde_json::json!({"operation": operation.into(), "with": with}));
        self
    }

    /// Whoever asks for it on a terminal is asked first whether they mean it, as before whatever removes something. A
    /// courtesy to them: it keeps nobody from it, which is what [`approval`](Self::approval) and policies are for.
    pub fn confirm(mut self) -> Self {
        self.current.confirm = true;
        self
    }

    /// It takes its time and tells how it goes: [`Context::log`], [`Context::progress`], [`Context::step`].
    pub fn long(mut self) -> Self {
        self.current.long = true;
        self
    }

    /// It is `long`, and its [steps](Context::step) are journaled by the gateway: when this process, the gateway, or the way
    /// between them breaks, it is called again with the same run and goes on after the last step that is durable, until its
    /// time-out. Its handler must make the same steps each time.
    pub fn resumable(mut self) -> Self {
        self.current.long = true;
        self.current.resumable = true;
        self
    }

    /// Doing it twice with the same `Idempotency-Key` ([`Context::run`]) does no harm: when an answer never comes, it is called
    /// again until its time-out.
    pub fn idempotent(mut self) -> Self {
        self.current.idempotent = true;
        self
    }

    /// How long a call may take: `"15m"` or a `Duration`, 1 s to 24 h; 30 s when never called.
    pub fn timeout(mut self, timeout: impl Into<Timeout>) -> Self {
        match timeout.into().seconds(1, 86_400) {
            Ok(seconds) => self.current.timeout_seconds = seconds,
            Err(mistake) => self.current.mistakes.push(format!("timeout: {mistake}")),
        }
        self
    }

    /// Its whole input is hidden in records and logs, where no member says otherwise.
    pub fn sensitive(mut self) -> Self {
        self.current.sensitive = true;
        self
    }

    /// How its result is drawn: [`table`](crate::table).
    pub fn view(mut self, view: impl Into<View>) -> Self {
        self.current.view = Some(view.into());
        self
    }

    /// Live values for a member of the input: [`from`](crate::from).
    pub fn options(mut self, member: impl Into<String>, from: impl Into<Options>) -> Self {
        let _ = self.current.options.insert(member.into(), from.into());
        self
    }

    /// A ready-made call for help.
    pub fn example(mut self, title: impl Into<String>, input: Value) -> Self {
        self.current.examples.push((title.into(), input));
        self
    }
}

/// What ends the declaration: the same as on [`Provider`].
impl<I> Declaring<I> {
    /// The provider with this action.
    pub fn done(self) -> Provider {
        let mut provider = self.provider;
        provider.actions.push(self.current);
        provider
    }

    /// The next action; see [`Provider::action`].
    pub fn action<F, Fut, J, O>(self, name: impl Into<String>, perform: F) -> Declaring<J>
    where
        F: Fn(Context, J) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<O, ActionError>> + Send + 'static,
        J: DeserializeOwned + JsonSchema + Send + 'static,
        O: Serialize + JsonSchema + 'static,
    {
        self.done().action(name, perform)
    }

    /// The next action; see [`Provider::action_with_schema`].
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
        self.done().action_with_schema(name, input, output, perform)
    }

    /// See [`Provider::check`].
    pub fn check(self) -> Result<Provider, Mistakes> {
        let provider = self.done();
        provider.check()?;
        Ok(provider)
    }

    /// See [`Provider::document`].
    pub fn document(self) -> Value {
        self.done().document()
    }

    /// See [`Provider::prepare`].
    pub fn prepare(self, keys: Keys) -> Prepared {
        self.done().prepare(keys)
    }

    /// See [`Provider::router`].
    pub fn router(self, keys: Keys) -> axum::Router {
        self.done().router(keys)
    }

    /// See [`Provider::mount`].
    ///
    /// # Errors
    /// As there.
    pub fn mount(self, settings: Settings) -> Result<Mounted, ServeError> {
        self.done().mount(settings)
    }

    /// See [`Provider::serve`].
    pub async fn serve(self, settings: Settings) -> Result<(), ServeError> {
        self.done().serve(settings).await
    }
}

impl<I> From<Declaring<I>> for Provider {
    fn from(declaring: Declaring<I>) -> Self {
        declaring.done()
    }
}

fn keep<F, Fut, I, O>(perform: F) -> Perform
where
    F: Fn(Context, I) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<O, ActionError>> + Send + 'static,
    I: DeserializeOwned + Send + 'static,
    O: Serialize + 'static,
{
    let perform = Arc::new(perform);
    Arc::new(move |context, input| {
        let perform = Arc::clone(&perform);
        Box::pin(async move {
            // Of a change alone somebody could take «failed» for «not done». A resumable one would end in the same each time
            // it is called again: it fails, and what its steps did is undone.
            let is_unknown = context.run().is_some() && !context.journal().is_kept();
            let result = perform(context, read_input(input)?).await?;
            serde_json::to_value(result).map_err(|error| {
                let detail = format!("done, but the result cannot be written as JSON: {error}");
                if is_unknown { ActionError::unknown(detail) } else { ActionError::failed(detail) }
            })
        })
    })
}

/// The schema was checked before; what fails here is what a schema cannot tell.
fn read_input<I: DeserializeOwned>(input: Value) -> Result<I, ActionError> {
    serde_json::from_value(input).map_err(|error| ActionError::invalid("", error.to_string()))
}
