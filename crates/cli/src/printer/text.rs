//! Values, durations and moments as people read them.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

/// The text without control characters: it cannot move the cursor, change colours or reorder what stands
/// beside it. A line end with the indentation after it becomes one space.
pub(crate) fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut is_new_line = false;
    for character in text.chars() {
        let was_new_line = std::mem::replace(&mut is_new_line, false);
        match character {
            '\n' | '\r' | '\t' => {
                if !shown.ends_with(' ') {
                    shown.push(' ');
                }
                is_new_line = true;
            }
            ' ' if was_new_line => is_new_line = true,
            _ if character.is_control() || is_reordering(character) => shown.push('\u{fffd}'),
            _ => shown.push(character),
        }
    }
    shown
}

/// The text with its line ends and tabs, without other control characters.
pub(crate) fn tame(text: &str) -> String {
    let harmless = |c: char| matches!(c, '\n' | '\r' | '\t') || !(c.is_control() || is_reordering(c));
    text.chars().map(|c| if harmless(c) { c } else { '\u{fffd}' }).collect()
}

/// Unicode's bidirectional controls: with them "drop table" can be made to read otherwise.
fn is_reordering(character: char) -> bool {
    matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
}

/// One cell of a table.
pub(crate) fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => plain(text).trim_end().to_owned(),
        Value::Array(items) if items.iter().all(|item| !item.is_object() && !item.is_array()) => {
            items.iter().map(cell).collect::<Vec<_>>().join(", ")
        }
        other => plain(&other.to_string()),
    }
}

/// `2 d 3 h`, `3 h 58 min`, `4 min 10 s`, `12 s`.
pub(crate) fn duration(duration: SignedDuration) -> String {
    let seconds = duration.as_secs().max(0);
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes, seconds % 60) {
        (0, 0, 0, seconds) => format!("{seconds} s"),
        (0, 0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (0, hours, minutes, _) => format!("{hours} h {minutes} min"),
        (days, hours, _, _) => format!("{days} d {hours} h"),
    }
}

/// Between two moments; milliseconds while it is short.
pub(crate) fn took(from: Timestamp, to: Timestamp) -> String {
    let between = to.duration_since(from);
    if between < SignedDuration::from_secs(10) {
        let tenths = between.as_millis().max(0) / 100;
        return format!("{}.{} s", tenths / 10, tenths % 10);
    }
    duration(between)
}

/// `2026-11-21 08:30:05Z`.
pub(crate) fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// `awaiting approval`, for `awaiting_approval`.
pub(crate) fn words(word: &str) -> String {
    word.replace('_', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_of_others_controls_the_terminal() {
        assert_eq!(plain("select\n\t  1,  2"), "select 1,  2");
        assert_eq!(plain("\x1b[2Jx\u{7}"), "\u{fffd}[2Jx\u{fffd}");
        assert_eq!(plain("a\u{202e}b"), "a\u{fffd}b");
        assert_eq!(plain("déjà └─ 🙂"), "déjà └─ 🙂");
    }

    #[test]
    fn durations_have_two_units() {
        for (seconds, text) in
            [(12, "12 s"), (250, "4 min 10 s"), (14_280, "3 h 58 min"), (183_600, "2 d 3 h"), (-5, "0 s")]
        {
            assert_eq!(duration(SignedDuration::from_secs(seconds)), text);
        }
    }
}
