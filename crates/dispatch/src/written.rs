//! How a value is written at its place: OpenAPI's styles for path, query, header and cookie, and the bodies that are not
//! JSON.

use std::{borrow::Cow, fmt::Write as _};

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use guichet_contract::{
    Digest,
    action::{Parameter, Place, Style},
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

/// What stays as it is in a path segment or a query: the unreserved characters of RFC 3986.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// With or without padding: both are common.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Why a value cannot be a part of a path.
const NO_PART: &str = "a part of a path cannot be empty, `.` or `..`";

/// A value as text.
pub(crate) fn text_of(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        other => Cow::Owned(other.to_string()),
    }
}

/// Adds a text in which nothing means anything to a URL.
pub(crate) fn add_encoded(to: &mut String, text: &str) {
    to.extend(utf8_percent_encode(text, ENCODED));
}

/// Adds a part of a path. `Err`: no path can carry it.
pub(crate) fn add_to_path(
    path: &mut String,
    parameter: &Parameter,
    value: &Value,
) -> Result<(), &'static str> {
    let (before, between) = match parameter.style {
        Style::Label => (".", if parameter.explode { "." } else { "," }),
        Style::Matrix => (";", if parameter.explode { ";" } else { "," }),
        _ => ("", ","),
    };
    // What names the whole, before each item or once.
    let named = parameter.style == Style::Matrix;
    let name = |path: &mut String| {
        add_encoded(path, &parameter.wire_name);
        path.push('=');
    };
    let start = path.len();
    path.push_str(before);
    match value {
        Value::Array(items) if parameter.style != Style::Json => {
            for (position, item) in items.iter().enumerate() {
                if position > 0 {
                    path.push_str(between);
                }
                if named && (parameter.explode || position == 0) {
                    name(path);
                }
                add_encoded(path, &text_of(item));
            }
            if items.is_empty() {
                return Err(NO_PART);
            }
        }
        Value::Object(members) if parameter.style != Style::Json => {
            if named && !parameter.explode {
                name(path);
            }
            for (position, (member, value)) in members.iter().enumerate() {
                if position > 0 {
                    path.push_str(between);
                }
                add_encoded(path, member);
                path.push(if parameter.explode { '=' } else { ',' });
                add_encoded(path, &text_of(value));
            }
            if members.is_empty() {
                return Err(NO_PART);
            }
        }
        value => {
            if named {
                name(path);
            }
            add_encoded(path, &text_of(value));
        }
    }
    // However it came about: such a part leads elsewhere than the document says.
    if path.get(start..).is_some_and(|written| matches!(written, "" | "." | "..")) {
        return Err(NO_PART);
    }
    Ok(())
}

/// Whether a field of a form is written as JSON: one that is JSON by its document's word always, one that may be an object
/// only where it is one.
fn is_json(parameter: &Parameter, value: &Value) -> bool {
    parameter.style == Style::Json
        && (parameter.place != Place::BodyMember || parameter.content_type.is_some() || value.is_object())
}

/// The pairs of a query, a form or a cookie, not encoded.
pub(crate) fn pairs(parameter: &Parameter, value: &Value) -> Vec<(String, String)> {
    let name = &parameter.wire_name;
    let one = |text: String| vec![(name.clone(), text)];
    let between = match parameter.style {
        // A field that is nothing is not there: a form has no word for it.
        _ if parameter.place == Place::BodyMember && value.is_null() && !is_json(parameter, value) => {
            return Vec::new();
        }
        Style::Json if is_json(parameter, value) => return one(value.to_string()),
        Style::Json => {
            let items = value.as_array().map_or_else(|| std::slice::from_ref(value), Vec::as_slice);
            return items.iter().map(|item| (name.clone(), text_of(item).into_owned())).collect();
        }
        Style::DeepObject => {
            let mut pairs = Vec::new();
            add_deep(&mut pairs, name, value);
            return pairs;
        }
        Style::Spaces => " ",
        Style::Pipes => "|",
        Style::Tabs => "\t",
        _ => ",",
    };
    let joined = |parts: Vec<Cow<'_, str>>| parts.join(between);
    match value {
        Value::Array(items) if parameter.explode => {
            items.iter().map(|item| (name.clone(), text_of(item).into_owned())).collect()
        }
        Value::Array(items) => one(joined(items.iter().map(text_of).collect())),
        Value::Object(members) if parameter.explode => members
            .iter()
            .flat_map(|(member, value)| match value {
                Value::Array(items) => {
                    items.iter().map(|item| (member.clone(), text_of(item).into_owned())).collect()
                }
                other => vec![(member.clone(), text_of(other).into_owned())],
            })
            .collect(),
        Value::Object(members) => {
            let flat =
                members.iter().flat_map(|(member, value)| [Cow::Borrowed(member.as_str()), text_of(value)]);
            one(joined(flat.collect()))
        }
        other => one(text_of(other).into_owned()),
    }
}

fn add_deep(pairs: &mut Vec<(String, String)>, name: &str, value: &Value) {
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(member, value)| add_deep(pairs, &format!("{name}[{member}]"), value));
        }
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(position, item)| add_deep(pairs, &format!("{name}[{position}]"), item)),
        other => pairs.push((name.to_owned(), text_of(other).into_owned())),
    }
}

/// `a=1&b=2`.
pub(crate) fn form<'p>(pairs: impl IntoIterator<Item = &'p (String, String)>) -> String {
    let mut text = String::new();
    for (name, value) in pairs {
        if !text.is_empty() {
            text.push('&');
        }
        add_encoded(&mut text, name);
        text.push('=');
        add_encoded(&mut text, value);
    }
    text
}

/// A form whose object was not taken apart: each member as it is usual.
pub(crate) fn form_of(value: &Value) -> Vec<(String, String)> {
    match value {
        Value::Object(members) => members
            .iter()
            .flat_map(|(name, value)| match value {
                Value::Array(items) => {
                    items.iter().map(|item| (name.clone(), text_of(item).into_owned())).collect()
                }
                other => vec![(name.clone(), text_of(other).into_owned())],
            })
            .collect(),
        other => vec![(text_of(other).into_owned(), String::new())],
    }
}

/// What a header carries.
pub(crate) fn header_text<'v>(parameter: &Parameter, value: &'v Value) -> Cow<'v, str> {
    match value {
        Value::Array(items) if parameter.style != Style::Json => {
            Cow::Owned(items.iter().map(text_of).collect::<Vec<_>>().join(","))
        }
        Value::Object(members) if parameter.style != Style::Json => {
            let between = if parameter.explode { '=' } else { ',' };
            let told = members.iter().map(|(member, value)| format!("{member}{between}{}", text_of(value)));
            Cow::Owned(told.collect::<Vec<_>>().join(","))
        }
        value => text_of(value),
    }
}

/// The bytes that stand in the input as base64.
pub(crate) fn bytes_of(value: &Value) -> Result<Vec<u8>, &'static str> {
    let text: String = text_of(value).chars().filter(|letter| !letter.is_whitespace()).collect();
    BASE64.decode(text).map_err(|_| "bytes stand in the input as base64, and this is none")
}

/// A body of several parts, RFC 7578.
pub(crate) struct Parts {
    boundary: String,
    body: Vec<u8>,
}

impl Parts {
    /// For a body made of this input. The boundary is a digest of it, so that nobody can write one that stands in it.
    pub(crate) fn of(input: &Value) -> Self {
        let digest = Digest::of_json(input).to_string();
        let boundary: String = digest.chars().filter(char::is_ascii_alphanumeric).take(60).collect();
        Self { boundary, body: Vec::new() }
    }

    pub(crate) fn content_type(&self, media_type: &str) -> String {
        format!("{media_type}; boundary={}", self.boundary)
    }

    /// One member of the input: a part, or one for each item of a list.
    pub(crate) fn add(&mut self, parameter: &Parameter, value: &Value) -> Result<(), &'static str> {
        match value {
            Value::Null if !is_json(parameter, value) => Ok(()),
            Value::Array(items) if !is_json(parameter, value) => {
                items.iter().try_for_each(|item| self.add_one(parameter, item))
            }
            value => self.add_one(parameter, value),
        }
    }

    fn add_one(&mut self, parameter: &Parameter, value: &Value) -> Result<(), &'static str> {
        let name = quoted(&parameter.wire_name);
        let usual = match parameter.style {
            Style::Bytes => Some("application/octet-stream"),
            Style::Json if is_json(parameter, value) => Some("application/json"),
            _ => None,
        };
        let mut head = format!("--{}\r\nContent-Disposition: form-data; name=\"{name}\"", self.boundary);
        if parameter.style == Style::Bytes {
            // Servers take what has a name of a file for one.
            let _ = write!(head, "; filename=\"{name}\"");
        }
        let content_type = parameter.content_type.as_deref().filter(|told| is_plain_header(told)).or(usual);
        if let Some(content_type) = content_type {
            let _ = write!(head, "\r\nContent-Type: {content_type}");
        }
        self.body.extend_from_slice(head.as_bytes());
        self.body.extend_from_slice(b"\r\n\r\n");
        match parameter.style {
            Style::Bytes => self.body.extend(bytes_of(value)?),
            Style::Json if is_json(parameter, value) => {
                self.body.extend_from_slice(value.to_string().as_bytes());
            }
            _ => self.body.extend_from_slice(text_of(value).as_bytes()),
        }
        self.body.extend_from_slice(b"\r\n");
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.body.extend_from_slice(format!("--{}--\r\n", self.boundary).as_bytes());
        self.body
    }
}

fn is_plain_header(text: &str) -> bool {
    text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) && !text.contains('*')
}

/// As RFC 7578 has browsers write names.
fn quoted(name: &str) -> String {
    name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parameter(place: Place, style: Style, explode: bool) -> Parameter {
        let name = "color".to_owned();
        Parameter { name: name.clone(), wire_name: name, place, explode, style, content_type: None }
    }

    /// The table of style examples of OpenAPI 3.1 (Parameter Object).
    #[test]
    fn paths_are_written_as_the_specification_s_table_says() {
        let (text, list, object) =
            (json!("blue"), json!(["blue", "black", "brown"]), json!({"R": 100, "G": 200, "B": 150}));
        for (style, explode, of_text, of_list, of_object) in [
            (Style::Usual, false, "blue", "blue,black,brown", "R,100,G,200,B,150"),
            (Style::Usual, true, "blue", "blue,black,brown", "R=100,G=200,B=150"),
            (Style::Label, false, ".blue", ".blue,black,brown", ".R,100,G,200,B,150"),
            (Style::Label, true, ".blue", ".blue.black.brown", ".R=100.G=200.B=150"),
            (Style::Matrix, false, ";color=blue", ";color=blue,black,brown", ";color=R,100,G,200,B,150"),
            (Style::Matrix, true, ";color=blue", ";color=blue;color=black;color=brown", ";R=100;G=200;B=150"),
        ] {
            for (value, expected) in [(&text, of_text), (&list, of_list), (&object, of_object)] {
                let mut path = String::new();
                add_to_path(&mut path, &parameter(Place::Path, style, explode), value).unwrap();
                assert_eq!(path, expected, "{style:?} {explode}");
            }
        }
        for (style, values) in [
            (Style::Usual, vec![json!(""), json!(".."), json!([]), json!([""]), json!([".."]), json!({})]),
            (Style::Json, vec![json!(".")]),
            (Style::Label, vec![json!(""), json!("."), json!([""]), json!(["."])]),
        ] {
            for value in values {
                let mut path = "/v1/".to_owned();
                let written = add_to_path(&mut path, &parameter(Place::Path, style, false), &value);
                assert_eq!(written, Err(NO_PART), "{style:?} {value}");
            }
        }
        // With something around them they are words like any other.
        for (style, value, expected) in [
            (Style::Label, json!(".."), "..."),
            (Style::Matrix, json!(".."), ";color=.."),
            (Style::Usual, json!(["..", ".."]), "..,.."),
        ] {
            let mut path = String::new();
            add_to_path(&mut path, &parameter(Place::Path, style, false), &value).unwrap();
            assert_eq!(path, expected);
        }
        let mut path = String::new();
        add_to_path(&mut path, &parameter(Place::Path, Style::Usual, false), &json!("a/b?c")).unwrap();
        assert_eq!(path, "a%2Fb%3Fc");
    }

    #[test]
    fn queries_are_written_as_the_specification_s_table_says() {
        let (list, object) = (json!(["blue", "black"]), json!({"R": 100, "G": 200}));
        for (style, explode, value, expected) in [
            (Style::Usual, true, &list, "color=blue&color=black"),
            (Style::Usual, false, &list, "color=blue%2Cblack"),
            (Style::Usual, true, &object, "R=100&G=200"),
            (Style::Usual, false, &object, "color=R%2C100%2CG%2C200"),
            (Style::Spaces, false, &list, "color=blue%20black"),
            (Style::Pipes, false, &list, "color=blue%7Cblack"),
            (Style::DeepObject, false, &object, "color%5BR%5D=100&color%5BG%5D=200"),
            (Style::DeepObject, false, &list, "color%5B0%5D=blue&color%5B1%5D=black"),
            (Style::Json, false, &list, "color=%5B%22blue%22%2C%22black%22%5D"),
        ] {
            let written = form(&pairs(&parameter(Place::Query, style, explode), value));
            assert_eq!(written, expected, "{style:?} {explode}");
        }
    }

    /// What a document leaves open is decided by the value: a text is not written in quotation marks.
    #[test]
    fn a_field_of_any_type_is_json_only_when_it_is_an_object() {
        let open = parameter(Place::BodyMember, Style::Json, false);
        for (value, expected) in [
            (json!("abc"), "color=abc"),
            (json!(5), "color=5"),
            (json!(null), ""),
            (json!(["a", {"b": 1}]), "color=a&color=%7B%22b%22%3A1%7D"),
            (json!({"a": "b"}), "color=%7B%22a%22%3A%22b%22%7D"),
        ] {
            assert_eq!(form(&pairs(&open, &value)), expected);
        }
        let told = Parameter { content_type: Some("application/json".to_owned()), ..open.clone() };
        assert_eq!(form(&pairs(&told, &json!("abc"))), "color=%22abc%22");
        let part = |parameter: &Parameter, value: Value| {
            let mut parts = Parts::of(&json!({}));
            parts.add(parameter, &value).unwrap();
            let text = String::from_utf8(parts.body).unwrap();
            let (_, part) = text.split_once("\r\n").unwrap_or_default();
            part.trim_end().to_owned()
        };
        let head = "Content-Disposition: form-data; name=\"color\"\r\n";
        let json = format!("{head}Content-Type: application/json\r\n\r\n");
        assert_eq!(part(&open, json!("abc")), format!("{head}\r\nabc"));
        assert_eq!(part(&open, json!(null)), "");
        assert_eq!(part(&open, json!({"a": 1})), format!("{json}{{\"a\":1}}"));
        assert_eq!(part(&told, json!("abc")), format!("{json}\"abc\""));
    }

    #[test]
    fn parts_are_told_apart_and_bytes_are_bytes() {
        let mut parts = Parts::of(&json!({"a": 1}));
        let file = Parameter {
            content_type: Some("image/png".to_owned()),
            ..parameter(Place::BodyMember, Style::Bytes, true)
        };
        parts.add(&file, &json!("/w8")).unwrap();
        parts.add(&parameter(Place::BodyMember, Style::Usual, true), &json!(["x", "y"])).unwrap();
        assert!(parts.add(&file, &json!("not base64!")).is_err());
        let mut parts = Parts::of(&json!({"a": 1}));
        parts.add(&file, &json!("/w8")).unwrap();
        let boundary = parts.boundary.clone();
        let expected = [
            format!("--{boundary}\r\nContent-Disposition: form-data; name=\"color\"; filename=\"color\"\r\nContent-Type: image/png\r\n\r\n").into_bytes(),
            vec![0xff, 0x0f],
            format!("\r\n--{boundary}--\r\n").into_bytes(),
        ]
        .concat();
        assert_eq!(parts.finish(), expected);
    }
}
