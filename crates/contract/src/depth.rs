//! How deep a JSON value may be. Parsers and databases have limits of their own; ours comes first.

use serde_json::Value;

/// Levels that an input, a plan or a result may have. serde_json reads 127, and a value is stored within others.
pub const DEEPEST: usize = 64;

/// Whether the value has more levels of objects and arrays than this. Looks no deeper than it must.
pub fn is_deeper_than(value: &Value, levels: usize) -> bool {
    match value {
        Value::Array(items) => levels == 0 || items.iter().any(|item| is_deeper_than(item, levels - 1)),
        Value::Object(members) => {
            levels == 0 || members.values().any(|member| is_deeper_than(member, levels - 1))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn levels_are_counted() {
        assert!(!is_deeper_than(&json!(1), 0));
        assert!(is_deeper_than(&json!([]), 0));
        assert!(!is_deeper_than(&json!({"a": [1]}), 2));
        assert!(is_deeper_than(&json!({"a": [[1]]}), 2));
    }
}
