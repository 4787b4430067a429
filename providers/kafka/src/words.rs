//! Sizes, times and ids as people read them.

use std::fmt::Write as _;

use guichet_provider_sdk::ActionError;
use jiff::Timestamp;

use crate::wire::TopicId;

/// `3.4 MiB`.
pub(crate) fn size(bytes: i64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let mut amount = bytes.max(0) as f64;
    let mut unit = 0;
    while amount >= 1024.0 && unit + 1 < UNITS.len() {
        amount /= 1024.0;
        unit += 1;
    }
    let digits = usize::from(unit > 0);
    format!("{amount:.digits$} {}", UNITS.get(unit).unwrap_or(&"B"))
}

/// `2026-11-21T08:00:00Z (3 h ago)`.
pub(crate) fn moment(then: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(then).as_secs().max(0);
    let ago = match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    };
    let then = Timestamp::from_second(then.as_second()).unwrap_or(then);
    format!("{then} ({ago} ago)")
}

/// One decimal.
pub(crate) fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// `1 member`, `2 members`.
pub(crate) fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// An id as it goes into what a plan is bound to.
pub(crate) fn hex(id: TopicId) -> String {
    id.iter().fold(String::with_capacity(32), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// `name=value` as it is typed; `pointer` is where.
pub(crate) fn pair(text: &str, pointer: &str) -> Result<(String, String), ActionError> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => Ok((name.trim().to_owned(), value.to_owned())),
        _ => Err(ActionError::invalid(
            pointer,
            format!("`{text}` is no name and value: write it as NAME=VALUE"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_people_read_them() {
        assert_eq!([size(0), size(1023), size(1536), size(5 << 30)], ["0 B", "1023 B", "1.5 KiB", "5.0 GiB"]);
        let now: Timestamp = "2026-11-21T12:00:00.5Z".parse().unwrap();
        let before: Timestamp = "2026-11-21T08:30:00.25Z".parse().unwrap();
        assert_eq!(moment(before, now), "2026-11-21T08:30:00Z (3 h ago)");
        assert_eq!(counted(1, "member") + &counted(0, "member"), "1 member0 members");
        assert_eq!(pair("a=b=c", "/x").unwrap(), ("a".to_owned(), "b=c".to_owned()));
        assert!(pair("=b", "/x").is_err() && pair("b", "/x").is_err());
    }
}
