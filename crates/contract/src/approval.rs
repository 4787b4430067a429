//! An approval is a condition that named people can lift; a decision is one person's yes or no.

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{run::Run, schedule::Schedule};

/// What waits for people, as one answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Approvals {
    /// A page of runs in `awaiting_approval`, newest first.
    pub items: Vec<Run>,
    /// All schedules in `awaiting_approval`, by name; on the first page only. One is decided at
    /// `/v1/schedules/{schedule}/approve` and `/reject`, for each of its runs.
    #[serde(default)]
    pub schedules: Vec<Schedule>,
    /// Hand this in as `cursor` to read on; null at the end.
    #[serde(default)]
    pub next: Option<String>,
}

/// Who can lift an approval.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Approvers {
    /// Members of the team that owns the resource.
    Owner,
    /// Members of this team.
    Team(String),
    /// People of any of these: who they are together counts.
    AnyOf(Vec<Approvers>),
    /// People of each of these: each is a condition of its own.
    AllOf(Vec<Approvers>),
}

impl Approvers {
    /// The conditions it makes: the parts of `… and …`, else itself.
    pub fn parts(&self) -> &[Self] {
        match self {
            Self::AllOf(parts) => parts,
            one => std::slice::from_ref(one),
        }
    }

    /// The teams it names, without the owner.
    pub fn teams(&self) -> Vec<&str> {
        match self {
            Self::Owner => Vec::new(),
            Self::Team(team) => vec![team],
            Self::AnyOf(parts) | Self::AllOf(parts) => parts.iter().flat_map(Self::teams).collect(),
        }
    }

    /// The teams that are meant where `owner` owns the resource; none when nobody is left.
    pub fn meant(&self, owner: Option<&str>) -> Vec<String> {
        let mut teams = match self {
            Self::Owner => owner.map(str::to_owned).into_iter().collect(),
            Self::Team(team) => vec![team.clone()],
            Self::AnyOf(parts) | Self::AllOf(parts) => {
                parts.iter().flat_map(|part| part.meant(owner)).collect::<Vec<_>>()
            }
        };
        teams.sort();
        teams.dedup();
        teams
    }
}

impl fmt::Display for Approvers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (parts, word) = match self {
            Self::Owner => return f.write_str("owner"),
            Self::Team(team) => return write!(f, "team:{team}"),
            Self::AnyOf(parts) => (parts, " or "),
            Self::AllOf(parts) => (parts, " and "),
        };
        for (position, part) in parts.iter().enumerate() {
            if position > 0 {
                f.write_str(word)?;
            }
            write!(f, "{part}")?;
        }
        Ok(())
    }
}

impl FromStr for Approvers {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let one = |text: &str| match text.split_once(':') {
            None if text == "owner" => Ok(Self::Owner),
            Some(("team", team)) if !team.trim().is_empty() => Ok(Self::Team(team.trim().to_owned())),
            _ => Err(format!(
                "`{text}` names no approvers: write `owner` or `team:NAME`, several with `or` (any of them) or with `and` (each of them)"
            )),
        };
        let split = |word: &str| text.split(word).map(|part| one(part.trim())).collect::<Result<Vec<_>, _>>();
        match (text.contains(" or "), text.contains(" and ")) {
            (false, false) => one(text.trim()),
            (true, false) => split(" or ").map(Self::AnyOf),
            (false, true) => split(" and ").map(Self::AllOf),
            (true, true) => {
                Err(format!("`{text}` mixes `or` and `and`: write two policies, one for each condition"))
            }
        }
    }
}

impl Serialize for Approvers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Approvers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Approvers {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Approvers".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "pattern": "^(owner|team:.+)(( or (owner|team:.+))*|( and (owner|team:.+))*)$",
            "description": "`owner` (of the resource) or `team:NAME`; several with ` or ` (any of them) or with ` and ` (each)"
        })
    }
}

/// One condition of a run that named people can lift.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Approval {
    /// Id of the policy that asks for it.
    pub policy: String,
    /// Why, in the policy's words.
    pub because: String,
    /// Who can lift it, as declared.
    pub by: Approvers,
    /// The teams that `by` means for this run, any of them; none when the resource has no owner, so that nobody can lift
    /// it.
    #[serde(default)]
    pub teams: Vec<String>,
    /// How many distinct people, at least 1.
    pub count: u8,
    /// After this moment nobody can lift it.
    pub expires_at: Timestamp,
}

impl Approval {
    /// Who can lift it, in words: `team dba`, `team dba or team sre`; `None` for nobody.
    pub fn who(&self) -> Option<String> {
        let teams: Vec<String> = self.teams.iter().map(|team| format!("team {team}")).collect();
        (!teams.is_empty()).then(|| teams.join(" or "))
    }
}

/// One person's yes or no to a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Decision {
    /// Who decided.
    pub by: String,
    /// Yes or no.
    pub verdict: Verdict,
    /// Ids of the policies whose approval this decision counts for (empty for a no: one no ends it).
    pub lifts: Vec<String>,
    /// Why; required for a no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When.
    pub at: Timestamp,
}

/// Yes or no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Yes.
    Approve,
    /// No.
    Reject,
}

/// Whether enough distinct people said yes to each condition. Pure: the order of decisions and
/// repeated ones do not matter.
pub fn all_lifted(approvals: &[Approval], decisions: &[Decision]) -> bool {
    approvals.iter().all(|approval| lifted_by(approval, decisions) >= usize::from(approval.count.max(1)))
}

/// How many distinct people have said yes to this condition.
pub fn lifted_by(approval: &Approval, decisions: &[Decision]) -> usize {
    let mut people: Vec<&str> = decisions
        .iter()
        .filter(|decision| decision.verdict == Verdict::Approve && decision.lifts.contains(&approval.policy))
        .map(|decision| decision.by.as_str())
        .collect();
    people.sort_unstable();
    people.dedup();
    people.len()
}
