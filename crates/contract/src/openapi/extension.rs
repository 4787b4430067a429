//! `x-guichet`: what a provider says about an operation, and about one member of its input, beyond OpenAPI.
//!
//! Here each field is read for itself. What names other things is checked where those are known: templates and
//! examples in `template`, other operations in `links`.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    action::{ApprovalDeclaration, Effect, Example, Options, Tree, Undo, View},
    approval::Approvers,
};

use super::{
    fields::Fields,
    finding::{Finding, Findings, did_you_mean},
    place::At,
};

const OPERATION: [&str; 19] = [
    "command",
    "title",
    "effect",
    "approval",
    "plan",
    "facts",
    "resource",
    "concurrency",
    "cool_down",
    "undo",
    "confirm",
    "long",
    "resumable",
    "idempotent",
    "remembers",
    "timeout",
    "sensitive",
    "view",
    "examples",
];
const MEMBER: [&str; 3] = ["options", "sensitive", "name"];
/// Types of facts.
const FACTS: [&str; 4] = ["boolean", "integer", "string", "array"];
const DAY: u32 = 86_400;
/// What the parts of a finished run are called where an inverse takes its inputs from.
const UNDO_ROOTS: [&str; 3] = ["input", "plan", "result"];

/// What an operation says of itself; each field absent where it says nothing.
#[derive(Debug, Default)]
pub(super) struct OperationExtension {
    pub(super) command: Option<Vec<String>>,
    pub(super) title: Option<String>,
    pub(super) effect: Option<Effect>,
    pub(super) approval: Option<ApprovalDeclaration>,
    pub(super) plan: bool,
    pub(super) facts: BTreeMap<String, Value>,
    pub(super) resource: Option<String>,
    pub(super) concurrency: Option<String>,
    pub(super) cool_down_seconds: Option<u32>,
    pub(super) undo: Option<Undo>,
    pub(super) confirm: bool,
    pub(super) long: bool,
    pub(super) resumable: bool,
    pub(super) idempotent: bool,
    pub(super) remembers: bool,
    pub(super) timeout_seconds: Option<u32>,
    pub(super) sensitive: bool,
    pub(super) view: Option<View>,
    pub(super) examples: Vec<Example>,
}

/// What a member of the input says of itself.
#[derive(Debug, Default)]
pub(super) struct MemberExtension {
    /// The name in the flat input, and where it was said.
    pub(super) name: Option<(String, String)>,
    /// Live values, and where they were declared.
    pub(super) options: Option<(Options, String)>,
    pub(super) sensitive: Option<bool>,
}

/// The `x-guichet` of an operation.
pub(super) fn operation(at: &At<'_>, findings: &mut Findings) -> OperationExtension {
    let Some(mut fields) = Fields::open(at, "x-guichet", &OPERATION, findings) else {
        return OperationExtension::default();
    };
    OperationExtension {
        command: command(&mut fields),
        title: fields.text("title"),
        effect: effect(&mut fields),
        approval: fields.at("approval").and_then(|at| approval(&at, fields.findings)),
        plan: fields.boolean("plan").unwrap_or_default(),
        facts: facts(&mut fields),
        resource: fields.text("resource"),
        concurrency: fields.text("concurrency"),
        cool_down_seconds: fields.seconds("cool_down", 1, 7 * DAY),
        undo: fields.at("undo").and_then(|at| undo(&at, fields.findings)),
        confirm: fields.boolean("confirm").unwrap_or_default(),
        long: fields.boolean("long").unwrap_or_default(),
        resumable: fields.boolean("resumable").unwrap_or_default(),
        idempotent: fields.boolean("idempotent").unwrap_or_default(),
        remembers: fields.boolean("remembers").unwrap_or_default(),
        timeout_seconds: fields.seconds("timeout", 1, DAY),
        sensitive: fields.boolean("sensitive").unwrap_or_default(),
        view: fields.at("view").and_then(|at| view(&at, fields.findings)),
        examples: examples(&mut fields),
    }
}

/// Things that a provider left out, at most.
const MOST_LEFT_OUT: usize = 1_000;

/// The `x-guichet` of the document: names the provider for people who read it, and tells what its provider left out, which is
/// given.
pub(super) fn document(at: &At<'_>, findings: &mut Findings) -> Vec<Finding> {
    let Some(mut fields) = Fields::open(at, "x-guichet of the document", &["provider", "left_out"], findings)
    else {
        return Vec::new();
    };
    let Some(said) = fields.at("left_out") else { return Vec::new() };
    let sentences = said.value.as_array().filter(|list| list.len() <= MOST_LEFT_OUT);
    let told = |(position, sentence): (usize, &Value)| {
        Some(Finding::new(format!("{}/{position}", said.pointer), sentence.as_str()?))
    };
    let left_out: Option<Vec<Finding>> =
        sentences.and_then(|sentences| sentences.iter().enumerate().map(told).collect());
    left_out.unwrap_or_else(|| {
        let message = format!("`left_out` is a list of at most {MOST_LEFT_OUT} sentences");
        fields.fault("left_out", message);
        Vec::new()
    })
}

/// The `x-guichet` of a parameter or a property; the first of several places that says something wins.
pub(super) fn member(at: &At<'_>, said: &mut MemberExtension, findings: &mut Findings) {
    let Some(mut fields) = Fields::open(at, "x-guichet of a member", &MEMBER, findings) else { return };
    let sensitive = fields.boolean("sensitive");
    let name = fields.text("name").and_then(|name| {
        let plain = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
            && name.chars().all(|letter| letter.is_ascii_alphanumeric() || "_-.".contains(letter));
        if plain {
            return Some((name, fields.pointer("name")));
        }
        fields.fault(
            "name",
            format!("`{name}` is no name: it begins with a letter and has letters, digits, `_`, `-`, `.`"),
        );
        None
    });
    let options = fields.at("options").and_then(|at| Some((options(&at, fields.findings)?, at.pointer)));
    said.sensitive = said.sensitive.or(sensitive);
    said.name = said.name.take().or(name);
    said.options = said.options.take().or(options);
}

/// Below a member only `sensitive` means something; the others are known, because a schema may be used in both ways.
pub(super) fn deep_sensitive(at: &At<'_>, findings: &mut Findings) -> Option<bool> {
    Fields::open(at, "x-guichet of a property", &MEMBER, findings)?.boolean("sensitive")
}

/// What of a plan policies may read. Policies are typed, so each is of one type that they have.
fn facts(fields: &mut Fields<'_, '_>) -> BTreeMap<String, Value> {
    let Some(at) = fields.at("facts") else { return BTreeMap::new() };
    let Some(declared) = at.value.as_object() else {
        fields.fault("facts", "`facts` names facts of the plan, each with the JSON Schema of its value");
        return BTreeMap::new();
    };
    let wrong = |schema: &&Value| {
        let kind = schema.get("type").and_then(Value::as_str);
        !kind.is_some_and(|kind| FACTS.contains(&kind))
    };
    if let Some((name, _)) = declared.iter().find(|(_, schema)| wrong(schema)) {
        let message = format!("fact `{name}` has no type that policies can read: {}", FACTS.join(", "));
        fields.fault("facts", message);
        return BTreeMap::new();
    }
    if !fields.boolean("plan").unwrap_or_default() {
        fields.fault("facts", "facts are told by plans, and this operation makes none: add `plan: true`");
        return BTreeMap::new();
    }
    declared.iter().map(|(name, schema)| (name.clone(), schema.clone())).collect()
}

fn command(fields: &mut Fields<'_, '_>) -> Option<Vec<String>> {
    let words: Vec<String> = if fields.at("command")?.value.is_array() {
        fields.texts("command")?
    } else {
        fields.text("command")?.split_whitespace().map(str::to_owned).collect()
    };
    let is_word = |word: &String| {
        word.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit())
            && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    if let Some(word) = words.iter().find(|word| !is_word(word)) {
        fields.fault(
            "command",
            format!("`{word}` is no word of a command: use lower-case letters, digits and `-`, as in `kafka topics delete`"),
        );
        return None;
    }
    if words.is_empty() || words.len() > 6 {
        fields.fault("command", format!("a command has 1 to 6 words; this one has {}", words.len()));
        return None;
    }
    Some(words)
}

fn effect(fields: &mut Fields<'_, '_>) -> Option<Effect> {
    match fields.text("effect")?.as_str() {
        "read" => Some(Effect::Read),
        "change" => Some(Effect::Change),
        "destroy" => Some(Effect::Destroy),
        other => {
            let near = did_you_mean(other, ["read", "change", "destroy"]);
            fields.fault("effect", format!("`{other}` is no effect{near}; write read, change or destroy"));
            None
        }
    }
}

fn approval(at: &At<'_>, findings: &mut Findings) -> Option<ApprovalDeclaration> {
    let mut fields = Fields::open(at, "approval", &["by", "count", "because", "expires"], findings)?;
    let by = match fields.at("by") {
        None => {
            fields.missing("by", "say who approves, `owner` or `team:NAME`");
            None
        }
        Some(_) => fields.text("by"),
    };
    let by = by.and_then(|by| by.parse::<Approvers>().map_err(|message| fields.fault("by", message)).ok());
    let count = fields.whole("count", 1, 20).and_then(|count| u8::try_from(count).ok()).unwrap_or(1);
    let because = fields.text("because");
    let expires_seconds = fields.seconds("expires", 60, 30 * DAY);
    Some(ApprovalDeclaration { by: by?, count, because, expires_seconds })
}

fn undo(at: &At<'_>, findings: &mut Findings) -> Option<Undo> {
    let mut fields = Fields::open(at, "undo", &["operation", "with"], findings)?;
    if fields.at("operation").is_none() {
        fields.missing("operation", "name the `operationId` of the operation that undoes this one");
    }
    let operation = fields.text("operation");
    let mut with = BTreeMap::new();
    if let Some(given) = fields.at("with") {
        if !given.value.is_object() {
            fields.fault("with", "`with` should be an object: input of that operation ← place in the run");
        }
        for (name, from) in given.members() {
            let pointer = from.value.as_str().unwrap_or_default();
            let root = pointer.split('/').nth(1).unwrap_or_default();
            if super::place::is_pointer(pointer) && UNDO_ROOTS.contains(&root) {
                with.insert(name.to_owned(), pointer.to_owned());
            } else {
                let message =
                    "this should be a JSON pointer into the run, `/input/…`, `/plan/…` or `/result/…`";
                fields.findings.fault(from.pointer, message);
            }
        }
    }
    Some(Undo { operation: operation?, with })
}

fn view(at: &At<'_>, findings: &mut Findings) -> Option<View> {
    let mut fields = Fields::open(at, "view", &["rows", "columns", "tree", "row_actions"], findings)?;
    let columns = fields.texts("columns").unwrap_or_default();
    let tree = fields.at("tree").and_then(|at| tree(&at, &columns, fields.findings));
    Some(View {
        rows: fields.json_pointer("rows").unwrap_or_default(),
        tree,
        row_actions: fields.texts("row_actions").unwrap_or_default(),
        columns,
    })
}

fn tree(at: &At<'_>, columns: &[String], findings: &mut Findings) -> Option<Tree> {
    let mut fields = Fields::open(at, "tree", &["depth", "column"], findings)?;
    for (name, why) in
        [("depth", "name the member of a row that holds its depth"), ("column", "name the column to indent")]
    {
        if fields.at(name).is_none() {
            fields.missing(name, why);
        }
    }
    let (depth, column) = (fields.text("depth"), fields.text("column"));
    if let Some(column) = column.as_ref().filter(|column| !columns.is_empty() && !columns.contains(column)) {
        let near = did_you_mean(column, columns.iter().map(String::as_str));
        fields.fault(
            "column",
            format!("`{column}` is not among the columns shown{near}; they are {}", columns.join(", ")),
        );
    }
    Some(Tree { depth: depth?, column: column? })
}

fn examples(fields: &mut Fields<'_, '_>) -> Vec<Example> {
    let Some(list) = fields.at("examples") else { return Vec::new() };
    if !list.value.is_array() {
        fields.fault("examples", "`examples` should be a list of {title, input}");
    }
    list.items().filter_map(|at| example(&at, fields.findings)).collect()
}

fn example(at: &At<'_>, findings: &mut Findings) -> Option<Example> {
    let mut fields = Fields::open(at, "example", &["title", "input"], findings)?;
    if fields.at("title").is_none() {
        fields.missing("title", "say in a few words what the example shows");
    }
    let input = fields.at("input");
    match &input {
        None => fields.missing("input", "give the flat input of the call, `{}` when there is none"),
        Some(input) if !input.value.is_object() => {
            fields.fault("input", "`input` should be an object: the flat input of the call");
        }
        Some(_) => {}
    }
    Some(Example {
        title: fields.text("title")?,
        input: input.filter(|input| input.value.is_object())?.value.clone(),
    })
}

fn options(at: &At<'_>, findings: &mut Findings) -> Option<Options> {
    let mut fields = Fields::open(at, "options", &["operation", "with", "rows", "value", "label"], findings)?;
    if fields.at("operation").is_none() {
        fields.missing("operation", "name the `operationId` of the operation that lists the values");
    }
    let operation = fields.text("operation");
    let with = fields.at("with").map(|at| with(&at, &mut fields)).unwrap_or_default();
    let label = labels(&mut fields);
    Some(Options {
        with,
        rows: fields.json_pointer("rows").unwrap_or_default(),
        value: fields.json_pointer("value").unwrap_or_default(),
        label,
        operation: operation?,
    })
}

fn with(at: &At<'_>, fields: &mut Fields<'_, '_>) -> BTreeMap<String, String> {
    if !at.value.is_object() {
        fields.fault("with", "`with` should be an object: input of that operation ← input of this one");
    }
    let mut with = BTreeMap::new();
    for (name, from) in at.members() {
        match from.value.as_str() {
            Some(member) => {
                with.insert(name.to_owned(), member.to_owned());
            }
            None => fields.findings.fault(from.pointer, "this should be the name of a member of this input"),
        }
    }
    with
}

/// One pointer or a list of them.
fn labels(fields: &mut Fields<'_, '_>) -> Vec<String> {
    let Some(at) = fields.at("label") else { return Vec::new() };
    if at.value.is_array() {
        let labels = fields.texts("label").unwrap_or_default();
        if let Some(wrong) = labels.iter().find(|label| !super::place::is_pointer(label)) {
            fields.fault(
                "label",
                format!("`label` should be JSON pointers such as `/name`; `{wrong}` is none"),
            );
        }
        labels
    } else {
        fields.json_pointer("label").into_iter().collect()
    }
}
