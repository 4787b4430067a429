//! SHA-256 over canonical JSON: how two parties know that they speak of the same thing.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// `sha256:` and 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Digest(String);

impl Digest {
    /// Of the bytes as they are.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self::of_hash(&Sha256::digest(bytes))
    }

    /// Of lines, each with its end, without holding all of them at once.
    pub fn of_lines(lines: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let mut hasher = Sha256::new();
        for line in lines {
            hasher.update(line);
            hasher.update(b"\n");
        }
        Self::of_hash(&hasher.finalize())
    }

    fn of_hash(hash: &[u8]) -> Self {
        let mut text = String::with_capacity(71);
        text.push_str("sha256:");
        for byte in hash {
            text.push(char::from(HEX[usize::from(byte >> 4)]));
            text.push(char::from(HEX[usize::from(byte & 15)]));
        }
        Self(text)
    }

    /// Of a JSON value, independent of the order in which its members were written
    /// (members sorted by name, no white space: RFC 8785 but for the writing of floats).
    pub fn of_json(value: &Value) -> Self {
        let mut text = String::new();
        write_canonical(value, &mut text);
        Self::of_bytes(text.as_bytes())
    }

    /// The whole text, `sha256:…`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 12 hexadecimal digits, for people.
    pub fn short(&self) -> &str {
        let hex = self.0.strip_prefix("sha256:").unwrap_or(&self.0);
        hex.get(..12).unwrap_or(hex)
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The canonical text of a JSON value: members sorted by name, no white space.
pub fn canonical_json(value: &Value) -> String {
    let mut text = String::new();
    write_canonical(value, &mut text);
    text
}

/// Appends the canonical text of a JSON value.
pub(crate) fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(members) => {
            write_members(members.iter(), out, |_, member, out| write_canonical(member, out));
        }
        Value::Array(items) => write_items(items, out, write_canonical),
        Value::String(text) => write_text(text, out),
        scalar => out.push_str(&scalar.to_string()),
    }
}

/// Appends the canonical text of an object with these members, each by `write`, which has its name as well.
pub(crate) fn write_members<'v>(
    members: impl Iterator<Item = (&'v String, &'v Value)>,
    out: &mut String,
    write: impl Fn(&str, &Value, &mut String),
) {
    let mut sorted: Vec<(&String, &Value)> = members.collect();
    sorted.sort_unstable_by_key(|(name, _)| *name);
    out.push('{');
    for (position, (name, member)) in sorted.into_iter().enumerate() {
        if position > 0 {
            out.push(',');
        }
        write_text(name, out);
        out.push(':');
        write(name, member, out);
    }
    out.push('}');
}

/// Appends the canonical text of a list with these items, each by `write`.
pub(crate) fn write_items(items: &[Value], out: &mut String, write: impl Fn(&Value, &mut String)) {
    out.push('[');
    for (position, item) in items.iter().enumerate() {
        if position > 0 {
            out.push(',');
        }
        write(item, out);
    }
    out.push(']');
}

/// Most texts have nothing to escape, and are written as they stand.
fn write_text(text: &str, out: &mut String) {
    if text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        out.push_str(&Value::from(text).to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn order_of_members_does_not_matter_but_order_of_items_does() {
        let one = json!({"a": 1, "b": {"c": [1, 2], "d": "é\""}});
        let two: Value = serde_json::from_str(r#"{"b":{"d":"é\"","c":[1,2]},"a":1}"#).unwrap();
        assert_eq!(Digest::of_json(&one), Digest::of_json(&two));
        assert_ne!(Digest::of_json(&json!([1, 2])), Digest::of_json(&json!([2, 1])));
    }

    #[test]
    fn agrees_with_the_published_vector() {
        // FIPS 180-2, appendix B.1
        assert_eq!(
            Digest::of_bytes(b"abc").as_str(),
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(Digest::of_bytes(b"abc").short(), "ba7816bf8f01");
        assert_eq!(Digest::of_lines([b"a".to_vec(), b"b".to_vec()]), Digest::of_bytes(b"a\nb\n"));
    }
}
