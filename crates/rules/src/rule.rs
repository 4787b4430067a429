//! One policy as people know it: its id and words, and what lifts it when it is a `forbid` that can be lifted.

use std::{borrow::Cow, collections::BTreeSet};

use cedar_policy::{Effect, Policy};
use guichet_contract::{Approvers, action::ApprovalDeclaration};
use regex::{Regex, RegexBuilder};

use crate::{Defaults, Registry, fault::Fault, nearest::did_you_mean, source::Statement};

/// Ids that begin so belong to what providers declare.
pub(crate) const PROVIDER_PREFIX: &str = "provider:";
const KNOWN: [&str; 11] = [
    "id",
    "description",
    "next",
    "approval",
    "by",
    "count",
    "expires",
    "reason",
    "ticket",
    "cool_down",
    "timeout",
];
const LIFTING: [&str; 4] = ["approval", "by", "count", "expires"];
/// What else softens a `forbid`.
const SOFTENING: [&str; 4] = ["reason", "ticket", "cool_down", "timeout"];
/// Seconds that a policy may give people to answer.
const EXPIRES: std::ops::RangeInclusive<u32> = 1..=2_592_000;
/// Seconds that a start may be delayed.
const COOL_DOWN: std::ops::RangeInclusive<u32> = 1..=604_800;
/// Seconds that it may take where a policy says so.
const TIMEOUT: std::ops::RangeInclusive<u32> = 1..=86_400;
/// The largest compiled form of a ticket's pattern, bytes.
const TICKET_SIZE: usize = 1 << 18;
/// Seconds that a provider may declare, as the document's reader has it.
const DECLARED: std::ops::RangeInclusive<u32> = 60..=2_592_000;
const COUNTS: std::ops::RangeInclusive<u8> = 1..=20;

/// One policy as people know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Unique among all files.
    pub id: String,
    /// The file it stands in; `provider NAME` for what a provider declared.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// Whether it forbids.
    pub forbids: bool,
    /// A sentence for people.
    pub description: Option<String>,
    /// What to do when it refuses.
    pub next: Option<String>,
    /// What lifts it; `None` for a permit and for a `forbid` that nobody can lift.
    pub lifting: Option<Lifting>,
    /// What the requester must write to lift it.
    pub writing: Option<Writing>,
    /// Seconds that the start is delayed where it holds; 0 for none. A `forbid` with nothing else is lifted by waiting.
    pub cool_down_seconds: u32,
    /// Seconds that it may take at most where it holds, 1–86,400. A `forbid` with nothing else is lifted by keeping to that.
    pub timeout_seconds: Option<u32>,
}

impl Rule {
    /// Whether something lifts it.
    pub fn is_soft(&self) -> bool {
        self.lifting.is_some()
            || self.writing.is_some()
            || self.cool_down_seconds > 0
            || self.timeout_seconds.is_some()
    }
}

/// What the requester must write.
#[derive(Debug, Clone)]
pub struct Writing {
    /// Shown where the reason is missing.
    pub template: String,
    /// What the reason must contain.
    pub ticket: Option<Regex>,
}

impl PartialEq for Writing {
    fn eq(&self, other: &Self) -> bool {
        let pattern = |writing: &Self| writing.ticket.as_ref().map(|ticket| ticket.as_str().to_owned());
        self.template == other.template && pattern(self) == pattern(other)
    }
}

impl Eq for Writing {}

impl Writing {
    /// What the reason lacks; `None` when it will do.
    pub fn lacks(&self, reason: Option<&str>) -> Option<String> {
        let reason = reason.map(str::trim).filter(|reason| !reason.is_empty());
        match (reason, &self.ticket) {
            (None, _) => Some("a reason".to_owned()),
            (Some(reason), Some(ticket)) if !ticket.is_match(reason) => {
                Some(format!("a ticket in the reason (like `{}`)", ticket.as_str()))
            }
            _ => None,
        }
    }
}

/// What lifts a `forbid`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lifting {
    /// Why it is asked, in a few words.
    pub because: String,
    /// Who can lift it.
    pub by: Approvers,
    /// How many distinct people, 1–20.
    pub count: u8,
    /// Seconds until the request expires, 60–2,592,000.
    pub expires_seconds: u32,
}

/// Where a statement stands, and what its annotations are judged by.
pub(crate) struct Page<'a> {
    pub(crate) file: &'a str,
    pub(crate) text: &'a str,
    pub(crate) registry: &'a Registry,
    /// Everything `Action::"…"` can name.
    pub(crate) actions: &'a BTreeSet<Cow<'a, str>>,
    pub(crate) defaults: Defaults,
}

impl Rule {
    /// Reads the annotations of a policy.
    pub(crate) fn read(
        page: &Page<'_>,
        statement: &Statement<'_>,
        policy: &Policy,
    ) -> Result<Self, Vec<Fault>> {
        let mut reading = Reading { page, statement, policy, faults: Vec::new() };
        reading.names();
        let id = reading.id();
        let forbids = policy.effect() == Effect::Forbid;
        let lifting = reading.lifting(forbids);
        let writing = reading.writing();
        let cool_down_seconds = reading.cool_down();
        let timeout_seconds = reading.timeout();
        if !forbids && policy.annotation("next").is_some() {
            reading.fault(
                "next",
                "`@next` is shown when a policy refuses, and a `permit` never does: remove it".to_owned(),
            );
        }
        if !reading.faults.is_empty() {
            return Err(reading.faults);
        }
        let start = Fault::at(page.file, page.text, statement.start, "");
        Ok(Self {
            id: id.unwrap_or_default(),
            file: page.file.to_owned(),
            line: start.line,
            forbids,
            description: annotation(policy, "description"),
            next: annotation(policy, "next"),
            lifting,
            writing,
            cool_down_seconds,
            timeout_seconds,
        })
    }

    /// What a provider declares for one of its actions.
    pub(crate) fn of_provider(
        action: &guichet_contract::Action,
        declared: &ApprovalDeclaration,
        defaults: Defaults,
    ) -> Self {
        let expires_seconds = declared.expires_seconds.map_or(defaults.approval_expires_seconds, |seconds| {
            seconds.clamp(*DECLARED.start(), *DECLARED.end())
        });
        Self {
            id: format!("{PROVIDER_PREFIX}{}", action.id),
            file: format!("provider {}", action.provider),
            line: 1,
            forbids: true,
            description: None,
            next: None,
            lifting: Some(Lifting {
                because: declared.because.clone().unwrap_or_else(|| action.title.clone()),
                by: declared.by.clone(),
                count: declared.count.clamp(*COUNTS.start(), *COUNTS.end()),
                expires_seconds,
            }),
            writing: None,
            cool_down_seconds: 0,
            timeout_seconds: None,
        }
    }
}

struct Reading<'a> {
    page: &'a Page<'a>,
    statement: &'a Statement<'a>,
    policy: &'a Policy,
    faults: Vec<Fault>,
}

impl Reading<'_> {
    fn fault(&mut self, annotation: &str, message: String) {
        let offset = self.statement.place_of(annotation);
        self.faults.push(Fault::at(self.page.file, self.page.text, offset, message));
    }

    fn names(&mut self) {
        for found in &self.statement.annotations {
            if !KNOWN.contains(&found.name) {
                let near = did_you_mean(found.name, KNOWN);
                let message =
                    format!("unknown annotation `@{}`{near} (known: @{})", found.name, KNOWN.join(", @"));
                self.faults.push(Fault::at(self.page.file, self.page.text, found.offset, message));
            }
        }
    }

    fn id(&mut self) -> Option<String> {
        let Some(id) = self.policy.annotation("id") else {
            self.fault(
                "id",
                "the policy has no `@id(\"…\")`: give it one, so that a refusal can name it".to_owned(),
            );
            return None;
        };
        let plain =
            |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '.');
        if id.starts_with(PROVIDER_PREFIX) {
            self.fault("id", format!("the id `{id}` is kept for what providers declare: choose another"));
        } else if id.is_empty() || id.len() > 100 || !id.chars().all(plain) {
            self.fault("id", format!("`{id}` is no id: use 1–100 ASCII letters, digits, `-`, `_`, `.`"));
        } else {
            return Some(id.to_owned());
        }
        None
    }

    fn lifting(&mut self, forbids: bool) -> Option<Lifting> {
        let given = |name: &str| self.policy.annotation(name);
        if !forbids {
            for name in LIFTING.into_iter().chain(SOFTENING) {
                if given(name).is_some() {
                    self.fault(name, format!("`@{name}` on a `permit`: what it asks for lifts a `forbid`; write a `forbid` beside it"));
                }
            }
            return None;
        }
        let Some(because) = given("approval") else {
            for name in &LIFTING[1..] {
                if given(name).is_some() {
                    self.fault(name, format!("`@{name}` without `@approval`: add `@approval(\"why\")`, or remove it from a `forbid` that nobody shall lift"));
                }
            }
            return None;
        };
        if because.trim().is_empty() {
            self.fault(
                "approval",
                "`@approval` says nothing: write why, in a few words, for the approver".to_owned(),
            );
        }
        let (by, count, expires) = (given("by"), given("count"), given("expires"));
        let by = match by.map(str::parse::<Approvers>) {
            None => {
                self.fault(
                    "approval",
                    "`@approval` without `@by`: add `@by(\"owner\")` or `@by(\"team:NAME\")`".to_owned(),
                );
                None
            }
            Some(Err(why)) => {
                self.fault("by", why);
                None
            }
            Some(Ok(by)) => {
                for team in by.teams() {
                    if self.page.registry.team(team).is_none() {
                        let known = self.page.registry.teams().map(|team| team.name.as_str());
                        self.fault("by", format!("no team is called `{team}`{}", did_you_mean(team, known)));
                    }
                }
                Some(by)
            }
        };
        let count = match count.map(str::parse::<u8>) {
            None => 1,
            Some(Ok(count)) if COUNTS.contains(&count) => count,
            Some(_) => {
                self.fault(
                    "count",
                    "`@count` is the number of distinct people, `\"1\"` to `\"20\"`".to_owned(),
                );
                1
            }
        };
        let expires_seconds = match expires.map(seconds) {
            None => self.page.defaults.approval_expires_seconds,
            Some(Some(seconds)) if EXPIRES.contains(&seconds) => seconds,
            Some(_) => {
                self.fault(
                    "expires",
                    "`@expires` is a time from `\"1s\"` to `\"30d\"`, such as `\"90m\"` or `\"4h\"`"
                        .to_owned(),
                );
                0
            }
        };
        Some(Lifting { because: because.to_owned(), by: by?, count, expires_seconds })
    }
}

impl Reading<'_> {
    fn writing(&mut self) -> Option<Writing> {
        let (template, ticket) = (self.policy.annotation("reason"), self.policy.annotation("ticket"));
        let ticket =
            ticket.and_then(|pattern| match RegexBuilder::new(pattern).size_limit(TICKET_SIZE).build() {
                Ok(regex) => Some(regex),
                Err(why) => {
                    let why = why.to_string();
                    let why = why.lines().last().unwrap_or_default();
                    self.fault("ticket", format!("`{pattern}` is no regular expression: {why}"));
                    None
                }
            });
        if let Some(template) = template {
            return Some(Writing { template: template.to_owned(), ticket });
        }
        if ticket.is_some() {
            let message =
                "`@ticket` without `@reason`: add `@reason(\"what to write\")`, which people are shown";
            self.fault("ticket", message.to_owned());
        }
        None
    }

    fn cool_down(&mut self) -> u32 {
        match self.policy.annotation("cool_down").map(seconds) {
            None => 0,
            Some(Some(seconds)) if COOL_DOWN.contains(&seconds) => seconds,
            Some(_) => {
                let message = "`@cool_down` is a time from `\"1s\"` to `\"7d\"`, such as `\"10m\"`";
                self.fault("cool_down", message.to_owned());
                0
            }
        }
    }
}

impl Reading<'_> {
    fn timeout(&mut self) -> Option<u32> {
        let said = self.policy.annotation("timeout")?;
        let seconds = seconds(said).filter(|seconds| TIMEOUT.contains(seconds));
        if seconds.is_none() {
            let message = "`@timeout` is a time from `\"1s\"` to `\"24h\"`, such as `\"15m\"`";
            self.fault("timeout", message.to_owned());
        }
        seconds
    }
}

fn annotation(policy: &Policy, name: &str) -> Option<String> {
    policy.annotation(name).filter(|text| !text.trim().is_empty()).map(str::to_owned)
}

/// `90s`, `30m`, `4h`, `2d`, `1h30m` in seconds.
fn seconds(text: &str) -> Option<u32> {
    let mut total: u32 = 0;
    let mut rest = text;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|character: char| !character.is_ascii_digit())?;
        let number: u32 = rest[..digits].parse().ok()?;
        let unit = match rest[digits..].chars().next()? {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => return None,
        };
        total = total.checked_add(number.checked_mul(unit)?)?;
        rest = &rest[digits + 1..];
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn times() {
        for (text, expected) in [
            ("60s", Some(60)),
            ("4h", Some(14_400)),
            ("1h30m", Some(5_400)),
            ("30d", Some(2_592_000)),
            ("", None),
            ("4", None),
            ("h", None),
            ("4w", None),
            ("4 h", None),
            ("99999999d", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }
}
