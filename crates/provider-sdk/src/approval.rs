//! Who must approve, declared beside the code. The gateway's policy may add to it, never remove it.

use guichet_contract::Approvers;
use serde_json::{Value, json};

use crate::timeout::Timeout;

/// Who must say yes before an action runs.
#[derive(Debug, Clone)]
pub struct ApprovalBy {
    by: Approvers,
    count: u8,
    because: Option<String>,
    expires: Option<Timeout>,
}

/// A member of this team must approve.
pub fn team(name: impl Into<String>) -> ApprovalBy {
    ApprovalBy { by: Approvers::Team(name.into()), count: 1, because: None, expires: None }
}

/// A member of the team that owns the resource must approve.
pub fn owner() -> ApprovalBy {
    ApprovalBy { by: Approvers::Owner, count: 1, because: None, expires: None }
}

/// These people must approve, as they were written down: `owner`, `team:NAME`, several of them.
pub fn approvers(by: Approvers) -> ApprovalBy {
    ApprovalBy { by, count: 1, because: None, expires: None }
}

impl ApprovalBy {
    /// How many distinct people, 1–20.
    #[must_use]
    pub fn count(mut self, count: u8) -> Self {
        self.count = count;
        self
    }

    /// Why, in a few words, for the approver's card.
    #[must_use]
    pub fn because(mut self, because: impl Into<String>) -> Self {
        self.because = Some(because.into());
        self
    }

    /// How long the request waits for people: `"4h"`, between 1 minute and 30 days.
    #[must_use]
    pub fn expires(mut self, expires: impl Into<Timeout>) -> Self {
        self.expires = Some(expires.into());
        self
    }

    pub(crate) fn mistake(&self) -> Option<String> {
        if !(1..=20).contains(&self.count) {
            return Some(format!("approval by {} people: the count must be 1 to 20", self.count));
        }
        if let Approvers::Team(name) = &self.by
            && name.trim().is_empty()
        {
            return Some("approval by a team without a name".to_owned());
        }
        self.expires.as_ref().and_then(|expires| expires.seconds(60, 2_592_000).err())
    }

    pub(crate) fn to_json(&self) -> Value {
        let mut json = json!({"by": self.by, "count": self.count});
        if let Some(because) = &self.because {
            json["because"] = json!(because);
        }
        if let Some(seconds) = self.expires.as_ref().and_then(|expires| expires.seconds(60, 2_592_000).ok()) {
            json["expires"] = json!(Timeout::text(seconds));
        }
        json
    }
}
