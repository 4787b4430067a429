//! What an input leads to that was not read takes any value. Where its author said that exactly one of several fits, or that something
//! does not fit, that can no longer be held against a value: what is right would be refused. So it is said in words that only
//! ever take more.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::{
    keyword::{Keyword, keyword},
    schema::{in_place_references, keep_marks_of_secrecy, references},
};

/// Takes out of an input, whose definitions of these names were not read, what would refuse values because of that.
pub(super) fn loosen(input: &mut Value, unread: &BTreeSet<String>) {
    if unread.is_empty() {
        return;
    }
    let Some(definitions) = input.get("$defs").and_then(Value::as_object) else { return };
    let wide = Wide {
        anywhere: that_lead_to(unread, definitions, |schema| {
            let mut named = Vec::new();
            references(schema, &mut named);
            named.into_iter().collect()
        }),
        in_place: that_lead_to(unread, definitions, |schema| {
            let mut named = BTreeSet::new();
            in_place_references(schema, &mut named);
            named
        }),
    };
    wide.loosen(input);
}

/// The definitions that take more than their author meant: those that were not read, and all that lead to them.
struct Wide {
    anywhere: BTreeSet<String>,
    /// Those that lead there about the same value: which members they speak of is not known either.
    in_place: BTreeSet<String>,
}

fn that_lead_to<'s>(
    unread: &BTreeSet<String>,
    definitions: &'s Map<String, Value>,
    references: impl Fn(&'s Value) -> BTreeSet<&'s str>,
) -> BTreeSet<String> {
    let mut from: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, schema) in definitions {
        for target in references(schema) {
            from.entry(target).or_default().push(name);
        }
    }
    let mut found = unread.clone();
    let mut open: Vec<&str> = unread.iter().map(String::as_str).collect();
    while let Some(name) = open.pop() {
        for &source in from.get(name).into_iter().flatten() {
            if found.insert(source.to_owned()) {
                open.push(source);
            }
        }
    }
    found
}

impl Wide {
    fn is_wide(&self, schema: &Value) -> bool {
        let mut named = Vec::new();
        references(schema, &mut named);
        named.into_iter().any(|name| self.anywhere.contains(name))
    }

    fn loosen(&self, schema: &mut Value) {
        let is_wide_in_place = self.is_wide_in_place(schema);
        let Value::Object(members) = schema else { return };
        for (name, value) in members.iter_mut() {
            match (keyword(name), value) {
                (Keyword::Schema, schema) => self.loosen(schema),
                (Keyword::SchemaList, Value::Array(schemas)) => {
                    for schema in schemas {
                        self.loosen(schema);
                    }
                }
                (Keyword::SchemaMap, Value::Object(schemas)) => {
                    for schema in schemas.values_mut() {
                        self.loosen(schema);
                    }
                }
                (_, Value::Object(schemas)) if name == "$defs" => {
                    for schema in schemas.values_mut() {
                        self.loosen(schema);
                    }
                }
                _ => {}
            }
        }
        let is_wide = |name: &str| members.get(name).is_some_and(|schema| self.is_wide(schema));
        let (not, condition, contains) = (is_wide("not"), is_wide("if"), is_wide("contains"));
        if members
            .get("oneOf")
            .and_then(Value::as_array)
            .is_some_and(|all| all.iter().any(|one| self.is_wide(one)))
        {
            one_is_any(members);
        }
        if is_wide_in_place {
            take_out(members, &["unevaluatedProperties", "unevaluatedItems"]);
        }
        if not {
            take_out(members, &["not"]);
        }
        if condition {
            take_out(members, &["if", "then", "else"]);
        }
        if contains {
            members.shift_remove("maxContains");
        }
    }

    fn is_wide_in_place(&self, schema: &Value) -> bool {
        let mut named = BTreeSet::new();
        in_place_references(schema, &mut named);
        named.into_iter().any(|name| self.in_place.contains(name))
    }
}

/// Of several that fit, one is enough.
fn one_is_any(members: &mut Map<String, Value>) {
    let Some(choices) = members.shift_remove("oneOf") else { return };
    if !members.contains_key("anyOf") {
        members.insert("anyOf".to_owned(), choices);
        return;
    }
    let part = json!({"anyOf": choices});
    match members.get_mut("allOf") {
        Some(Value::Array(parts)) => parts.push(part),
        _ => {
            members.insert("allOf".to_owned(), json!([part]));
        }
    }
}

/// What goes might have said of something that it is a secret.
fn take_out(members: &mut Map<String, Value>, names: &[&str]) {
    let before = members.len();
    members.retain(|name, _| !names.contains(&name.as_str()));
    if members.len() < before {
        members.entry("x-guichet").or_insert_with(|| json!({"sensitive": true}));
        keep_marks_of_secrecy(members);
    }
}
