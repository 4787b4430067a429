//! A length of time as people write it: `30s`, `15m`, `4h`, `2d`.

use std::time::Duration;

/// A length of time, from `"15m"` or a `Duration`. Whole seconds count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeout(Result<u64, String>);

impl From<Duration> for Timeout {
    fn from(duration: Duration) -> Self {
        Self(Ok(duration.as_secs()))
    }
}

impl From<&str> for Timeout {
    fn from(text: &str) -> Self {
        let split = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
        let (digits, unit) = text.split_at(split);
        let unit_seconds = match unit {
            "s" => Some(1),
            "m" => Some(60),
            "h" => Some(3_600),
            "d" => Some(86_400),
            _ => None,
        };
        let seconds = digits.parse::<u64>().ok().zip(unit_seconds).and_then(|(n, unit)| n.checked_mul(unit));
        Self(seconds.ok_or_else(|| format!("`{text}` is no length of time: write 30s, 15m, 4h or 2d")))
    }
}

impl Timeout {
    /// In seconds, when it lies between these bounds (inclusive).
    pub(crate) fn seconds(&self, least: u64, most: u64) -> Result<u64, String> {
        let seconds = self.0.clone()?;
        if (least..=most).contains(&seconds) {
            Ok(seconds)
        } else {
            Err(format!("{seconds} s is outside {least} s to {most} s"))
        }
    }

    /// In the largest unit that tells it exactly.
    pub(crate) fn text(seconds: u64) -> String {
        match seconds {
            s if s > 0 && s % 86_400 == 0 => format!("{}d", s / 86_400),
            s if s > 0 && s % 3_600 == 0 => format!("{}h", s / 3_600),
            s if s > 0 && s % 60 == 0 => format!("{}m", s / 60),
            s => format!("{s}s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_read_and_written() {
        for (text, seconds) in [("30s", 30), ("15m", 900), ("4h", 14_400), ("2d", 172_800)] {
            assert_eq!(Timeout::from(text).seconds(1, 1_000_000), Ok(seconds));
            assert_eq!(Timeout::text(seconds), text);
        }
        for text in ["", "15", "m", "15 m", "-1s", "99999999999999999999d"] {
            assert!(Timeout::from(text).seconds(0, u64::MAX).is_err(), "{text}");
        }
        assert!(Timeout::from("0s").seconds(1, 10).is_err());
    }
}
