//! By which terms a record is found: values of its fields as short hashes, and the words of its texts.
//!
//! The index may only ever name too many records: each one found is held against the filter itself ([`lets_through`]).
//! So a collision of two hashes costs a look and nothing else.

use std::collections::BTreeSet;

use guichet_contract::{ActionId, Record};
use serde_json::Value;

use crate::RecordsFilter;

/// A word of a search of at least so many characters also finds the words that begin with it.
pub(crate) const PREFIX_FROM: usize = 3;

/// All terms of a record.
pub(super) fn terms_of(record: &Record, terms: &mut BTreeSet<String>) {
    let mut add = |kind: char, value: Option<&str>| {
        if let Some(value) = value {
            terms.insert(field(kind, value));
        }
    };
    add('p', record.principal.as_ref().map(|principal| principal.name.as_str()));
    add('a', record.action.as_ref().map(ActionId::as_str));
    add('o', record.owner.as_deref());
    add('t', record.trace_id.as_deref());
    add('v', Some(record.verb.as_str()));
    add('d', Some(record.verdict.as_str()));
    add('r', record.run.map(|run| run.to_string()).as_deref());
    if let Some(resource) = &record.resource {
        let ends = resource.match_indices('/').map(|(at, _)| at).chain([resource.len()]);
        for end in ends {
            add('s', resource.get(..end));
        }
    }
    for_each_word(record, &mut |word| {
        terms.insert(word_term(word));
    });
}

/// The question to the index; none when the filter names nothing that is indexed.
pub(super) fn question(filter: &RecordsFilter) -> Option<String> {
    let mut parts = Vec::new();
    let mut ask = |kind: char, value: Option<&str>| {
        parts.extend(value.map(|value| format!("\"{}\"", field(kind, value))));
    };
    ask('p', filter.principal.as_deref());
    ask('a', filter.action.as_ref().map(ActionId::as_str));
    ask('o', filter.owner.as_deref());
    ask('t', filter.trace.as_deref());
    ask('v', filter.verb.as_deref());
    ask('d', filter.verdict.as_deref());
    ask('r', filter.run.map(|run| run.to_string()).as_deref());
    ask('s', filter.resource.as_deref().map(without_slash));
    for word in words_of(filter.text.as_deref().unwrap_or_default()) {
        parts.push(if word.chars().count() < PREFIX_FROM {
            format!("\"{}\"", word_term(&word))
        } else if word.is_ascii() {
            // A word that goes on with other letters stands under its other form.
            format!("(\"{}\"* OR \"{}\"*)", word_term(&word), hexadecimal(&word))
        } else {
            format!("\"{}\"*", hexadecimal(&word))
        });
    }
    (!parts.is_empty()).then(|| parts.join(" AND "))
}

/// Whether the filter lets the record through. The last word, whatever the index says.
pub(crate) fn lets_through(filter: &RecordsFilter, record: &Record) -> bool {
    fn is(wanted: Option<&str>, found: Option<&str>) -> bool {
        wanted.is_none() || wanted == found
    }
    let RecordsFilter { principal, action, resource, owner, run, trace, text, verb, verdict, since, until } =
        filter;
    is(principal.as_deref(), record.principal.as_ref().map(|principal| principal.name.as_str()))
        && is(action.as_ref().map(ActionId::as_str), record.action.as_ref().map(ActionId::as_str))
        && is(owner.as_deref(), record.owner.as_deref())
        && is(trace.as_deref(), record.trace_id.as_deref())
        && is(verb.as_deref(), Some(record.verb.as_str()))
        && is(verdict.as_deref(), Some(record.verdict.as_str()))
        && run.is_none_or(|run| record.run == Some(run))
        && since.is_none_or(|since| record.at >= since)
        && until.is_none_or(|until| record.at < until)
        && resource.as_deref().map(without_slash).is_none_or(|wanted| {
            let below = record.resource.as_deref().and_then(|found| found.strip_prefix(wanted));
            below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
        && text.as_deref().is_none_or(|text| has_words(record, words_of(text)))
}

fn has_words(record: &Record, mut wanted: Vec<String>) -> bool {
    for_each_word(record, &mut |word| {
        wanted.retain(|wanted| {
            let found = word == wanted
                || (wanted.chars().count() >= PREFIX_FROM && word.starts_with(wanted.as_str()));
            !found
        });
    });
    wanted.is_empty()
}

pub(crate) fn without_slash(resource: &str) -> &str {
    resource.trim_end_matches("**").trim_end_matches('/')
}

/// Words of reason, detail, problem and input, lower case.
pub(crate) fn for_each_word(record: &Record, tell: &mut dyn FnMut(&str)) {
    for text in [&record.reason, &record.detail, &record.problem].into_iter().flatten() {
        words_in(text, tell);
    }
    if let Some(input) = &record.input {
        words_in_value(input, tell);
    }
}

fn words_in_value(value: &Value, tell: &mut dyn FnMut(&str)) {
    match value {
        Value::String(text) => words_in(text, tell),
        Value::Number(number) => words_in(&number.to_string(), tell),
        Value::Array(items) => items.iter().for_each(|item| words_in_value(item, tell)),
        Value::Object(members) => members.values().for_each(|member| words_in_value(member, tell)),
        Value::Null | Value::Bool(_) => {}
    }
}

pub(crate) fn words_of(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    words_in(text, &mut |word| words.push(word.to_owned()));
    words
}

fn words_in(text: &str, tell: &mut dyn FnMut(&str)) {
    let lower = text.to_lowercase();
    lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).for_each(tell);
}

/// A field's value: a letter and 16 hexadecimal digits, which no word's term begins with.
fn field(kind: char, value: &str) -> String {
    format!("{kind}{:016x}", hash(value.as_bytes()))
}

fn word_term(word: &str) -> String {
    if word.is_ascii() { format!("w{word}") } else { hexadecimal(word) }
}

/// Words with letters beyond ASCII, byte by byte: the index's own idea of letters must not differ from ours.
fn hexadecimal(word: &str) -> String {
    word.bytes().fold("u".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

/// FNV-1a. Nothing rests on it: see the head of this file.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}
