//! Patterns over resource paths: which resources a team owns.
//!
//! Segments are separated by `/`. `*` stands for any characters inside one segment, `**` as the last segment for
//! the rest, nothing included: `postgres/shop/**` means `postgres/shop` and all below it.

use crate::resource::{MAX_DEPTH, MAX_LENGTH};

/// One pattern, ready to match.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    pub(crate) text: String,
    segments: Vec<String>,
    /// Ends in `**`.
    rest: bool,
}

/// The greater is the more specific: longest literal beginning, then most literal characters, then the one that
/// names its own depth, then the one without any wildcard.
pub(crate) type Specificity = (usize, usize, bool, bool);

impl Pattern {
    /// Reads a pattern; the error says what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("the pattern is empty: write for example `postgres/shop/**`".to_owned());
        }
        if text.chars().count() > MAX_LENGTH {
            return Err(format!("the pattern is longer than {MAX_LENGTH} characters"));
        }
        if text.chars().any(char::is_control) {
            return Err("the pattern contains a control character".to_owned());
        }
        let mut segments: Vec<String> = text.split('/').map(str::to_owned).collect();
        if segments.len() > MAX_DEPTH {
            return Err(format!("the pattern has more than {MAX_DEPTH} segments"));
        }
        if segments.iter().any(String::is_empty) {
            return Err(format!("`{text}` has an empty segment: remove the extra `/`"));
        }
        let rest = segments.last().is_some_and(|last| last == "**");
        if rest {
            segments.pop();
        }
        if segments.iter().any(|segment| segment.contains("**")) {
            return Err(format!(
                "`{text}`: `**` stands for the rest, so it can only be the last segment; `*` stands for any characters of one segment"
            ));
        }
        Ok(Self { text: text.to_owned(), segments, rest })
    }

    /// Whether a resource is meant.
    pub(crate) fn matches(&self, resource: &str) -> bool {
        let mut parts = resource.split('/');
        for segment in &self.segments {
            match parts.next() {
                Some(part) if segment_matches(segment.as_bytes(), part.as_bytes()) => {}
                _ => return false,
            }
        }
        self.rest || parts.next().is_none()
    }

    /// How specific it is.
    pub(crate) fn specificity(&self) -> Specificity {
        let path = self.path();
        let literal = path.chars().filter(|character| *character != '*').count();
        (self.literal_prefix().chars().count(), literal, !self.rest, !self.rest && !path.contains('*'))
    }

    /// The path before the first wildcard.
    pub(crate) fn literal_prefix(&self) -> &str {
        let path = self.path();
        path.split('*').next().unwrap_or(path)
    }

    /// The first segment when it has no wildcard: what patterns are indexed by.
    pub(crate) fn first_literal(&self) -> Option<&str> {
        self.segments.first().filter(|segment| !segment.contains('*')).map(String::as_str)
    }

    /// Whether some resource is meant by both.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        let common = self.segments.iter().zip(&other.segments);
        let depths = match self.segments.len().cmp(&other.segments.len()) {
            std::cmp::Ordering::Equal => true,
            std::cmp::Ordering::Less => self.rest,
            std::cmp::Ordering::Greater => other.rest,
        };
        depths && common.into_iter().all(|(one, two)| segments_overlap(one.as_bytes(), two.as_bytes()))
    }

    /// The text without a trailing `/**`.
    fn path(&self) -> &str {
        if self.rest {
            self.text.strip_suffix("**").unwrap_or(&self.text).trim_end_matches('/')
        } else {
            &self.text
        }
    }
}

/// `*` matching with one point of return: the last star takes one character more.
fn segment_matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut seen) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while seen < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, seen));
                at += 1;
            }
            Some(byte) if *byte == text[seen] => {
                at += 1;
                seen += 1;
            }
            _ => match star {
                Some((star_at, taken)) => {
                    star = Some((star_at, taken + 1));
                    at = star_at + 1;
                    seen = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

/// Whether some text matches both segments: a table over the remainders of both, filled from the end.
fn segments_overlap(one: &[u8], two: &[u8]) -> bool {
    let width = two.len() + 1;
    let mut table = vec![false; (one.len() + 1) * width];
    for left in (0..=one.len()).rev() {
        for right in (0..=two.len()).rev() {
            let after_left = left < one.len() && table[(left + 1) * width + right];
            let after_right = right < two.len() && table[left * width + right + 1];
            table[left * width + right] = match (one.get(left), two.get(right)) {
                (None, None) => true,
                // A star ends here, or takes what the other side has next.
                (Some(b'*'), _) | (_, Some(b'*')) => after_left || after_right,
                (Some(a), Some(b)) => a == b && table[(left + 1) * width + right + 1],
                _ => false,
            };
        }
    }
    table[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).unwrap()
    }

    #[test]
    fn matching() {
        for (text, resource, expected) in [
            ("postgres/shop", "postgres/shop", true),
            ("postgres/shop", "postgres/shop/x", false),
            ("postgres/shop/**", "postgres/shop", true),
            ("postgres/shop/**", "postgres/shop/a/b", true),
            ("postgres/shop/**", "postgres/shopping", false),
            ("postgres/*", "postgres/shop", true),
            ("postgres/*", "postgres/shop/x", false),
            ("a/check*", "a/checkout-api", true),
            ("a/check*", "a/check", true),
            ("a/*ab*b", "a/xabab", true),
            ("a/*ab*b", "a/xaba", false),
            ("**", "anything/at/all", true),
            ("a/é*", "a/eté", false),
            ("a/é*", "a/éta", true),
        ] {
            assert_eq!(pattern(text).matches(resource), expected, "{text} on {resource}");
        }
    }

    #[test]
    fn the_more_specific_is_greater() {
        for (more, less) in [
            ("postgres/shop/applications/checkout*", "postgres/shop/**"),
            ("postgres/shop/*", "postgres/shop/**"),
            ("postgres/shop", "postgres/shop/**"),
            ("postgres/shop", "postgres/shop*"),
            ("a/*/topics/x", "a/*/topics/*"),
            ("a", "**"),
        ] {
            assert!(pattern(more).specificity() > pattern(less).specificity(), "{more} over {less}");
        }
    }

    #[test]
    fn overlapping() {
        for (one, two, expected) in [
            ("a/*b", "a/b*", true),
            ("a/*b", "a/*c", false),
            ("a/b", "a/b/c", false),
            ("a/**", "a/b/c", true),
            ("a/*x*", "a/y*z", true),
            ("a/x", "a/x", true),
        ] {
            assert_eq!(pattern(one).overlaps(&pattern(two)), expected, "{one} and {two}");
            assert_eq!(pattern(two).overlaps(&pattern(one)), expected, "{two} and {one}");
        }
    }

    #[test]
    fn wrong_patterns_say_why() {
        for (text, part) in [
            ("", "empty"),
            ("a//b", "empty segment"),
            ("a/**/b", "only be the last"),
            ("a/b**", "only be the last"),
            ("a\u{7}", "control"),
        ] {
            let message = Pattern::parse(text).unwrap_err();
            assert!(message.contains(part), "{text}: {message}");
        }
        assert!(Pattern::parse(&vec!["a"; 17].join("/")).unwrap_err().contains("segments"));
    }
}
