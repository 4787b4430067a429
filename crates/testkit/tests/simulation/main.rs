//! The deterministic simulation: one to three gateways of the real rooms, with virtual time, over a store in memory, with
//! faults that one number decides. The same number tells the same story, always. See decisions/0014-simulation.md.
//!
//! `GUICHET_SIMULATION_SEED=4711 cargo test --workspace --test simulation one_seed -- --nocapture` lives through one seed
//! and tells its story; `GUICHET_SIMULATION_SEEDS=20000` has every test live through so many in all.
#![expect(clippy::unwrap_used, reason = "a story that cannot begin or go on has failed")]

mod check;
mod clock;
mod faulty_store;
mod people;
mod provider;
mod replica;
mod rules;
mod schedules;
mod steps;
mod story;
mod told;

use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, Once},
};

use crate::{
    story::live,
    told::{Counts, Told},
};

/// How many seeds are lived through in all, where nobody asks for more.
const SEEDS: u64 = 2_000;
/// How many tests share them.
const TESTS: u64 = 8;

thread_local! {
    static PANICS: Cell<usize> = const { Cell::new(0) };
}

/// A task that panics is counted, whoever swallows it.
fn count_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            PANICS.with(|panics| panics.set(panics.get() + 1));
            usual(info);
        }));
    });
}

/// What the environment asks for.
#[expect(clippy::disallowed_methods, reason = "which seeds are lived through is asked of these tests alone")]
fn asked_for(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// What must happen in all seeds together: stories in which nothing succeeds, nobody dies, or nothing is unknown prove
/// nothing of it.
const HAPPENS: [&str; 35] = [
    "succeeded",
    "failed",
    "cancelled",
    "rejected",
    "expired",
    "voided",
    "unknown",
    "change succeeded",
    "slow succeeded",
    "line succeeded",
    "destroy succeeded",
    "long succeeded",
    "asked succeeded",
    "again succeeded",
    "steps succeeded",
    "steps failed",
    "steps cancelled",
    "steps unknown",
    "a step done again",
    "gone on by another process",
    "paused",
    "change unknown",
    "slow unknown",
    "line unknown",
    "destroy unknown",
    "long unknown",
    "unknown settled as succeeded",
    "unknown settled as failed",
    "agreed to by two",
    "with broken glass",
    "cancelled under way",
    "called for again",
    "queued again",
    "gateway killed",
    "gateway cut off",
];

/// The story of a seed, what happened in it, and what is wrong with it.
fn lived_through(seed: u64) -> (Vec<String>, Counts, Vec<String>) {
    count_panics();
    let told = Arc::new(Told::default());
    let panics = PANICS.with(Cell::get);
    let lived = catch_unwind(AssertUnwindSafe(|| live(seed, &told)));
    let mut wrong = told.faults();
    if lived.is_err() || PANICS.with(Cell::get) > panics {
        wrong.push("something panicked".to_owned());
    }
    (told.story(), told.counts(), wrong)
}

/// What happened; fails with the story when something is wrong with this seed.
fn holds(seed: u64) -> Counts {
    let (story, counts, wrong) = lived_through(seed);
    assert!(
        wrong.is_empty(),
        "seed {seed} fails:\n{}\n\n{}\n\nagain: GUICHET_SIMULATION_SEED={seed} cargo test --workspace --test simulation one_seed",
        story.join("\n"),
        wrong.join("\n")
    );
    counts
}

fn part(number: u64) {
    let seeds = asked_for("GUICHET_SIMULATION_SEEDS").unwrap_or(SEEDS);
    let mut counts = Counts::new();
    for seed in (0..seeds).filter(|seed| (seed / 8) % TESTS == number) {
        for (what, count) in holds(seed) {
            *counts.entry(what).or_default() += count;
        }
    }
    all_told(counts, seeds);
}

/// Whichever part comes last looks whether there was something of everything in all of them together. In fewer seeds, rare
/// things need not happen; and who asks for some parts alone does not come here.
fn all_told(counts: Counts, seeds: u64) {
    static ALL: Mutex<(u64, Counts)> = Mutex::new((0, Counts::new()));
    let mut all = ALL.lock().unwrap();
    all.0 += 1;
    for (what, count) in counts {
        *all.1.entry(what).or_default() += count;
    }
    if all.0 == TESTS && seeds >= SEEDS {
        let never: Vec<&str> = HAPPENS.into_iter().filter(|what| !all.1.contains_key(*what)).collect();
        assert!(never.is_empty(), "in none of {seeds} seeds: {never:?}; what happened: {:#?}", all.1);
    }
}

#[test]
fn one_seed() {
    let Some(seed) = asked_for("GUICHET_SIMULATION_SEED") else { return };
    let (story, counts, wrong) = lived_through(seed);
    println!("{}\n{counts:?}", story.join("\n"));
    assert!(wrong.is_empty(), "seed {seed} fails:\n{}", wrong.join("\n"));
}

#[test]
fn the_same_seed_tells_the_same_story() {
    for seed in 0..24 {
        let (once, again) = (lived_through(seed).0, lived_through(seed).0);
        for (line, (one, other)) in once.iter().zip(&again).enumerate() {
            assert_eq!(one, other, "seed {seed}, line {line}");
        }
        assert_eq!(once.len(), again.len(), "seed {seed}");
    }
}

macro_rules! parts {
    ($($name:ident = $number:literal),* $(,)?) => {
        $(
            #[test]
            fn $name() {
                part($number);
            }
        )*
    };
}

parts! {
    seeds_of_part_0 = 0, seeds_of_part_1 = 1, seeds_of_part_2 = 2, seeds_of_part_3 = 3,
    seeds_of_part_4 = 4, seeds_of_part_5 = 5, seeds_of_part_6 = 6, seeds_of_part_7 = 7,
}
