//! From single figures to a table: medians, percentiles, ratios within a round, Markdown.

use std::{fmt::Write as _, time::Duration};

/// What one measurement gave.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Measured {
    pub(crate) per_second: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    /// CPU time the servers in question spent per answer.
    pub(crate) cpu: Duration,
}

/// From the durations of everything that was done in `took`.
pub(crate) fn of_durations(mut durations: Vec<Duration>, took: Duration) -> Measured {
    durations.sort_unstable();
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    let per_second = durations.len() as f64 / took.as_secs_f64().max(f64::EPSILON);
    Measured {
        per_second,
        p50: percentile(&durations, 50),
        p99: percentile(&durations, 99),
        cpu: Duration::ZERO,
    }
}

/// Of sorted durations: the smallest that `percent` of them do not exceed.
fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

/// The middle one.
pub(crate) fn median(figures: impl IntoIterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.into_iter().collect();
    figures.sort_unstable_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The middle duration.
pub(crate) fn median_of(durations: impl IntoIterator<Item = Duration>) -> Duration {
    Duration::from_secs_f64(median(durations.into_iter().map(|duration| duration.as_secs_f64())).max(0.0))
}

/// The middle of the ratios of each round: what the machine did to a round, it did to both.
pub(crate) fn ratio(ours: &[Measured], theirs: &[Measured]) -> f64 {
    median(ours.iter().zip(theirs).map(|(ours, theirs)| ours.per_second / theirs.per_second))
}

/// `2.13×`.
pub(crate) fn times(ratio: f64) -> String {
    if ratio.is_nan() { "–".to_owned() } else { format!("{ratio:.2}×") }
}

/// `12 345`.
pub(crate) fn count(figure: f64) -> String {
    let digits = format!("{figure:.0}");
    let mut grouped = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    grouped
}

/// Milliseconds, or microseconds where they say more.
pub(crate) fn duration(duration: Duration) -> String {
    let micros = duration.as_secs_f64() * 1e6;
    if micros < 1000.0 { format!("{micros:.0} µs") } else { format!("{:.1} ms", micros / 1000.0) }
}

/// `12.3 MiB`.
pub(crate) fn mib(kib: u64) -> String {
    let tenths = kib * 10 / 1024;
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}

/// A Markdown table.
pub(crate) struct Table(String);

impl Table {
    /// With these columns; the first is words, the others are figures.
    pub(crate) fn new(columns: &[&str]) -> Self {
        let mut text = String::new();
        let _ = writeln!(text, "| {} |", columns.join(" | "));
        let _ = writeln!(text, "| --- |{}", " ---: |".repeat(columns.len().saturating_sub(1)));
        Self(text)
    }

    /// One more row.
    pub(crate) fn row(&mut self, cells: &[String]) {
        let _ = writeln!(self.0, "| {} |", cells.join(" | "));
    }

    /// The text.
    pub(crate) fn into_text(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_condensed_as_their_names_say() {
        let all: Vec<Duration> = (1..=200).rev().map(Duration::from_millis).collect();
        let measured = of_durations(all, Duration::from_secs(2));
        assert_eq!((measured.p50, measured.p99), (Duration::from_millis(100), Duration::from_millis(198)));
        assert!((measured.per_second - 100.0).abs() < 1e-9);
        assert_eq!(of_durations(Vec::new(), Duration::ZERO).p99, Duration::ZERO);
        assert!((median([3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert_eq!(times(median([])), "–");
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        let rounds =
            |figures: [f64; 3]| figures.map(|per_second| Measured { per_second, ..Measured::default() });
        assert!((ratio(&rounds([10.0, 50.0, 30.0]), &rounds([20.0, 100.0, 50.0])) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn figures_are_written_to_be_read() {
        assert_eq!(
            [count(7.4), count(1234.0), count(1_234_567.0)],
            ["7", "1\u{202f}234", "1\u{202f}234\u{202f}567"]
        );
        assert_eq!(duration(Duration::from_micros(431)), "431 µs");
        assert_eq!(duration(Duration::from_micros(12_345)), "12.3 ms");
    }
}
