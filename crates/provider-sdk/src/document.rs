//! The provider's OpenAPI 3.1 document, and what is wrong with it.

use guichet_contract::{
    Effect, Problem,
    action::Place,
    openapi::{self, Strictness},
};
use schemars::{JsonSchema as _, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::{
    declare::Declared,
    input::InputReader,
    provider::Provider,
    routes::{Routes, placeholders},
    schema,
    timeout::Timeout,
};

/// The document.
pub(crate) fn of(provider: &Provider) -> Value {
    let mut paths = Map::new();
    for action in &provider.actions {
        let (method, path) = action.route();
        let item = paths.entry(path).or_insert_with(|| json!({}));
        item[method.as_str().to_ascii_lowercase()] = operation(action);
    }
    let mut info =
        json!({"title": provider.title.as_ref().unwrap_or(&provider.name), "version": provider.version});
    if let Some(description) = &provider.description {
        info["description"] = json!(description);
    }
    let mut said = json!({"provider": provider.name});
    if !provider.left_out.is_empty() {
        said["left_out"] = json!(provider.left_out);
    }
    json!({
        "openapi": "3.1.0",
        "info": info,
        "x-guichet": said,
        "paths": paths,
        "components": {
            "schemas": definitions(provider),
            "securitySchemes": {"gateway": {
                "type": "http", "scheme": "bearer", "bearerFormat": "PASETO v4.public",
                "description": "A token of the Guichet gateway, at most 60 s old.",
            }},
        },
        "security": [{"gateway": []}],
    })
}

/// The named types of the document.
pub(crate) fn definitions(provider: &Provider) -> Map<String, Value> {
    let mut generator: SchemaGenerator = provider.generator.clone();
    let _ = generator.subschema_for::<Problem>();
    let mut definitions = generator.definitions().clone();
    definitions.values_mut().for_each(schema::bound_integers);
    definitions
}

fn operation(action: &Declared) -> Value {
    let schema = action.input_schema();
    let mut parameters = Vec::new();
    let mut body = schema.clone();
    for (name, member) in action.members() {
        let place = action.place_of(name);
        if place == Place::BodyMember {
            continue;
        }
        remove_member(&mut body, name);
        let member = schema.get("properties").and_then(|members| members.get(name)).unwrap_or(member);
        parameters.push(parameter(action, name, place, member.clone()));
    }
    let has_body =
        body.get("properties").and_then(Value::as_object).is_some_and(|members| !members.is_empty());
    let mut operation = json!({
        "operationId": action.operation,
        "summary": action.title.as_ref().unwrap_or(&action.operation),
        "responses": {
            "200": {"description": "Done.", "content": result_content(action)},
            "default": {"description": "Not done, and why.", "content": {
                "application/problem+json": {"schema": {"$ref": format!("#/components/schemas/{}", Problem::schema_name())}},
            }},
        },
        "x-guichet": extension(action),
    });
    if let Some(description) = &action.description {
        operation["description"] = json!(description);
    }
    if !parameters.is_empty() {
        operation["parameters"] = json!(parameters);
    }
    if has_body {
        let required =
            body.get("required").and_then(Value::as_array).is_some_and(|required| !required.is_empty());
        operation["requestBody"] =
            json!({"required": required, "content": {"application/json": {"schema": body}}});
    }
    operation
}

fn result_content(action: &Declared) -> Value {
    let kind = if action.long { "text/event-stream" } else { "application/json" };
    json!({kind: {"schema": action.output}})
}

fn remove_member(schema: &mut Map<String, Value>, name: &str) {
    if let Some(members) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        let _ = members.shift_remove(name);
    }
    if let Some(required) = schema.get_mut("required").and_then(Value::as_array_mut) {
        required.retain(|required| required != name);
    }
}

fn parameter(action: &Declared, name: &str, place: Place, mut schema: Value) -> Value {
    let mut parameter = json!({
        "name": name,
        "in": if place == Place::Path { "path" } else { "query" },
        "required": place == Place::Path || action.is_required(name),
    });
    // What is said of the member is said at the parameter, where OpenAPI looks for it.
    if let Some(members) = schema.as_object_mut() {
        for keyword in ["description", "x-guichet"] {
            if let Some(value) = members.shift_remove(keyword) {
                parameter[keyword] = value;
            }
        }
    }
    if place == Place::Query {
        parameter["style"] = json!("form");
        parameter["explode"] = json!(true);
    }
    parameter["schema"] = schema;
    parameter
}

fn extension(action: &Declared) -> Value {
    let mut x = json!({"effect": action.effect()});
    let mut say = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            x[name] = value;
        }
    };
    say("command", action.command.as_ref().map(|words| json!(words)));
    say("title", action.title.as_ref().map(|title| json!(title)));
    say("approval", action.approval.as_ref().map(crate::approval::ApprovalBy::to_json));
    say("plan", action.plan.is_some().then(|| json!(true)));
    say("facts", (!action.facts.is_empty()).then(|| json!(action.facts)));
    say("resource", action.resource.as_ref().map(|template| json!(template)));
    say("concurrency", action.concurrency.as_ref().map(|template| json!(template)));
    say("cool_down", action.cool_down.as_ref().map(|time| json!(time)));
    say("undo", action.undo.clone());
    say("confirm", action.confirm.then(|| json!(true)));
    say("long", action.long.then(|| json!(true)));
    say("resumable", action.resumable.then(|| json!(true)));
    say("idempotent", action.idempotent.then(|| json!(true)));
    say("remembers", (action.effect() != Effect::Read).then(|| json!(true)));
    say("timeout", Some(json!(Timeout::text(action.timeout_seconds))));
    say("sensitive", action.sensitive.then(|| json!(true)));
    say("view", action.view.as_ref().map(|view| json!(view)));
    let examples: Vec<Value> =
        action.examples.iter().map(|(title, input)| json!({"title": title, "input": input})).collect();
    say("examples", (!examples.is_empty()).then(|| json!(examples)));
    x
}

/// Everything that would make the document wrong or an action unreachable.
pub(crate) fn mistakes(provider: &Provider) -> Vec<String> {
    let mut mistakes = Vec::new();
    if !is_name(&provider.name) {
        mistakes.push(format!(
            "`{}` is no name for a provider: use lower-case letters, digits, dashes",
            provider.name
        ));
    }
    let definitions = definitions(provider);
    let mut routes = Routes::default();
    for (index, action) in provider.actions.iter().enumerate() {
        let mut found = action.mistakes.clone();
        let (method, path) = action.route();
        found.extend(routes.add(method, &path, index).err());
        let twice = provider.actions.iter().take(index).any(|other| other.operation == action.operation);
        if twice {
            found.push("an action of this name is declared twice".to_owned());
        }
        of_action(provider, action, &path, &mut found);
        let schema = action.input_schema();
        match InputReader::new(&schema, |member| action.place_of(member), &definitions) {
            Err(mistake) => found.push(mistake),
            Ok(reader) => found.extend(action.examples.iter().filter_map(|(title, input)| {
                reader.validate(input).err().map(|problem| format!("example `{title}`: {}", problem.detail))
            })),
        }
        mistakes.extend(found.into_iter().map(|mistake| format!("action `{}`: {mistake}", action.operation)));
    }
    // What our own checks cannot know, the gateway's reader does.
    if mistakes.is_empty() {
        let faults = match openapi::read(&provider.name, &of(provider), Strictness::Strict) {
            Ok(reading) => openapi::check_catalogue(&reading.actions),
            Err(faults) => faults,
        };
        mistakes.extend(faults.iter().map(ToString::to_string));
    }
    mistakes
}

fn of_action(provider: &Provider, action: &Declared, path: &str, found: &mut Vec<String>) {
    if !is_name(&action.operation) {
        found.push("its name must be of lower-case letters, digits and dashes".to_owned());
    }
    let has = |name: &str| action.members().any(|(member, _)| member == name);
    let templates = [
        ("path", Some(path)),
        ("resource", action.resource.as_deref()),
        ("concurrency", action.concurrency.as_deref()),
    ];
    for (what, template) in templates {
        for name in template.into_iter().flat_map(placeholders).filter(|name| !has(name)) {
            found.push(format!("the {what} names `{{{name}}}`, which is no member of its input"));
        }
    }
    if action.resumable && (action.effect() == Effect::Read || action.route().0 == http::Method::DELETE) {
        found.push(
            "a resumable action is a change whose journal travels in the body: not a read, not DELETE"
                .to_owned(),
        );
    }
    if action.effect() == Effect::Read {
        if action.plan.is_some() || action.approval.is_some() {
            found.push("a read has neither plan nor approval: is it a change?".to_owned());
        }
    } else if action.route().0 == http::Method::GET {
        found.push("it changes something, so it cannot be a GET".to_owned());
    }
    for (member, options) in &action.options {
        if !has(member) {
            found.push(format!("options for `{member}`, which is no member of its input"));
        }
        let source = provider.actions.iter().find(|other| other.operation == options.operation);
        match source {
            Some(source) if source.effect() == Effect::Read => {}
            Some(_) => found.push(format!("options from `{}`, which is no read", options.operation)),
            None => found
                .push(format!("options from `{}`, which is no action of this provider", options.operation)),
        }
    }
    for name in action.view.iter().flat_map(|view| &view.row_actions) {
        if !provider.actions.iter().any(|other| other.operation == *name) {
            found.push(format!("its view offers `{name}`, which is no action of this provider"));
        }
    }
}

fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    name.starts_with(|c: char| c.is_ascii_lowercase()) && name.len() <= 63 && name.chars().all(allowed)
}
