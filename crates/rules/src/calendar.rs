//! Facts of the moment: who is on call, and whether people are at work. The registry tells them; the moment is handed in.

use std::collections::BTreeSet;

use jiff::{
    Timestamp,
    civil::{Time, Weekday},
    tz::TimeZone,
};
use serde::Deserialize;
use serde_saphyr::Spanned;

/// When who is on call, and when people work.
#[derive(Debug, Clone, Default)]
pub struct Calendar {
    shifts: Vec<Shift>,
    office_hours: Option<OfficeHours>,
}

#[derive(Debug, Clone)]
struct Shift {
    team: String,
    person: String,
    from: Timestamp,
    until: Timestamp,
}

#[derive(Debug, Clone)]
struct OfficeHours {
    zone: TimeZone,
    days: Vec<Weekday>,
    from: Time,
    until: Time,
}

impl Calendar {
    /// The teams this person is on call for.
    pub fn on_call(&self, person: &str, now: Timestamp) -> BTreeSet<&str> {
        self.shifts
            .iter()
            .filter(|shift| shift.person == person && shift.from <= now && now < shift.until)
            .map(|shift| shift.team.as_str())
            .collect()
    }

    /// Whether people are at work. Never, where no office hours are given: a rule that leans on them then holds.
    pub fn is_office_hours(&self, now: Timestamp) -> bool {
        let Some(hours) = &self.office_hours else { return false };
        let local = now.to_zoned(hours.zone.clone());
        hours.days.contains(&local.weekday()) && hours.from <= local.time() && local.time() < hours.until
    }

    pub(crate) fn add_shift(&mut self, team: &str, shift: &ShiftText) -> Result<(), String> {
        let moment = |text: Option<&String>, otherwise: Timestamp| match text {
            None => Ok(otherwise),
            Some(text) => text.parse::<Timestamp>().map_err(|_| {
                format!("`{text}` is no moment: write it like `2026-11-16T08:00:00Z`, with its offset")
            }),
        };
        let from = moment(shift.from.as_ref(), Timestamp::MIN)?;
        let until = moment(shift.until.as_ref(), Timestamp::MAX)?;
        if until <= from {
            return Err("the shift ends before it begins: exchange `from` and `until`".to_owned());
        }
        self.shifts.push(Shift { team: team.to_owned(), person: shift.person.value.clone(), from, until });
        Ok(())
    }

    pub(crate) fn set_office_hours(&mut self, text: &OfficeHoursText) -> Result<(), String> {
        if self.office_hours.is_some() {
            return Err("the office hours are given twice: keep one of the two".to_owned());
        }
        let zone = TimeZone::get(&text.time_zone).map_err(|_| {
            format!("no time zone is called `{}`: write an IANA name such as `Europe/Berlin`", text.time_zone)
        })?;
        let time = |text: &str| {
            text.parse::<Time>().map_err(|_| format!("`{text}` is no time of day: write it like `09:00`"))
        };
        let (from, until) = (time(&text.from)?, time(&text.until)?);
        if until <= from {
            return Err("the office hours end before they begin: exchange `from` and `until`".to_owned());
        }
        let days = text.days.iter().map(|day| weekday(day)).collect::<Result<_, _>>()?;
        self.office_hours = Some(OfficeHours { zone, days, from, until });
        Ok(())
    }
}

fn weekday(word: &str) -> Result<Weekday, String> {
    Ok(match word {
        "mon" => Weekday::Monday,
        "tue" => Weekday::Tuesday,
        "wed" => Weekday::Wednesday,
        "thu" => Weekday::Thursday,
        "fri" => Weekday::Friday,
        "sat" => Weekday::Saturday,
        "sun" => Weekday::Sunday,
        _ => return Err(format!("`{word}` is no day: mon, tue, wed, thu, fri, sat, sun")),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OnCallText {
    pub(crate) team: Spanned<String>,
    pub(crate) shifts: Vec<ShiftText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ShiftText {
    pub(crate) person: Spanned<String>,
    #[serde(default)]
    pub(crate) from: Option<String>,
    #[serde(default)]
    pub(crate) until: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OfficeHoursText {
    time_zone: String,
    days: Vec<String>,
    from: String,
    until: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Registry;

    const FACTS: &str = "
teams:
  - {name: sre, members: [sam, rita]}
on_call:
  - team: sre
    shifts:
      - {person: sam, from: '2026-11-16T08:00:00Z', until: '2026-11-23T08:00:00Z'}
      - {person: rita}
office_hours: {time_zone: Europe/Berlin, days: [mon, tue, wed, thu, fri], from: '09:00', until: '17:30'}
";

    fn calendar(text: &str) -> Calendar {
        Registry::parse(&[("facts.yaml".to_owned(), text.to_owned())]).unwrap().calendar().clone()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_shift_begins_and_ends_at_its_moment() {
        let calendar = calendar(FACTS);
        for (moment, sam) in [
            ("2026-11-16T07:59:59Z", false),
            ("2026-11-16T08:00:00Z", true),
            ("2026-11-23T07:59:59Z", true),
            ("2026-11-23T08:00:00Z", false),
        ] {
            assert_eq!(calendar.on_call("sam", at(moment)).contains("sre"), sam, "{moment}");
            assert!(calendar.on_call("rita", at(moment)).contains("sre"), "always");
            assert!(calendar.on_call("omar", at(moment)).is_empty());
        }
    }

    #[test]
    fn office_hours_are_those_of_their_place_also_when_its_clocks_change() {
        let berlin = calendar(FACTS);
        for (moment, open) in [
            ("2026-11-20T08:00:00Z", true),  // Friday, 9:00
            ("2026-11-20T07:59:00Z", false), // 8:59
            ("2026-11-20T16:30:00Z", false), // 17:30
            ("2026-07-17T07:00:00Z", true),  // in summer, 9:00
            ("2026-11-21T10:00:00Z", false), // Saturday
        ] {
            assert_eq!(berlin.is_office_hours(at(moment)), open, "{moment}");
        }
        assert!(!Calendar::default().is_office_hours(at("2026-11-20T10:00:00Z")), "none are given");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (text, words) in [
            ("on_call: [{team: sre, shifts: []}]", "no team is called `sre`"),
            (
                "teams: [{name: sre}]\non_call: [{team: sre, shifts: [{person: a, from: today}]}]",
                "`today` is no moment",
            ),
            (
                "office_hours: {time_zone: Mars/Base, days: [mon], from: '09:00', until: '10:00'}",
                "no time zone",
            ),
            (
                "office_hours: {time_zone: UTC, days: [moon], from: '09:00', until: '10:00'}",
                "`moon` is no day",
            ),
            (
                "office_hours: {time_zone: UTC, days: [mon], from: '19:00', until: '10:00'}",
                "end before they begin",
            ),
            ("office_hours: {time_zone: UTC, days: [mon], from: nine, until: '10:00'}", "`nine` is no time"),
        ] {
            let faults = Registry::parse(&[("facts.yaml".to_owned(), text.to_owned())]).unwrap_err();
            assert!(faults[0].to_string().contains(words), "{words}: {}", faults[0]);
            assert!(faults[0].to_string().starts_with("facts.yaml:"), "{}", faults[0]);
        }
    }
}
