//! An input written as the command line that gives it.

use guichet_contract::action::flag_name;
use serde_json::Value;

use crate::arguments::schema::{Kind, Member};

/// `guichet rds cancel-query --identifier shop --pid 14024 --reason "…"`, quoted for a POSIX shell.
pub(crate) fn command_line(
    words: &[String],
    members: &[Member],
    input: &Value,
    reason: Option<&str>,
) -> String {
    let mut parts = vec!["guichet".to_owned()];
    parts.extend(words.iter().cloned());
    for (name, value) in input.as_object().into_iter().flatten() {
        let member = members.iter().find(|member| member.name == *name);
        let flag = member.map_or_else(|| flag_name(name), |member| member.flag.clone());
        let is_boolean = member.is_some_and(|member| member.kind == Kind::Boolean);
        match value {
            Value::Null => {}
            Value::Bool(true) if is_boolean => parts.push(format!("--{flag}")),
            Value::Bool(false) if is_boolean => parts.push(format!("--no-{flag}")),
            Value::Array(items) if items.iter().all(|item| !item.is_object() && !item.is_array()) => {
                for item in items {
                    parts.push(format!("--{flag}"));
                    parts.push(quote(item));
                }
            }
            value => {
                parts.push(format!("--{flag}"));
                parts.push(quote(value));
            }
        }
    }
    if let Some(reason) = reason {
        parts.push("--reason".to_owned());
        parts.push(quote(&Value::from(reason)));
    }
    parts.join(" ")
}

fn quote(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text;
    }
    if !text.contains(['"', '$', '`', '\\', '!']) {
        return format!("\"{text}\"");
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_quoted_so_that_a_shell_gives_them_back() {
        let words = ["kafka".to_owned(), "topics".to_owned()];
        let input = json!({"topicName": "a b", "patterns": ["x.*", "$y"], "note": "it's \"so\"", "n": 3});
        assert_eq!(
            command_line(&words, &[], &input, Some("no longer read")),
            "guichet kafka topics --topic-name \"a b\" --patterns \"x.*\" --patterns '$y' \
             --note 'it'\\''s \"so\"' --n 3 --reason \"no longer read\""
        );
    }
}
