//! When a schedule's times are: a calendar expression, read in a time zone.
//!
//! Where clocks are set forward, a time that does not exist is taken at the first moment after the gap. Where they are set
//! back, a set time (`0 3 * * *`) comes once, at the earlier of the two moments; one that comes round within the hour
//! (`*/15 * * * *`) comes in both.

use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};
use jiff::{Timestamp, tz::TimeZone};

/// An expression is not longer, characters.
const EXPRESSION_MAX: usize = 200;

/// Why an expression is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CalendarError {
    /// It cannot be read.
    #[error("`{expression}` is no calendar expression: {why}")]
    Expression {
        /// As it was given, shortened.
        expression: String,
        /// What is wrong with it.
        why: String,
    },
    /// No such zone.
    #[error("no time zone is called `{0}`: write an IANA name such as `Europe/Berlin`")]
    Zone(String),
    /// It has no times.
    #[error("`{0}` never comes: no date answers to it")]
    Never(String),
}

/// A calendar expression in a time zone.
#[derive(Debug, Clone)]
pub struct Calendar {
    cron: Cron,
    zone: TimeZone,
    zone_name: String,
}

impl Calendar {
    /// Five fields (minute, hour, day of the month, month, day of the week), or `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`; in
    /// the IANA zone of this name.
    ///
    /// # Errors
    /// What is wrong, in words for whoever wrote it.
    pub fn read(expression: &str, zone_name: &str) -> Result<Self, CalendarError> {
        let no = |why: String| CalendarError::Expression {
            expression: expression.chars().take(EXPRESSION_MAX).collect(),
            why,
        };
        if expression.chars().count() > EXPRESSION_MAX {
            return Err(no(format!("it is longer than {EXPRESSION_MAX} characters")));
        }
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let cron = parser.parse(expression).map_err(|error| no(error.to_string()))?;
        let zone = TimeZone::get(zone_name)
            .map_err(|_| CalendarError::Zone(zone_name.chars().take(EXPRESSION_MAX).collect()))?;
        let calendar = Self { cron, zone, zone_name: zone_name.to_owned() };
        if calendar.after(Timestamp::UNIX_EPOCH).is_none() {
            return Err(CalendarError::Never(expression.to_owned()));
        }
        Ok(calendar)
    }

    /// The first time after this moment; none when there is none.
    pub fn after(&self, moment: Timestamp) -> Option<Timestamp> {
        let local = moment.to_zoned(self.zone.clone());
        let next = self.cron.find_next_occurrence(&local, false).ok()?.timestamp();
        (next > moment).then_some(next)
    }

    /// The first times after this moment that are not after `until`, at most `count`.
    pub fn times(&self, moment: Timestamp, until: Option<Timestamp>, count: usize) -> Vec<Timestamp> {
        let mut times = Vec::new();
        let mut from = moment;
        while times.len() < count
            && let Some(next) = self.after(from).filter(|next| until.is_none_or(|until| *next <= until))
        {
            times.push(next);
            from = next;
        }
        times
    }

    /// In words: `at 03:00, Monday to Friday, Europe/Paris`.
    pub fn in_words(&self) -> String {
        let told = self.cron.describe();
        let told = told.trim_end_matches('.');
        let mut words = String::with_capacity(told.len() + self.zone_name.len() + 2);
        let mut letters = told.chars();
        words.extend(letters.next().map(|first| first.to_ascii_lowercase()));
        words.push_str(letters.as_str());
        let days = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
        // A list of days that follow each other reads better by its ends.
        for (from, to) in [(0, 6), (0, 5), (0, 4), (0, 3)] {
            let (last, others) = (days[to], days[from..to].join(", "));
            for list in [format!("on {others}, and {last}"), format!("on {others} and {last}")] {
                words = words.replace(&list, &format!("{} to {last}", days[from]));
            }
        }
        format!("{words}, {}", self.zone_name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(expression: &str, from: &str, count: usize) -> Vec<String> {
        let zone = TimeZone::get("Europe/Paris").unwrap();
        Calendar::read(expression, "Europe/Paris")
            .unwrap()
            .times(from.parse().unwrap(), None, count)
            .into_iter()
            .map(|time| time.to_zoned(zone.clone()).strftime("%d %H:%M%:z").to_string())
            .collect()
    }

    #[test]
    fn a_set_time_is_the_same_on_the_wall_in_winter_and_summer() {
        assert_eq!(
            times("0 3 * * *", "2026-03-28T00:00:00Z", 3),
            ["28 03:00+01:00", "29 03:00+02:00", "30 03:00+02:00"]
        );
        assert_eq!(
            times("0 4 * * *", "2026-10-24T00:00:00Z", 3),
            ["24 04:00+02:00", "25 04:00+01:00", "26 04:00+01:00"]
        );
    }

    #[test]
    fn a_time_that_does_not_exist_is_the_first_moment_after_the_gap() {
        // On 29 March 2026, 02:00 to 03:00 are left out in Paris.
        assert_eq!(
            times("30 2 * * *", "2026-03-28T00:00:00Z", 3),
            ["28 02:30+01:00", "29 03:00+02:00", "30 02:30+02:00"]
        );
        assert_eq!(
            times("*/30 * * * *", "2026-03-29T00:15:00Z", 3),
            ["29 01:30+01:00", "29 03:00+02:00", "29 03:30+02:00"]
        );
    }

    #[test]
    fn a_set_time_comes_once_where_the_hour_comes_twice() {
        // On 25 October 2026, 02:00 to 03:00 come twice in Paris.
        assert_eq!(
            times("30 2 * * *", "2026-10-24T01:00:00Z", 3),
            ["25 02:30+02:00", "26 02:30+01:00", "27 02:30+01:00"]
        );
        assert_eq!(
            times("*/30 * * * *", "2026-10-24T23:45:00Z", 5),
            ["25 02:00+02:00", "25 02:30+02:00", "25 02:00+01:00", "25 02:30+01:00", "25 03:00+01:00"]
        );
    }

    #[test]
    fn times_end() {
        let calendar = Calendar::read("0 3 * * *", "UTC").unwrap();
        let (from, until) =
            ("2026-11-21T03:00:00Z".parse().unwrap(), "2026-11-23T03:00:00Z".parse().unwrap());
        assert_eq!(calendar.times(from, Some(until), 9).len(), 2, "after, and up to and with the end");
    }

    #[test]
    fn expressions_read_in_words() {
        for (expression, words) in [
            ("0 3 * * 1-5", "at 03:00, Monday to Friday, Europe/Paris"),
            ("@daily", "at 00:00, Europe/Paris"),
            ("*/15 * * * *", "at every 15 minutes, Europe/Paris"),
            ("30 2 1 * *", "at 02:30, on day 1, Europe/Paris"),
            ("0 9 * * SAT,SUN", "at 09:00, on Sunday and Saturday, Europe/Paris"),
        ] {
            assert_eq!(Calendar::read(expression, "Europe/Paris").unwrap().in_words(), words);
        }
    }

    #[test]
    fn what_is_none_says_why() {
        let why = |expression: &str, zone: &str| Calendar::read(expression, zone).unwrap_err().to_string();
        for expression in ["", "at three", "61 * * * *", "0 0 3 * * *", "0 3 * *"] {
            assert!(why(expression, "UTC").contains("is no calendar expression: "), "{expression}");
        }
        assert_eq!(why("0 0 30 2 *", "UTC"), "`0 0 30 2 *` never comes: no date answers to it");
        assert!(why("0 3 * * *", "Mars/Base").contains("no time zone is called `Mars/Base`"));
        assert!(why(&"1,".repeat(200), "UTC").contains("longer than"));
    }
}
