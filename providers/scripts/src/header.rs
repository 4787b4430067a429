//! What a script says of itself: TOML between `# /// guichet` and `# ///`, or in a file `SCRIPT.toml` beside it.
//!
//! The form is that of Python's PEP 723; the comment may begin with `#`, `//` or `--`.

use std::collections::BTreeMap;

use guichet_contract::{
    Approvers, Effect,
    action::{Example, Options, View},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// All that can stand in it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Header {
    pub(crate) title: String,
    pub(crate) description: Option<String>,
    effect: Option<Effect>,
    pub(crate) approval: Option<Approval>,
    pub(crate) command: Option<String>,
    pub(crate) resource: Option<String>,
    pub(crate) concurrency: Option<String>,
    timeout: Option<String>,
    /// The image of the container it runs in, where scripts run in containers.
    pub(crate) image: Option<String>,
    #[serde(default)]
    pub(crate) confirm: bool,
    #[serde(default)]
    pub(crate) idempotent: bool,
    pub(crate) plan: Option<String>,
    #[serde(default)]
    pub(crate) args: Vec<String>,
    #[serde(default)]
    pub(crate) secrets: Vec<String>,
    pub(crate) view: Option<View>,
    #[serde(default, rename = "example")]
    pub(crate) examples: Vec<Example>,
    #[serde(default, rename = "input")]
    pub(crate) inputs: BTreeMap<String, Member>,
}

/// Who must approve.
#[derive(Debug, Clone, Deserialize)]
#[serde(
    untagged,
    expecting = "approval is \"owner\", \"team:NAME\", or a table with by, count, because, expires"
)]
pub(crate) enum Approval {
    By(Approvers),
    Table(ApprovalTable),
}

/// The same with more words.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApprovalTable {
    pub(crate) by: Approvers,
    pub(crate) count: Option<u8>,
    pub(crate) because: Option<String>,
    pub(crate) expires: Option<String>,
}

/// One member of the input.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Member {
    #[serde(default)]
    pub(crate) r#type: Kind,
    title: Option<String>,
    description: Option<String>,
    r#enum: Option<Vec<Value>>,
    pattern: Option<String>,
    format: Option<String>,
    minimum: Option<Value>,
    maximum: Option<Value>,
    min_length: Option<u64>,
    max_length: Option<u64>,
    min_items: Option<u64>,
    max_items: Option<u64>,
    items: Option<Value>,
    pub(crate) default: Option<Value>,
    #[serde(default)]
    pub(crate) sensitive: bool,
    required: Option<bool>,
    pub(crate) options: Option<Options>,
}

/// What a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    #[default]
    String,
    Integer,
    Number,
    Boolean,
    Array,
    Object,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Array => "array",
            Self::Object => "object",
        }
    }
}

impl Header {
    /// What is not said is a change.
    pub(crate) fn effect(&self) -> Effect {
        self.effect.unwrap_or(Effect::Change)
    }

    /// How long the script may take, as it is written; 30 s when nothing is said.
    pub(crate) fn timeout(&self) -> &str {
        self.timeout.as_deref().unwrap_or("30s")
    }

    /// The same in seconds.
    ///
    /// # Errors
    /// No length of time between 1 s and 23 h.
    pub(crate) fn timeout_seconds(&self) -> Result<u64, String> {
        let text = self.timeout();
        let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (digits, unit) = text.split_at(split);
        let unit = match unit {
            "s" => Some(1),
            "m" => Some(60),
            "h" => Some(3_600),
            _ => None,
        };
        let seconds = digits.parse::<u64>().ok().zip(unit).and_then(|(n, unit)| n.checked_mul(unit));
        seconds.filter(|seconds| (1..=82_800).contains(seconds)).ok_or_else(|| {
            format!("timeout `{text}` is no length of time from 1s to 23h: write 30s, 15m or 4h")
        })
    }

    /// The JSON Schema of its input.
    pub(crate) fn schema(&self) -> Value {
        let properties: Map<String, Value> =
            self.inputs.iter().map(|(name, member)| (name.clone(), member.schema())).collect();
        let required: Vec<&String> =
            self.inputs.iter().filter(|(_, member)| member.is_required()).map(|(name, _)| name).collect();
        json!({"type": "object", "properties": properties, "required": required})
    }
}

impl Member {
    fn is_required(&self) -> bool {
        self.required.unwrap_or(self.default.is_none())
    }

    fn schema(&self) -> Value {
        let mut schema = json!({"type": self.r#type.as_str()});
        let mut say = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                schema[name] = value;
            }
        };
        say("title", self.title.as_ref().map(|text| json!(text)));
        say("description", self.description.as_ref().map(|text| json!(text)));
        say("enum", self.r#enum.as_ref().map(|values| json!(values)));
        say("pattern", self.pattern.as_ref().map(|text| json!(text)));
        say("format", self.format.as_ref().map(|text| json!(text)));
        say("minimum", self.minimum.clone());
        say("maximum", self.maximum.clone());
        say("minLength", self.min_length.map(|number| json!(number)));
        say("maxLength", self.max_length.map(|number| json!(number)));
        say("minItems", self.min_items.map(|number| json!(number)));
        say("maxItems", self.max_items.map(|number| json!(number)));
        say("items", self.items.clone());
        say("default", self.default.clone());
        say("x-guichet", self.sensitive.then(|| json!({"sensitive": true})));
        schema
    }
}

/// A header as text, and the line of the file before its first.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) text: String,
    pub(crate) after_line: usize,
}

/// The header in a script; none when it has none.
///
/// # Errors
/// Line and words where it is not ended.
pub(crate) fn find(script: &str) -> Result<Option<Block>, (usize, String)> {
    let mut lines = script.lines().enumerate();
    for (index, line) in lines.by_ref() {
        let Some(leader) = ["#", "//", "--"].into_iter().find(|leader| is_mark(line, leader, "/// guichet"))
        else {
            continue;
        };
        let mut text = String::new();
        for (_, line) in lines.by_ref() {
            if is_mark(line, leader, "///") {
                return Ok(Some(Block { text, after_line: index + 1 }));
            }
            let Some(rest) = line.trim_start().strip_prefix(leader) else { break };
            text.push_str(rest.strip_prefix(' ').unwrap_or(rest));
            text.push('\n');
        }
        let why =
            format!("the header begins here and does not end: write `{leader} ///` under its last line");
        return Err((index + 1, why));
    }
    Ok(None)
}

fn is_mark(line: &str, leader: &str, mark: &str) -> bool {
    line.trim().strip_prefix(leader).is_some_and(|rest| rest.trim() == mark)
}

/// Reads a header.
///
/// # Errors
/// Line (of the file) and what is wrong there.
pub(crate) fn read(block: &Block) -> Result<Header, (usize, String)> {
    toml::from_str(&block.text).map_err(|error| {
        let before = error.span().map_or(0, |span| span.start);
        let line = block.text.bytes().take(before).filter(|byte| *byte == b'\n').count() + 1;
        (block.after_line + line, error.message().trim().replace('\n', " "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_stands_in_any_comment() {
        for leader in ["#", "//", "--"] {
            let script =
                format!("#!x\n{leader} /// guichet\n{leader} title = \"T\"\n{leader}\n{leader} ///\nrest");
            let block = find(&script).unwrap().unwrap();
            assert_eq!(block, Block { text: "title = \"T\"\n\n".to_owned(), after_line: 2 });
            let header = read(&block).unwrap();
            assert_eq!((header.title.as_str(), header.effect()), ("T", Effect::Change));
        }
        assert_eq!(find("#!/bin/sh\necho"), Ok(None));
        assert_eq!(find("#!/bin/sh\n# /// guichet\n# title = 'x'\necho").unwrap_err().0, 2);
    }

    #[test]
    fn what_is_wrong_has_its_line() {
        let told = |text: &str| read(&Block { text: text.to_owned(), after_line: 2 }).unwrap_err();
        let (line, why) = told("title = 'T'\neffekt = 'read'\n");
        assert_eq!(line, 4);
        assert!(why.contains("unknown field `effekt`"), "{why}");
        let (line, why) = told("title = 'T'\n[input.a]\nminimun = 1\n");
        assert_eq!(line, 5);
        assert!(why.contains("unknown field `minimun`"), "{why}");
        assert!(told("title = 'T'\neffect = 'reed'\n").1.contains("unknown variant `reed`"));
        assert!(told("effect = 'read'\n").1.contains("missing field `title`"));
    }
}
