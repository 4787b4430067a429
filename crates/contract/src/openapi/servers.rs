//! `servers`: where a document says that its service answers. A gateway calls the address that it was configured with; what
//! an operation says of its own is kept, and held against that address before it is called.

use serde_json::Value;

use super::place::At;

/// Of the whole document: the first, with the defaults of its variables.
pub(super) fn of_document(root: &At<'_>) -> Option<String> {
    first(root)
}

/// Of one operation, or of its path, where they have one of their own.
pub(super) fn of_operation(operation: &At<'_>, path_item: &At<'_>) -> Option<String> {
    first(operation).or_else(|| first(path_item))
}

fn first(at: &At<'_>) -> Option<String> {
    let server = at.value.pointer("/servers/0")?;
    let mut url = server.get("url")?.as_str()?.to_owned();
    for (name, variable) in server.get("variables").and_then(Value::as_object).into_iter().flatten() {
        let default = variable.get("default").and_then(Value::as_str).unwrap_or_default();
        url = url.replace(&format!("{{{name}}}"), default);
    }
    let url = url.trim_end_matches('/');
    (!url.is_empty()).then(|| url.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_first_counts_with_the_defaults_of_its_variables() {
        for (servers, expected) in [
            (
                json!([{"url": "https://{region}.example.org/{v}/", "variables": {"region": {"default": "eu"}, "v": {"default": "v1"}}}, {"url": "/x"}]),
                Some("https://eu.example.org/v1"),
            ),
            (json!([{"url": "/"}]), None),
            (json!([]), None),
        ] {
            let document = json!({"servers": servers});
            assert_eq!(of_document(&At::new(&document, "")).as_deref(), expected);
        }
    }
}
