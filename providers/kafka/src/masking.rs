//! What of a message is not shown: members of its JSON by path, headers, its key.

use serde::Deserialize;
use serde_json::Value;
use serde_json_path::JsonPath;

/// What stands where something was.
pub(crate) const MASKED: &str = "[masked]";

/// One rule.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mask {
    /// The topics it is for; `*` stands for any characters.
    pub topics: String,
    /// JSON paths (RFC 9535) of what is hidden: `$.customer.email`. A message that is no JSON is hidden whole.
    #[serde(default)]
    pub paths: Vec<String>,
    /// Headers whose values are hidden, whatever their case.
    #[serde(default)]
    pub headers: Vec<String>,
    /// Whether keys are hidden.
    #[serde(default)]
    pub key: bool,
}

/// All rules of a cluster, read.
#[derive(Debug)]
pub(crate) struct Masks(Vec<Rule>);

#[derive(Debug)]
struct Rule {
    topics: String,
    paths: Vec<JsonPath>,
    headers: Vec<String>,
    key: bool,
}

impl Masks {
    pub(crate) fn new(masks: &[Mask]) -> Result<Self, String> {
        let rule = |mask: &Mask| {
            let path = |text: &String| {
                JsonPath::parse(text).map_err(|error| {
                    format!("`{text}` is no JSON path ({error}); write it as `$.customer.email`")
                })
            };
            let paths: Result<Vec<JsonPath>, String> = mask.paths.iter().map(path).collect();
            Ok(Rule {
                topics: mask.topics.clone(),
                paths: paths?,
                headers: mask.headers.iter().map(|header| header.to_lowercase()).collect(),
                key: mask.key,
            })
        };
        masks.iter().map(rule).collect::<Result<_, String>>().map(Self)
    }

    fn of<'a>(&'a self, topic: &'a str) -> impl Iterator<Item = &'a Rule> {
        self.0.iter().filter(move |rule| fits(&rule.topics, topic))
    }

    pub(crate) fn hides_key(&self, topic: &str) -> bool {
        self.of(topic).any(|rule| rule.key)
    }

    pub(crate) fn hides_header(&self, topic: &str, name: &str) -> bool {
        let name = name.to_lowercase();
        self.of(topic).any(|rule| rule.headers.contains(&name))
    }

    /// Whether something of the values is hidden.
    pub(crate) fn hides_members(&self, topic: &str) -> bool {
        self.of(topic).any(|rule| !rule.paths.is_empty())
    }

    /// Hides what the paths name; how many places that were.
    pub(crate) fn hide(&self, topic: &str, value: &mut Value) -> usize {
        let located = |path: &JsonPath| -> Vec<String> {
            path.query_located(value)
                .locations()
                .map(serde_json_path::NormalizedPath::to_json_pointer)
                .collect()
        };
        let mut places: Vec<String> = self.of(topic).flat_map(|rule| &rule.paths).flat_map(located).collect();
        places.sort_unstable();
        places.dedup();
        for place in &places {
            // What lies in a place that is hidden already is gone.
            if let Some(member) = value.pointer_mut(place) {
                *member = Value::from(MASKED);
            }
        }
        places.len()
    }
}

/// Whether `*` in the pattern can stand for what is left.
fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn masks() -> Masks {
        let mask = |topics: &str, paths: &[&str]| Mask {
            topics: topics.to_owned(),
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
            headers: vec!["Authorization".to_owned()],
            key: topics == "people",
        };
        Masks::new(&[mask("billing.*", &["$.customer.email", "$..card", "$.customer"]), mask("people", &[])])
            .unwrap()
    }

    #[test]
    fn what_a_path_names_is_hidden_wherever_it_lies() {
        let mut value =
            json!({"customer": {"email": "a@b", "name": "A"}, "lines": [{"card": 1}, {"sum": 2}]});
        assert_eq!(masks().hide("billing.invoices", &mut value), 3);
        assert_eq!(value, json!({"customer": MASKED, "lines": [{"card": MASKED}, {"sum": 2}]}));
        let mut other = json!({"customer": {"email": "a@b"}});
        assert_eq!(masks().hide("orders", &mut other), 0);
        assert_eq!(other["customer"]["email"], "a@b");
    }

    #[test]
    fn headers_and_keys_are_hidden_where_a_rule_says_so() {
        assert!(
            masks().hides_header("billing.x", "AUTHORIZATION") && !masks().hides_header("y", "authorization")
        );
        assert!(masks().hides_key("people") && !masks().hides_key("billing.x"));
        assert!(masks().hides_members("billing.x") && !masks().hides_members("people"));
    }

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, text, expected) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("*", "", true),
            ("a.*", "a.b.c", true),
            ("*.c", "a.b.c", true),
            ("a*b*c", "a-x-b-y-c", true),
            ("a*b*c", "a-x-c", false),
            ("a*a", "a", false),
        ] {
            assert_eq!(fits(pattern, text), expected, "{pattern} {text}");
        }
    }
}
