//! What is wrong in a text somebody wrote, and where.

use std::fmt;

/// What is wrong in a policy or registry file, and where. Shown as `file:line:column: message`, which editors
/// and terminals turn into a link.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// Name of the file as it was handed in; `provider NAME` for what a provider declared.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// What happened, why, and what to write instead.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)
    }
}

impl std::error::Error for Fault {}

impl Fault {
    /// At a byte offset of a text. An offset past the end (the parser missed something there) is the end.
    pub(crate) fn at(file: &str, text: &str, offset: usize, message: impl Into<String>) -> Self {
        let (line, column) = place_of(text, offset);
        Self { file: file.to_owned(), line, column, message: message.into() }
    }

    /// Of a whole file, or of something that has no text.
    pub(crate) fn of_file(file: &str, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line: 1, column: 1, message: message.into() }
    }
}

fn place_of(text: &str, offset: usize) -> (usize, usize) {
    let mut end = offset.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let before = &text[..end];
    let line_start = before.rfind('\n').map_or(0, |position| position + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_lines_and_characters_from_one() {
        for (text, offset, place) in [
            ("abc", 0, (1, 1)),
            ("abc", 2, (1, 3)),
            ("a\nbc", 3, (2, 2)),
            ("é\né=1", 5, (2, 2)),
            ("a\n", 99, (2, 1)),
            ("é", 1, (1, 1)),
        ] {
            assert_eq!(place_of(text, offset), place, "{text:?} at {offset}");
        }
    }

    #[test]
    fn a_fault_reads_as_editors_expect() {
        let fault = Fault::at("policy/a.cedar", "x\n  y", 4, "no");
        assert_eq!(fault.to_string(), "policy/a.cedar:2:3: no");
    }
}
