//! Which runs go one at a time: the key that an action's template gives for an input.

use serde_json::Value;

/// Characters a key may have; a longer one is cut, so that more runs wait for each other rather than fewer.
const MAX_LENGTH: usize = 512;

/// The template with each `{member}` replaced by the input's value. None when a member is not given, is empty, or is no
/// plain value: without it there is no key. A `/` in a value is percent-encoded, as in resources.
pub fn concurrency_of(template: &str, input: &Value) -> Option<String> {
    let mut key = String::with_capacity(template.len() + 32);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        key.push_str(before);
        let (member, after) = after.split_once('}')?;
        match input.get(member)? {
            Value::String(text) if !text.is_empty() => crate::resource::encode_into(&mut key, text),
            Value::Number(number) => key.push_str(&number.to_string()),
            Value::Bool(flag) => key.push_str(if *flag { "true" } else { "false" }),
            _ => return None,
        }
        rest = after;
    }
    key.push_str(rest);
    Some(key.chars().take(MAX_LENGTH).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_are_filled() {
        let input = json!({"cluster": "a/b", "pid": 42, "live": true, "list": [1], "no": null, "empty": ""});
        for (template, expected) in [
            ("{cluster}/{pid}/{live}", Some("a%2Fb/42/true")),
            ("all", Some("all")),
            ("{list}", None),
            ("{no}", None),
            ("{empty}", None),
            ("{other}", None),
            ("{pid", None),
        ] {
            assert_eq!(concurrency_of(template, &input).as_deref(), expected, "{template}");
        }
        let long = concurrency_of("{cluster}", &json!({"cluster": "a".repeat(600)})).unwrap();
        assert_eq!(long.len(), 512);
    }
}
