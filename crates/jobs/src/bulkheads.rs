//! How many jobs go at once, and how many of each bulkhead: places that all share, and a few that are its own, so that however
//! many of one hang, every other goes on.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, PoisonError, RwLock},
};

use guichet_contract::JobId;
use guichet_store::{Job, Room};

/// The bulkheads that are known, and how many of each go at most, for all who must know them: providers come and go while a
/// worker works.
#[derive(Debug, Clone, Default)]
pub struct KnownBulkheads(Arc<RwLock<Arc<BTreeMap<String, usize>>>>);

impl KnownBulkheads {
    /// From now on, these. What is under way behind one that is gone ends as it would have.
    pub fn replace(&self, most: BTreeMap<String, usize>) {
        let most = most.into_iter().map(|(word, most)| (word, most.max(1))).collect();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(most);
    }

    fn most(&self) -> Arc<BTreeMap<String, usize>> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl From<BTreeMap<String, usize>> for KnownBulkheads {
    fn from(most: BTreeMap<String, usize>) -> Self {
        let known = Self::default();
        known.replace(most);
        known
    }
}

/// What a worker has under way, and what it may have.
#[derive(Debug)]
pub(crate) struct Bulkheads {
    /// In all; at least 1.
    at_once: usize,
    known: KnownBulkheads,
    /// Of each bulkhead that was known at the last look; at least 1.
    most: Arc<BTreeMap<String, usize>>,
    /// Under way, and whether it was given out once more meanwhile.
    jobs: HashMap<JobId, bool>,
    /// By bulkhead; the empty word stands for those without one.
    under_way: BTreeMap<String, usize>,
}

impl Bulkheads {
    pub(crate) fn new(at_once: usize, known: KnownBulkheads) -> Self {
        let most = known.most();
        Self { at_once: at_once.max(1), known, most, jobs: HashMap::new(), under_way: BTreeMap::new() }
    }

    /// Goes by those that are known now.
    pub(crate) fn look(&mut self) {
        self.most = self.known.most();
    }

    /// False when it is under way already; [`Self::end`] will say that it was given out once more.
    pub(crate) fn begin(&mut self, job: &Job) -> bool {
        if let Some(again) = self.jobs.get_mut(&job.id) {
            *again = true;
            return false;
        }
        self.jobs.insert(job.id, false);
        *self.under_way.entry(word_of(job)).or_default() += 1;
        true
    }

    /// Whether it was given out once more while it was under way: whoever got it then did not begin it.
    pub(crate) fn end(&mut self, job: &Job) -> bool {
        let Some(again) = self.jobs.remove(&job.id) else { return false };
        let word = word_of(job);
        match self.under_way.get_mut(&word) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(self.under_way.remove(&word)),
        }
        again
    }

    /// A quarter of all places are bulkheads' own, the same number each, but each has one.
    fn own(&self) -> usize {
        if self.most.is_empty() { 0 } else { (self.at_once / 4 / self.most.len()).max(1) }
    }

    fn shared(&self) -> usize {
        let own = self.own().saturating_mul(self.most.len());
        self.at_once - own.min((self.at_once / 4).max(1))
    }

    fn under_way(&self, word: &str) -> usize {
        self.under_way.get(word).copied().unwrap_or_default()
    }

    /// What may be begun now.
    pub(crate) fn room(&self) -> Room {
        let own = |word: &str| if self.most.contains_key(word) { self.own() } else { 0 };
        let behind_any = self.under_way.iter().filter(|(word, _)| !word.is_empty());
        let taken: usize = behind_any.map(|(word, count)| count.saturating_sub(own(word))).sum();
        let shared = self.shared().saturating_sub(taken);
        let room = |(word, most): (&String, &usize)| {
            let count = self.under_way(word);
            let places = own(word).saturating_sub(count) + shared;
            (word.clone(), places.min(most.saturating_sub(count)))
        };
        let behind: BTreeMap<String, usize> = self.most.iter().map(room).collect();
        // Those without a bulkhead call nobody, so that they never hang: they are counted apart.
        let free = self.at_once.saturating_sub(self.under_way(""));
        // Several that take of what is shared in one claim shall not take more of it than there is.
        let jobs = if shared > 0 { shared } else { behind.values().sum::<usize>() + free };
        Room { jobs, free, behind, behind_others: shared }
    }
}

fn word_of(job: &Job) -> String {
    job.bulkhead.clone().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use guichet_contract::{RunId, SystemClock};
    use guichet_store::JobKind;
    use jiff::Timestamp;

    use super::*;

    fn job(bulkhead: &str) -> Job {
        Job {
            id: JobId::new(&SystemClock),
            kind: JobKind::ExecuteRun,
            run: RunId::new(&SystemClock),
            due: Timestamp::UNIX_EPOCH,
            attempts: 1,
            key: None,
            bulkhead: (!bulkhead.is_empty()).then(|| bulkhead.to_owned()),
        }
    }

    fn known<const N: usize>(words: [(&str, usize); N]) -> KnownBulkheads {
        words.into_iter().map(|(word, most)| (word.to_owned(), most)).collect::<BTreeMap<_, _>>().into()
    }

    /// Claims and begins of this bulkhead until there is no room; says how many.
    fn fill(bulkheads: &mut Bulkheads, word: &str) -> usize {
        let mut begun = 0;
        while bulkheads.room().of(word) > 0 {
            assert!(bulkheads.begin(&job(word)));
            begun += 1;
        }
        begun
    }

    #[test]
    fn one_that_hangs_leaves_room_for_every_other() {
        let mut bulkheads = Bulkheads::new(64, known([("a", 64), ("b", 64), ("c", 64), ("d", 3)]));
        assert_eq!(fill(&mut bulkheads, "a"), 48 + 4, "all that is shared, and its own");
        assert_eq!(["a", "b", "c", "d"].map(|word| bulkheads.room().of(word)), [0, 4, 4, 3]);
        // Three that hang leave the fourth its own places too.
        assert_eq!((fill(&mut bulkheads, "b"), fill(&mut bulkheads, "c")), (4, 4));
        assert_eq!(fill(&mut bulkheads, "d"), 3, "no more than it may be called");
        assert_eq!(fill(&mut bulkheads, "one that is gone"), 0, "nothing is its own");
        assert!(bulkheads.room().leaves_some_out());
        assert_eq!(fill(&mut bulkheads, ""), 64, "who calls nobody never waits for who calls");
        assert_eq!(bulkheads.room().jobs, 0);
    }

    #[test]
    fn what_ends_makes_room_for_whom_it_took_it_from() {
        let mut bulkheads = Bulkheads::new(8, known([("a", 8), ("b", 8)]));
        let first = job("a");
        assert!(bulkheads.begin(&first) && !bulkheads.begin(&first), "it is under way");
        assert_eq!(fill(&mut bulkheads, "a"), 6);
        assert_eq!(fill(&mut bulkheads, "b"), 1);
        assert!(bulkheads.end(&first), "it was given out once more meanwhile");
        assert!(!bulkheads.end(&first), "and is told so once");
        assert_eq!(["a", "b"].map(|word| bulkheads.room().of(word)), [1, 1], "it was a shared place");
        assert_eq!(bulkheads.room().jobs, 1, "which one of them gets");
    }

    #[test]
    fn one_claim_never_takes_more_of_what_is_shared_than_there_is() {
        let mut bulkheads = Bulkheads::new(64, known([("a", 64), ("b", 64)]));
        let room = bulkheads.room();
        assert_eq!((room.jobs, room.of("a"), room.of("b")), (48, 48, 48));
        for number in 0..room.jobs {
            assert!(bulkheads.begin(&job(if number % 2 == 0 { "a" } else { "b" })));
        }
        // Each had eight of its own among its 24: there are sixteen shared ones left.
        assert_eq!(bulkheads.room().jobs, 16);
        assert_eq!((fill(&mut bulkheads, "a"), bulkheads.room().of("b")), (16, 0));
    }

    #[test]
    fn who_comes_while_others_hang_has_places_of_its_own() {
        let providers = known([("a", 64)]);
        let mut bulkheads = Bulkheads::new(64, providers.clone());
        assert_eq!(fill(&mut bulkheads, "a"), 64);
        assert_eq!(fill(&mut bulkheads, "b"), 0, "nobody knows it");
        providers.replace([("a".to_owned(), 64), ("b".to_owned(), 64)].into());
        assert_eq!(bulkheads.room().of("b"), 0, "not looked yet");
        bulkheads.look();
        assert_eq!((fill(&mut bulkheads, "b"), bulkheads.room().of("a")), (8, 0));
        // Who is gone has nothing of its own left, and what it began ends.
        providers.replace([("b".to_owned(), 64)].into());
        bulkheads.look();
        assert_eq!((bulkheads.room().of("a"), fill(&mut bulkheads, "b")), (0, 8));
    }

    #[test]
    fn few_places_are_still_places() {
        // One alone goes one at a time, as it is told to.
        let mut bulkheads = Bulkheads::new(1, known([("a", 64)]));
        assert_eq!((fill(&mut bulkheads, "a"), fill(&mut bulkheads, "a")), (1, 0));
        // Many have one each.
        let words: Vec<String> = (0..100).map(|number| format!("p{number}")).collect();
        let mut bulkheads = Bulkheads::new(
            64,
            words.iter().map(|word| (word.clone(), 64)).collect::<BTreeMap<_, _>>().into(),
        );
        assert_eq!(fill(&mut bulkheads, "p0"), 48 + 1);
        assert!(words[1..].iter().all(|word| fill(&mut bulkheads, word) == 1));
        // No bulkhead is known: a channel's worker.
        let mut bulkheads = Bulkheads::new(8, KnownBulkheads::default());
        assert_eq!(fill(&mut bulkheads, ""), 8);
    }
}
