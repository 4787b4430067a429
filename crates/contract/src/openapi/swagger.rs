//! Swagger 2.0 said as OpenAPI 3.0. Only what differs is moved: a body and the fields of a form become a request body,
//! what a parameter says of its value becomes its schema, host and path become a server. Definitions and shared parameters
//! stay where they are, so that references to them hold.

use serde_json::{Map, Value, json};

use super::place::escape;

/// What may stand at a parameter of 2.0 that is no part of its schema.
const OF_PARAMETERS: [&str; 8] =
    ["name", "in", "required", "description", "allowEmptyValue", "collectionFormat", "schema", "deprecated"];
const METHODS: [&str; 7] = ["get", "put", "post", "delete", "options", "head", "patch"];
const FORM: &str = "application/x-www-form-urlencoded";
const MULTIPART: &str = "multipart/form-data";
/// References that may lead to one another before a parameter stands there.
const LONGEST_CHAIN: usize = 32;

/// Whether this is a document of 2.0.
pub(super) fn is_swagger(document: &Value) -> bool {
    document.get("swagger").is_some_and(|version| match version {
        Value::String(version) => version == "2.0",
        Value::Number(version) => version.as_f64() == Some(2.0),
        _ => false,
    })
}

/// The document as one of OpenAPI 3.0.
pub(super) fn converted(document: &Value) -> Value {
    let mut new = Map::new();
    new.insert("openapi".to_owned(), json!("3.0.3"));
    if let Some(url) = server(document) {
        new.insert("servers".to_owned(), json!([{"url": url}]));
    }
    for (name, value) in document.as_object().into_iter().flatten() {
        let value = match name.as_str() {
            "swagger" | "host" | "basePath" | "schemes" | "consumes" | "produces" | "openapi" | "servers" => {
                continue;
            }
            "paths" => paths(document, value),
            "parameters" => Value::Object(
                value
                    .as_object()
                    .into_iter()
                    .flatten()
                    .map(|(name, declared)| (name.clone(), parameter(declared)))
                    .collect(),
            ),
            _ => value.clone(),
        };
        new.insert(name.clone(), value);
    }
    Value::Object(new)
}

fn server(document: &Value) -> Option<String> {
    let text = |name: &str| document.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let path = text("basePath").unwrap_or_default().trim_end_matches('/');
    let schemes = document.get("schemes").and_then(Value::as_array);
    let schemes: Vec<&str> = schemes.into_iter().flatten().filter_map(Value::as_str).collect();
    let scheme =
        if schemes.contains(&"https") { "https" } else { schemes.first().copied().unwrap_or("https") };
    match text("host") {
        Some(host) => Some(format!("{scheme}://{host}{path}")),
        None if path.is_empty() => None,
        None => Some(path.to_owned()),
    }
}

fn paths(document: &Value, paths: &Value) -> Value {
    let Value::Object(members) = paths else { return paths.clone() };
    let item = |item: &Value| {
        let Value::Object(fields) = item else { return item.clone() };
        let (shared, of_body) = split(document, fields.get("parameters"));
        let mut new = Map::new();
        for (name, value) in fields {
            let value = match name.as_str() {
                "parameters" => shared.clone(),
                method if METHODS.contains(&method) => operation(document, value, &of_body),
                _ => value.clone(),
            };
            new.insert(name.clone(), value);
        }
        Value::Object(new)
    };
    Value::Object(members.iter().map(|(path, value)| (path.clone(), item(value))).collect())
}

fn operation(document: &Value, operation: &Value, of_path: &[&Value]) -> Value {
    let Value::Object(fields) = operation else { return operation.clone() };
    let (parameters, own) = split(document, fields.get("parameters"));
    let mut new = Map::new();
    for (name, value) in fields {
        match name.as_str() {
            "parameters" => new.insert(name.clone(), parameters.clone()),
            "consumes" | "produces" | "schemes" => None,
            _ => new.insert(name.clone(), value.clone()),
        };
    }
    // A field of the operation stands for one of the same name of its path.
    let name = |declared: &Value| declared.get("name").cloned();
    let inherited = of_path.iter().filter(|shared| own.iter().all(|declared| name(declared) != name(shared)));
    let declared: Vec<&Value> = inherited.copied().chain(own.iter().copied()).collect();
    if let Some(body) = body(document, fields, &declared) {
        new.insert("requestBody".to_owned(), body);
    }
    Value::Object(new)
}

/// The parameters that stay such, and those that speak of the body.
fn split<'a>(document: &'a Value, parameters: Option<&'a Value>) -> (Value, Vec<&'a Value>) {
    let Some(Value::Array(list)) = parameters else {
        return (parameters.cloned().unwrap_or_else(|| json!([])), Vec::new());
    };
    let mut of_body = Vec::new();
    let mut rest = Vec::new();
    for declared in list {
        let target = resolved(document, declared);
        match target.get("in").and_then(Value::as_str) {
            Some("body" | "formData") => of_body.push(target),
            // What it refers to is said in the new words where it stands.
            _ if declared.get("$ref").is_some() => rest.push(declared.clone()),
            _ => rest.push(parameter(declared)),
        }
    }
    (Value::Array(rest), of_body)
}

fn resolved<'a>(document: &'a Value, declared: &'a Value) -> &'a Value {
    let mut here = declared;
    for _ in 0..LONGEST_CHAIN {
        let pointer =
            here.get("$ref").and_then(Value::as_str).and_then(|reference| reference.strip_prefix('#'));
        match pointer.and_then(|pointer| document.pointer(pointer)) {
            Some(next) => here = next,
            None => break,
        }
    }
    here
}

/// A parameter in path, query or header.
fn parameter(declared: &Value) -> Value {
    let Value::Object(fields) = declared else { return declared.clone() };
    if fields.contains_key("$ref") || fields.contains_key("schema") {
        return declared.clone();
    }
    let mut new = Map::new();
    for (name, value) in fields {
        if (OF_PARAMETERS.contains(&name.as_str()) && name != "collectionFormat") || name.starts_with("x-") {
            new.insert(name.clone(), value.clone());
        }
    }
    new.insert("schema".to_owned(), schema(fields));
    if fields.get("type").is_some_and(|kind| kind == "array") {
        let is_query = fields.get("in").is_some_and(|place| place == "query");
        let format = fields.get("collectionFormat").and_then(Value::as_str).unwrap_or("csv");
        let (style, explode) = collection(format);
        if is_query {
            new.insert("style".to_owned(), json!(style));
            new.insert("explode".to_owned(), json!(explode));
        }
    }
    Value::Object(new)
}

/// How a list is written.
fn collection(format: &str) -> (&'static str, bool) {
    match format {
        "multi" => ("form", true),
        "ssv" => ("spaceDelimited", false),
        "pipes" => ("pipeDelimited", false),
        "tsv" => ("tabDelimited", false),
        _ => ("form", false),
    }
}

/// What a parameter says of its value.
fn schema(fields: &Map<String, Value>) -> Value {
    let of_value = |name: &str| !OF_PARAMETERS.contains(&name) && !name.starts_with("x-");
    let said = fields.iter().filter(|(name, _)| of_value(name));
    Value::Object(said.map(|(name, value)| (name.clone(), value.clone())).collect())
}

fn body(document: &Value, operation: &Map<String, Value>, declared: &[&Value]) -> Option<Value> {
    let consumes = operation.get("consumes").or_else(|| document.get("consumes")).and_then(Value::as_array);
    let consumes: Vec<&str> = consumes.into_iter().flatten().filter_map(Value::as_str).collect();
    let is_in = |declared: &&&Value, place: &str| declared.get("in").is_some_and(|said| said == place);
    if let Some(body) = declared.iter().find(|declared| is_in(declared, "body")) {
        let media = json!({"schema": body.get("schema").cloned().unwrap_or_else(|| json!({}))});
        let types = if consumes.is_empty() { vec!["application/json"] } else { consumes };
        let content: Map<String, Value> =
            types.iter().map(|name| ((*name).to_owned(), media.clone())).collect();
        let mut new = Map::new();
        new.insert("content".to_owned(), Value::Object(content));
        for name in ["description", "required"] {
            new.extend(body.get(name).map(|said| (name.to_owned(), said.clone())));
        }
        return Some(Value::Object(new));
    }
    let fields: Vec<&Map<String, Value>> = declared
        .iter()
        .filter(|declared| is_in(declared, "formData"))
        .filter_map(|declared| declared.as_object())
        .collect();
    if fields.is_empty() {
        return None;
    }
    let has_file = fields.iter().any(|field| field.get("type").is_some_and(|kind| kind == "file"));
    let media_type = if has_file || (consumes.contains(&MULTIPART) && !consumes.contains(&FORM)) {
        MULTIPART
    } else {
        FORM
    };
    Some(form(&fields, media_type))
}

fn form(fields: &[&Map<String, Value>], media_type: &str) -> Value {
    let (mut properties, mut encoding, mut required) = (Map::new(), Map::new(), Vec::new());
    for field in fields {
        let Some(name) = field.get("name").and_then(Value::as_str) else { continue };
        let mut schema = schema(field);
        if let Some(members) = schema.as_object_mut() {
            for said in ["description", "x-guichet"] {
                members.extend(field.get(said).map(|value| (said.to_owned(), value.clone())));
            }
        }
        properties.insert(name.to_owned(), schema);
        if field.get("required") == Some(&Value::Bool(true)) {
            required.push(name);
        }
        if field.get("type").is_some_and(|kind| kind == "array") {
            let format = field.get("collectionFormat").and_then(Value::as_str).unwrap_or("csv");
            let (style, explode) = collection(format);
            encoding.insert(name.to_owned(), json!({"style": style, "explode": explode}));
        }
    }
    let is_required = !required.is_empty();
    let schema = json!({"type": "object", "properties": properties, "required": required});
    json!({"required": is_required, "content": {media_type: {"schema": schema, "encoding": encoding}}})
}

/// Where in the document of 2.0 a finding of the converted one stands, as near as can be said.
pub(super) fn pointer_of(document: &Value, converted: &str) -> String {
    if document.pointer(converted).is_some() {
        return converted.to_owned();
    }
    // What was moved stood below the nearest thing that is still there, among its parameters.
    let mut here = converted;
    while let Some((parent, _)) = here.rsplit_once('/') {
        here = parent;
        if document.pointer(here).is_some() {
            let moved = converted.get(here.len()..).is_some_and(|rest| rest.starts_with("/requestBody"));
            return if moved { format!("{here}/{}", escape("parameters")) } else { here.to_owned() };
        }
    }
    String::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_forms_lists_and_servers_are_moved() {
        let old = json!({
            "swagger": "2.0", "info": {"title": "T", "version": "1"}, "host": "api.example.org", "basePath": "/v1/",
            "schemes": ["http", "https"], "consumes": ["application/json"],
            "parameters": {"Limit": {"name": "limit", "in": "query", "type": "integer"},
                "Thing": {"name": "thing", "in": "body", "required": true, "schema": {"$ref": "#/definitions/Thing"}}},
            "paths": {"/things": {
                "parameters": [{"$ref": "#/parameters/Limit"}],
                "post": {"parameters": [{"$ref": "#/parameters/Thing"},
                    {"name": "tags", "in": "query", "type": "array", "items": {"type": "string"}, "collectionFormat": "multi"}]},
                "put": {"consumes": ["multipart/form-data"], "parameters": [
                    {"name": "file", "in": "formData", "type": "file", "required": true, "description": "It"}]},
            }},
            "definitions": {"Thing": {"type": "object"}},
        });
        let new = converted(&old);
        assert_eq!(new["servers"], json!([{"url": "https://api.example.org/v1"}]));
        assert_eq!(new["definitions"], old["definitions"]);
        assert_eq!(
            new["parameters"]["Limit"],
            json!({"name": "limit", "in": "query", "schema": {"type": "integer"}})
        );
        let post = &new["paths"]["/things"]["post"];
        assert_eq!(
            post["requestBody"],
            json!({"content": {"application/json": {"schema": {"$ref": "#/definitions/Thing"}}}, "required": true})
        );
        assert_eq!(
            post["parameters"],
            json!([{"name": "tags", "in": "query", "style": "form", "explode": true,
                "schema": {"type": "array", "items": {"type": "string"}}}])
        );
        let put = &new["paths"]["/things"]["put"]["requestBody"];
        let schema = &put["content"]["multipart/form-data"]["schema"];
        assert_eq!(schema["properties"]["file"], json!({"type": "file", "description": "It"}));
        assert_eq!(schema["required"], json!(["file"]));
    }
}
