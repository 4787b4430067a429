//! Reads the fields of one `x-guichet` object, each with its kind; what does not fit is a fault at its own place.

use serde_json::Value;

use super::{
    finding::{Findings, did_you_mean},
    place::{At, is_pointer, kind},
};

/// An object whose fields are known.
pub(super) struct Fields<'a, 'f> {
    at: At<'a>,
    pub(super) findings: &'f mut Findings,
}

impl<'a, 'f> Fields<'a, 'f> {
    /// `None` when it is no object. A field that is not `known` is a fault or a warning, by strictness.
    pub(super) fn open(at: &At<'a>, what: &str, known: &[&str], findings: &'f mut Findings) -> Option<Self> {
        let Value::Object(members) = at.value else {
            findings.fault(&at.pointer, format!("{what} is an object; this is {}", kind(at.value)));
            return None;
        };
        for name in members.keys().filter(|name| !known.contains(&name.as_str())) {
            let near = did_you_mean(name, known.iter().copied());
            findings.doubt(
                at.below(name),
                format!("{what} has no field `{name}`{near}; it has {}", known.join(", ")),
            );
        }
        Some(Self { at: at.clone(), findings })
    }

    pub(super) fn at(&self, name: &str) -> Option<At<'a>> {
        self.at.member(name)
    }

    /// The pointer to a field.
    pub(super) fn pointer(&self, name: &str) -> String {
        self.at.below(name)
    }

    pub(super) fn fault(&mut self, name: &str, message: impl Into<String>) {
        self.findings.fault(self.at.below(name), message);
    }

    /// That a field must be there.
    pub(super) fn missing(&mut self, name: &str, why: &str) {
        self.findings.fault(&self.at.pointer, format!("`{name}` is missing: {why}"));
    }

    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        let value = self.at(name)?.value;
        match value.as_str() {
            Some(text) if !text.trim().is_empty() => Some(text.to_owned()),
            Some(_) => self.wrong(name, "a text, and it is empty"),
            None => self.wrong(name, &format!("a text; this is {}", kind(value))),
        }
    }

    pub(super) fn boolean(&mut self, name: &str) -> Option<bool> {
        let value = self.at(name)?.value;
        match value.as_bool() {
            Some(said) => Some(said),
            None => self.wrong(name, &format!("true or false; this is {}", kind(value))),
        }
    }

    /// A whole number within these bounds.
    pub(super) fn whole(&mut self, name: &str, least: u64, most: u64) -> Option<u64> {
        let value = self.at(name)?.value;
        match value.as_u64() {
            Some(number) if (least..=most).contains(&number) => Some(number),
            _ => self.wrong(name, &format!("a whole number, {least} to {most}; this is {value}")),
        }
    }

    /// A JSON pointer.
    pub(super) fn json_pointer(&mut self, name: &str) -> Option<String> {
        let value = self.at(name)?.value;
        match value.as_str() {
            Some(text) if is_pointer(text) => Some(text.to_owned()),
            Some(text) => self.wrong(
                name,
                &format!("a JSON pointer: empty, or with `/` first, as in `/items`; this is `{text}`"),
            ),
            None => self.wrong(name, &format!("a text that is a JSON pointer; this is {}", kind(value))),
        }
    }

    /// A list of texts.
    pub(super) fn texts(&mut self, name: &str) -> Option<Vec<String>> {
        let value = self.at(name)?.value;
        let texts: Option<Vec<String>> = value.as_array().and_then(|items| {
            items
                .iter()
                .map(|item| item.as_str().filter(|text| !text.is_empty()).map(str::to_owned))
                .collect()
        });
        texts.or_else(|| self.wrong(name, "a list of texts, none of them empty"))
    }

    /// `90s`, `15m`, `4h`, `2d`, as seconds within these bounds.
    pub(super) fn seconds(&mut self, name: &str, least: u32, most: u32) -> Option<u32> {
        let value = self.at(name)?.value;
        let Some(seconds) = value.as_str().and_then(seconds) else {
            return self
                .wrong(name, &format!("a duration such as `90s`, `15m`, `4h` or `2d`; this is {value}"));
        };
        match u32::try_from(seconds).ok().filter(|seconds| (least..=most).contains(seconds)) {
            Some(seconds) => Some(seconds),
            None => self.wrong(name, &format!("{least} to {most} seconds long; this is {value}")),
        }
    }

    fn wrong<T>(&mut self, name: &str, should: &str) -> Option<T> {
        self.fault(name, format!("`{name}` should be {should}"));
        None
    }
}

fn seconds(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    // `parse` alone would take a sign.
    number.bytes().all(|byte| byte.is_ascii_digit()).then_some(number)?.parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn durations_have_one_number_and_one_unit() {
        for (text, expected) in [
            ("90s", Some(90)),
            ("15m", Some(900)),
            ("4h", Some(14_400)),
            ("2d", Some(172_800)),
            ("0s", Some(0)),
            ("", None),
            ("s", None),
            ("15", None),
            ("+5m", None),
            ("1.5h", None),
            ("5 m", None),
            ("5µ", None),
            ("99999999999999999999d", None),
            ("18446744073709551615d", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }
}
