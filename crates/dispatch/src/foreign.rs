//! Answers of services that know nothing of the provider protocol: a result of any kind, and the words of a "no" of any shape.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use guichet_contract::depth;
use http::{HeaderMap, header};
use serde_json::{Value, json};

/// How deep a message is looked for.
const DEEPEST: u8 = 4;
/// Where services put their words, the better ones first.
const WORDS: [&str; 12] = [
    "detail",
    "message",
    "error_description",
    "error",
    "errors",
    "msg",
    "reason",
    "description",
    "title",
    "Message",
    "messages",
    "code",
];

/// A good answer as a result: JSON as it is, text as text, anything else as base64.
pub(crate) fn result(headers: &HeaderMap, body: &[u8]) -> Value {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let may_be_json = kind.is_empty() || kind.contains("json");
    if may_be_json
        && let Ok(value) = serde_json::from_slice::<Value>(body)
        && !depth::is_deeper_than(&value, depth::DEEPEST)
    {
        return value;
    }
    match std::str::from_utf8(body) {
        Ok(text) => Value::from(text),
        Err(_) => json!({"content_type": kind, "bytes": body.len(), "base64": STANDARD.encode(body)}),
    }
}

/// What a service says of why it did not do it. `told`: its answer, when it is JSON.
pub(crate) fn message(told: Option<&Value>, headers: &HeaderMap, body: &[u8]) -> Option<String> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    match told {
        Some(told) => words_of(told, 0),
        None if kind.starts_with("text/plain") => {
            let text = String::from_utf8_lossy(body);
            Some(text.trim().to_owned()).filter(|text| !text.is_empty())
        }
        None => None,
    }
}

fn words_of(told: &Value, depth: u8) -> Option<String> {
    if depth > DEEPEST {
        return None;
    }
    match told {
        Value::String(text) if !text.trim().is_empty() => Some(text.clone()),
        Value::Array(items) => {
            let words: Vec<String> =
                items.iter().take(5).filter_map(|item| words_of(item, depth + 1)).collect();
            (!words.is_empty()).then(|| words.join("; "))
        }
        Value::Object(members) => {
            let said = |name: &&str| members.get(*name).and_then(|value| words_of(value, depth + 1));
            // A member's own name tells what the words are about: `{"errors": {"name": ["is too long"]}}`.
            WORDS.iter().find_map(said).or_else(|| {
                let (name, value) = members.iter().next().filter(|_| depth > 0)?;
                Some(format!("{name}: {}", words_of(value, depth + 1)?))
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(kind: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(kind))])
    }

    #[test]
    fn words_are_found_in_any_shape() {
        for (told, expected) in [
            (json!({"detail": "no", "title": "t"}), Some("no")),
            (json!("end time must be after start"), Some("end time must be after start")),
            (json!({"error": {"message": "no such thing", "code": 7}}), Some("no such thing")),
            (json!({"errors": [{"detail": "a"}, {"detail": "b"}]}), Some("a; b")),
            (json!({"errors": ["permission denied"]}), Some("permission denied")),
            (json!({"errors": {"name": ["is too long"]}}), Some("name: is too long")),
            (json!({"detail": [{"loc": ["body", "x"], "msg": "field required"}]}), Some("field required")),
            (json!({"status": 1}), None),
            (json!({"message": ""}), None),
        ] {
            assert_eq!(
                message(Some(&told), &headers("application/json"), b"").as_deref(),
                expected,
                "{told}"
            );
        }
        assert_eq!(message(None, &headers("text/plain; charset=utf-8"), b" no \n").as_deref(), Some("no"));
        assert_eq!(message(None, &headers("text/html"), b"<h1>no</h1>"), None);
    }

    #[test]
    fn a_good_answer_is_a_result_whatever_it_is() {
        for (kind, body, expected) in [
            ("application/json", &b"{\"a\": 1}"[..], json!({"a": 1})),
            ("application/json", b"OK", json!("OK")),
            ("text/plain", b"{\"a\": 1}", json!("{\"a\": 1}")),
            ("application/vnd.x+json", b"[1]", json!([1])),
            ("", b"\"x\"", json!("x")),
            (
                "application/zip",
                b"\xff\x00",
                json!({"content_type": "application/zip", "bytes": 2, "base64": "/wA="}),
            ),
        ] {
            assert_eq!(result(&headers(kind), body), expected, "{kind}");
        }
    }
}
