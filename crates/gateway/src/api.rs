//! One list of endpoints, from which both the router and the OpenAPI 3.1 document are made.

use std::sync::Arc;

use axum::{Router, routing::MethodRouter};
use guichet_operations::IDEMPOTENCY_KEY_MAX;
use http::Method;
use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use crate::state::Gateway;

type SchemaOf = fn(&mut SchemaGenerator) -> Value;

/// One route: what answers, and what is said of it.
pub struct Endpoint {
    method: Method,
    path: &'static str,
    operation: &'static str,
    summary: &'static str,
    handler: MethodRouter<Arc<Gateway>>,
    body: Option<SchemaOf>,
    query: Option<SchemaOf>,
    answers: Vec<Answer>,
    open: bool,
    /// What a repeated `Idempotency-Key` answers, where one is taken.
    repeated: Option<&'static str>,
}

struct Answer {
    status: u16,
    description: &'static str,
    kind: &'static str,
    schema: Option<SchemaOf>,
}

fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    generator.subschema_for::<T>().into()
}

impl Endpoint {
    /// A route, by the verb's one name.
    pub fn new(
        method: Method,
        path: &'static str,
        operation: &'static str,
        summary: &'static str,
        handler: MethodRouter<Arc<Gateway>>,
    ) -> Self {
        Self {
            method,
            path,
            operation,
            summary,
            handler,
            body: None,
            query: None,
            answers: Vec::new(),
            open: false,
            repeated: None,
        }
    }
    /// Its method.
    pub(crate) fn method(&self) -> &Method {
        &self.method
    }
    /// Its path template.
    pub(crate) fn path(&self) -> &'static str {
        self.path
    }
    /// Whether a query is refused: it takes none. What anybody may ask is also asked by balancers and caches, which add
    /// queries of their own; nothing is done there that a query could have meant otherwise.
    pub(crate) fn refuses_queries(&self) -> bool {
        self.query.is_none() && !(self.open && self.method == Method::GET)
    }
    /// It takes this JSON body.
    #[must_use]
    pub fn takes<T: JsonSchema>(mut self) -> Self {
        self.body = Some(schema_of::<T>);
        self
    }
    /// It takes these query parameters.
    #[must_use]
    pub fn query<T: JsonSchema>(mut self) -> Self {
        self.query = Some(schema_of::<T>);
        self
    }
    /// It answers this as JSON.
    #[must_use]
    pub fn answers<T: JsonSchema>(mut self, status: u16, description: &'static str) -> Self {
        self.answers.push(Answer {
            status,
            description,
            kind: "application/json",
            schema: Some(schema_of::<T>),
        });
        self
    }
    /// It answers something else than JSON, or nothing (empty `kind`).
    #[must_use]
    pub fn answers_as(mut self, status: u16, description: &'static str, kind: &'static str) -> Self {
        self.answers.push(Answer { status, description, kind, schema: None });
        self
    }
    /// Nobody needs to be signed in.
    #[must_use]
    pub fn open(mut self) -> Self {
        self.open = true;
        self
    }
    /// It takes an `Idempotency-Key`; the same one does it once. `repeated`: what it answers then.
    #[must_use]
    pub fn idempotent(mut self, repeated: &'static str) -> Self {
        self.repeated = Some(repeated);
        self
    }

    fn describe(&self, generator: &mut SchemaGenerator) -> Value {
        let mut parameters: Vec<Value> = path_parameters(self.path)
            .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}))
            .collect();
        if let Some(query) = self.query {
            parameters.extend(query_parameters(&query(generator), generator));
        }
        if let Some(repeated) = self.repeated {
            let description = format!(
                "1–{IDEMPOTENCY_KEY_MAX} characters; the same key does it once, and then answers {repeated}"
            );
            parameters.push(json!({"name": "Idempotency-Key", "in": "header", "required": false,
                "description": description,
                "schema": {"type": "string", "minLength": 1, "maxLength": IDEMPOTENCY_KEY_MAX}}));
        }
        let mut responses = Map::new();
        for answer in &self.answers {
            let mut response = json!({"description": answer.description});
            if !answer.kind.is_empty() {
                let schema =
                    answer.schema.map_or_else(|| json!({"type": "string"}), |schema| schema(generator));
                response["content"] = json!({(answer.kind): {"schema": schema}});
            }
            responses.insert(answer.status.to_string(), response);
        }
        responses.insert(
            "default".into(),
            json!({"description": "A problem (RFC 9457); `code` is stable",
            "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}}),
        );
        let mut operation =
            json!({"operationId": self.operation, "summary": self.summary, "responses": responses});
        if !parameters.is_empty() {
            operation["parameters"] = Value::Array(parameters);
        }
        if let Some(body) = self.body {
            let schema = body(generator);
            // An absent body reads as an empty object.
            let required = resolved(&schema, generator).get("required").and_then(Value::as_array);
            let required = required.is_some_and(|members| !members.is_empty());
            operation["requestBody"] =
                json!({"required": required, "content": {"application/json": {"schema": schema}}});
        }
        if self.open {
            operation["security"] = json!([]);
        }
        operation
    }
}

fn path_parameters(path: &str) -> impl Iterator<Item = &str> {
    path.split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| name.trim_start_matches('*'))
}

/// What a reference refers to.
fn resolved<'a>(schema: &'a Value, generator: &'a SchemaGenerator) -> &'a Value {
    let name = schema.get("$ref").and_then(Value::as_str).and_then(|reference| reference.rsplit('/').next());
    name.and_then(|name| generator.definitions().get(name)).unwrap_or(schema)
}

fn query_parameters(schema: &Value, generator: &SchemaGenerator) -> Vec<Value> {
    let properties = resolved(schema, generator).get("properties").and_then(Value::as_object);
    properties
        .into_iter()
        .flatten()
        .map(|(name, schema)| {
            json!({"name": name, "in": "query", "required": false, "schema": schema,
                "description": schema.get("description").cloned().unwrap_or_default()})
        })
        .collect()
}

/// The router of these endpoints.
pub(crate) fn router(endpoints: Vec<Endpoint>) -> Router<Arc<Gateway>> {
    endpoints
        .into_iter()
        .fold(Router::new(), |router, endpoint| router.route(endpoint.path, endpoint.handler))
}

/// The OpenAPI 3.1 document of these endpoints.
pub(crate) fn document(endpoints: &[Endpoint], version: &str) -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.definitions_path = "/components/schemas".into();
    let mut generator = settings.into_generator();
    generator.subschema_for::<guichet_contract::Problem>();
    let mut paths: Map<String, Value> = Map::new();
    for endpoint in endpoints {
        let described = endpoint.describe(&mut generator);
        let path = endpoint.path.replace("{*", "{");
        let entry = paths.entry(path).or_insert_with(|| json!({}));
        entry[endpoint.method.as_str().to_lowercase()] = described;
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Guichet gateway",
            "version": version,
            "description": "One door for every action: identity, input check, policy, approval, audit.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": generator.definitions(),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    })
}
