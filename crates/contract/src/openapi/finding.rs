//! What is wrong with a document: gathered, so that an author sees all of it at once.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Strictness;

/// One place of a document and what is to be said about it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// JSON pointer (RFC 6901) to the place; empty for the whole document.
    pub pointer: String,
    /// What is wrong, why, and what to do.
    pub message: String,
}

impl Finding {
    pub(super) fn new(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pointer = if self.pointer.is_empty() { "the document" } else { &self.pointer };
        write!(f, "{pointer}: {}", self.message)
    }
}

/// Faults and warnings found so far in one part of a document.
#[derive(Debug)]
pub(super) struct Findings {
    strictness: Strictness,
    pub(super) faults: Vec<Finding>,
    pub(super) warnings: Vec<Finding>,
}

impl Findings {
    pub(super) fn new(strictness: Strictness) -> Self {
        Self { strictness, faults: Vec::new(), warnings: Vec::new() }
    }

    /// What makes this part unusable.
    pub(super) fn fault(&mut self, pointer: impl Into<String>, message: impl Into<String>) {
        push_new(&mut self.faults, Finding::new(pointer, message));
    }

    /// What deserves a look.
    pub(super) fn warn(&mut self, pointer: impl Into<String>, message: impl Into<String>) {
        push_new(&mut self.warnings, Finding::new(pointer, message));
    }

    /// A fault in our own documents, a warning in others'.
    pub(super) fn doubt(&mut self, pointer: impl Into<String>, message: impl Into<String>) {
        match self.strictness {
            Strictness::Strict => self.fault(pointer, message),
            Strictness::Lenient => self.warn(pointer, message),
        }
    }

    pub(super) fn is_strict(&self) -> bool {
        self.strictness == Strictness::Strict
    }

    /// Takes over what was found elsewhere.
    pub(super) fn take(&mut self, others: &Self) {
        others.faults.iter().for_each(|fault| push_new(&mut self.faults, fault.clone()));
        others.warnings.iter().for_each(|warning| push_new(&mut self.warnings, warning.clone()));
    }

    pub(super) fn add(&mut self, fault: Finding) {
        push_new(&mut self.faults, fault);
    }
}

/// Findings told of one part of a document. Who has that many begins with these.
const MOST_FINDINGS: usize = 50;

/// A schema that is used twice is looked at twice, and told once.
fn push_new(list: &mut Vec<Finding>, finding: Finding) {
    if list.len() < MOST_FINDINGS && !list.contains(&finding) {
        list.push(finding);
    }
}

/// ` (did you mean …?)` when one of the known words is near, else nothing.
pub(super) fn did_you_mean<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> String {
    let length = word.chars().count();
    if length > 64 {
        return String::new();
    }
    let most = (length / 3).max(1);
    // Enough to find a typing error; comparing with thousands of names would cost more than it tells.
    known
        .into_iter()
        .take(200)
        .map(|candidate| {
            (strsim::damerau_levenshtein(&word.to_lowercase(), &candidate.to_lowercase()), candidate)
        })
        .filter(|(distance, candidate)| *distance <= most && *candidate != word)
        .min_by_key(|(distance, _)| *distance)
        .map_or_else(String::new, |(_, candidate)| format!(" (did you mean `{candidate}`?)"))
}
