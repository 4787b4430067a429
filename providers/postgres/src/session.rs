//! Words about sessions that several actions share.

use schemars::JsonSchema;
use serde::Deserialize;

/// Which server.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct OfInstance {
    /// The instance or replica.
    pub(crate) identifier: String,
}

/// On one line, at most this many characters.
pub(crate) fn one_line(query: &str, most: usize) -> String {
    let mut line = String::new();
    for word in query.split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
        if line.len() > most * 4 {
            break;
        }
    }
    shorten(&line, most)
}

/// At most this many characters, the last of them `…` when some are missing.
pub(crate) fn shorten(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(most.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// Seconds with one decimal.
pub(crate) fn tenths(seconds: Option<f64>) -> Option<f64> {
    seconds.map(|seconds| (seconds.max(0.0) * 10.0).round() / 10.0)
}

/// A length of time as people say it: `12 s`, `3 min 4 s`, `2 h 5 min`, `3 d 1 h`.
pub(crate) fn how_long(seconds: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative, and far below 2^64"
    )]
    let seconds = seconds.max(0.0) as u64;
    let (large, small) = match seconds {
        s if s < 60 => return format!("{s} s"),
        s if s < 3_600 => ((s / 60, "min"), (s % 60, "s")),
        s if s < 86_400 => ((s / 3_600, "h"), (s % 3_600 / 60, "min")),
        s => ((s / 86_400, "d"), (s % 86_400 / 3_600, "h")),
    };
    match small {
        (0, _) => format!("{} {}", large.0, large.1),
        (n, unit) => format!("{} {} {n} {unit}", large.0, large.1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_fit_on_a_line() {
        assert_eq!(one_line("  select\n\t 1  ", 300), "select 1");
        assert_eq!(one_line(&"é ".repeat(400), 300).chars().count(), 300);
        assert_eq!(shorten("abcdef", 4), "abc…");
    }

    #[test]
    fn lengths_of_time_are_said_as_people_say_them() {
        for (seconds, words) in [
            (0.4, "0 s"),
            (59.9, "59 s"),
            (60.0, "1 min"),
            (184.0, "3 min 4 s"),
            (7_500.0, "2 h 5 min"),
            (262_800.0, "3 d 1 h"),
        ] {
            assert_eq!(how_long(seconds), words);
        }
    }
}
