//! How many jobs a worker still has room for, so that one bulkhead that is full keeps nobody else waiting.

use std::collections::BTreeMap;

/// Room for jobs: in all, and behind each bulkhead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room {
    /// In all.
    pub jobs: usize,
    /// Of those without a bulkhead.
    pub free: usize,
    /// Behind each bulkhead that is named.
    pub behind: BTreeMap<String, usize>,
    /// Behind each one that is not.
    pub behind_others: usize,
}

impl Room {
    /// For so many, whatever their bulkheads.
    pub fn any(jobs: usize) -> Self {
        Self { jobs, free: jobs, behind: BTreeMap::new(), behind_others: jobs }
    }

    /// How many of this bulkhead may be claimed at most. The empty word is that of jobs without one.
    pub fn of(&self, bulkhead: &str) -> usize {
        let most = if bulkhead.is_empty() {
            self.free
        } else {
            self.behind.get(bulkhead).copied().unwrap_or(self.behind_others)
        };
        most.min(self.jobs)
    }

    /// Whether some jobs that are due would be passed over.
    pub fn leaves_some_out(&self) -> bool {
        self.free == 0 || self.behind_others == 0 || self.behind.values().any(|room| *room == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bulkhead_has_its_own_room_and_never_more_than_there_is() {
        let room = Room {
            jobs: 5,
            free: 9,
            behind: [("full".to_owned(), 0), ("wide".to_owned(), 7)].into(),
            behind_others: 2,
        };
        assert_eq!(["", "full", "wide", "unknown"].map(|word| room.of(word)), [5, 0, 5, 2]);
        assert!(room.leaves_some_out());
        assert!(!Room::any(1).leaves_some_out() && Room::any(0).leaves_some_out());
    }
}
