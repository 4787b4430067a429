//! Resource paths: what an action acts on, as the registry and the policies name it.

use serde_json::Value;

/// Segments a resource may have.
pub const MAX_DEPTH: usize = 16;
/// Characters a resource may have.
pub const MAX_LENGTH: usize = 512;

/// Why there is no resource.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResourceError {
    /// The template names a member that the input does not have (or that is null or empty).
    #[error("the resource `{template}` needs `{member}`, which the input does not give; give it a value")]
    Missing {
        /// The template.
        template: String,
        /// The member.
        member: String,
    },
    /// The member is a list or an object.
    #[error(
        "the resource `{template}` needs `{member}` as text, a number or a boolean, and the input gives a list or an object"
    )]
    NotScalar {
        /// The template.
        template: String,
        /// The member.
        member: String,
    },
    /// The template has a `{` without `}`.
    #[error("the resource template `{0}` has a `{{` without its `}}`; correct the provider's document")]
    Template(String),
    /// What came out is no resource path.
    #[error("`{resource}` is no resource: {why}")]
    Path {
        /// The path, at most the first 80 characters of it.
        resource: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

impl From<ResourceError> for String {
    fn from(error: ResourceError) -> Self {
        error.to_string()
    }
}

/// What an action acts on: its template with each `{member}` replaced by the input's value, or `provider/operation`
/// when it has no template. A `/` in a value is percent-encoded, so that nobody names another resource by a value.
pub fn resource_of(
    template: Option<&str>,
    input: &Value,
    provider: &str,
    operation: &str,
) -> Result<String, ResourceError> {
    let Some(template) = template else {
        let mut resource = String::with_capacity(provider.len() + operation.len() + 1);
        encode_into(&mut resource, provider);
        resource.push('/');
        encode_into(&mut resource, operation);
        return check_resource(&resource).map(|()| resource);
    };
    let mut resource = String::with_capacity(template.len() + 32);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        resource.push_str(before);
        let (member, after) =
            after.split_once('}').ok_or_else(|| ResourceError::Template(template.to_owned()))?;
        let fact = || (template.to_owned(), member.to_owned());
        match input.get(member) {
            Some(Value::String(text)) if !text.is_empty() => encode_into(&mut resource, text),
            Some(Value::Number(number)) => resource.push_str(&number.to_string()),
            Some(Value::Bool(flag)) => resource.push_str(if *flag { "true" } else { "false" }),
            Some(Value::Array(_) | Value::Object(_)) => {
                let (template, member) = fact();
                return Err(ResourceError::NotScalar { template, member });
            }
            None | Some(Value::Null | Value::String(_)) => {
                let (template, member) = fact();
                return Err(ResourceError::Missing { template, member });
            }
        }
        rest = after;
    }
    resource.push_str(rest);
    check_resource(&resource).map(|()| resource)
}

/// Whether a text is a resource path: 1–16 segments, none empty, at most 512 characters, no control characters.
pub fn check_resource(resource: &str) -> Result<(), ResourceError> {
    let why = if resource.chars().count() > MAX_LENGTH {
        "it is longer than 512 characters"
    } else if resource.split('/').count() > MAX_DEPTH {
        "it has more than 16 segments"
    } else if resource.split('/').any(str::is_empty) {
        "it has an empty segment"
    } else if resource.chars().any(char::is_control) {
        "it contains a control character"
    } else {
        return Ok(());
    };
    Err(ResourceError::Path { resource: resource.chars().take(80).collect(), why })
}

/// Whether `resource` is `wide` or lies under it: what a plan may narrow to.
pub fn lies_under(resource: &str, wide: &str) -> bool {
    resource.strip_prefix(wide).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The proper prefixes of a path, the shortest first: `a/b/c` → `a`, `a/b`.
pub(crate) fn prefixes(resource: &str) -> impl Iterator<Item = &str> {
    resource.match_indices('/').map(|(position, _)| &resource[..position])
}

pub(crate) fn encode_into(out: &mut String, text: &str) {
    for character in text.chars() {
        if character == '/' || character == '%' || character.is_control() {
            let mut bytes = [0; 4];
            for byte in character.encode_utf8(&mut bytes).bytes() {
                out.push('%');
                for digit in [byte >> 4, byte & 15] {
                    out.push(char::from_digit(u32::from(digit), 16).unwrap_or('0').to_ascii_uppercase());
                }
            }
        } else {
            out.push(character);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn templates_are_filled() {
        let input = json!({"cluster": "default", "topic": "a/b%c\n", "pid": 42, "live": true, "list": [1], "no": null, "empty": ""});
        for (template, expected) in [
            (Some("kafka/{cluster}/topics/{topic}"), Ok("kafka/default/topics/a%2Fb%25c%0A")),
            (Some("p/{pid}/{live}"), Ok("p/42/true")),
            (Some("constant"), Ok("constant")),
            (None, Ok("kafka/delete-topic")),
            (Some("p/{list}"), Err("list or an object")),
            (Some("p/{no}"), Err("does not give")),
            (Some("p/{empty}"), Err("does not give")),
            (Some("p/{other}"), Err("does not give")),
            (Some("p/{pid"), Err("without its")),
            (Some("p//{pid}"), Err("empty segment")),
        ] {
            match (resource_of(template, &input, "kafka", "delete-topic"), expected) {
                (Ok(resource), Ok(expected)) => assert_eq!(resource, expected),
                (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
                (got, _) => panic!("{template:?}: {got:?}"),
            }
        }
    }

    #[test]
    fn a_value_cannot_reach_another_resource() {
        let resource =
            resource_of(Some("p/{name}/x"), &json!({"name": "mine/../../theirs"}), "p", "o").unwrap();
        assert_eq!(resource, "p/mine%2F..%2F..%2Ftheirs/x");
        assert_eq!(prefixes(&resource).collect::<Vec<_>>(), ["p", "p/mine%2F..%2F..%2Ftheirs"]);
    }

    #[test]
    fn paths_have_limits() {
        assert!(check_resource(&vec!["a"; 16].join("/")).is_ok());
        assert!(check_resource(&vec!["a"; 17].join("/")).is_err());
        assert!(check_resource(&"a".repeat(512)).is_ok());
        assert!(check_resource(&"a".repeat(513)).is_err());
        assert!(check_resource("").is_err());
        assert!(check_resource("a\n").is_err());
    }

    #[test]
    fn narrowing_stays_inside() {
        assert!(lies_under("postgres/shop/applications/x", "postgres/shop"));
        assert!(lies_under("postgres/shop", "postgres/shop"));
        assert!(!lies_under("postgres/shopping", "postgres/shop"));
        assert!(!lies_under("postgres", "postgres/shop"));
    }
}
