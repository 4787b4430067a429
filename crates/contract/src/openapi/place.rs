//! A value of the document together with where it stands, so that every finding can name its place.

use std::borrow::Cow;

use serde_json::Value;

/// A value and the JSON pointer to it.
#[derive(Debug, Clone)]
pub(super) struct At<'a> {
    pub(super) value: &'a Value,
    pub(super) pointer: String,
}

impl<'a> At<'a> {
    pub(super) fn new(value: &'a Value, pointer: impl Into<String>) -> Self {
        Self { value, pointer: pointer.into() }
    }

    /// The member of this name, when this is an object that has it.
    pub(super) fn member(&self, name: &str) -> Option<Self> {
        self.value.as_object()?.get(name).map(|value| Self::new(value, self.below(name)))
    }

    /// All members; none when this is no object.
    pub(super) fn members(&self) -> impl Iterator<Item = (&'a str, Self)> + use<'a> {
        let pointer = self.pointer.clone();
        self.value
            .as_object()
            .into_iter()
            .flatten()
            .map(move |(name, value)| (name.as_str(), Self::new(value, below(&pointer, name))))
    }

    /// All items; none when this is no array.
    pub(super) fn items(&self) -> impl Iterator<Item = Self> + use<'a> {
        let pointer = self.pointer.clone();
        self.value
            .as_array()
            .into_iter()
            .flatten()
            .enumerate()
            .map(move |(position, value)| Self::new(value, format!("{pointer}/{position}")))
    }

    /// The pointer to the member of this name, whether it exists or not.
    pub(super) fn below(&self, name: &str) -> String {
        below(&self.pointer, name)
    }
}

fn below(pointer: &str, name: &str) -> String {
    let token = escape(name);
    let mut below = String::with_capacity(pointer.len() + 1 + token.len());
    below.push_str(pointer);
    below.push('/');
    below.push_str(&token);
    below
}

/// One token of a JSON pointer.
pub(super) fn escape(token: &str) -> Cow<'_, str> {
    if token.contains(['~', '/']) { token.replace('~', "~0").replace('/', "~1").into() } else { token.into() }
}

/// Whether a text is a JSON pointer: empty, or `/` before each token and `~` only as `~0` or `~1`.
pub(super) fn is_pointer(text: &str) -> bool {
    (text.is_empty() || text.starts_with('/'))
        && text.split('~').skip(1).all(|after| after.starts_with(['0', '1']))
}

/// What kind of value this is, for messages.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
