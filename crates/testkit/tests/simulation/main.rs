//! The deterministic simulation: one to three gateways of the real rooms, with virtual time, over a store in memory, with
//! faults that one number decides. The same number tells the same story, always. See decisions/0014-simulation.md.
//!
//! `GUICHET_SIMULATION_SEED=4711 cargo test --workspace --test simulation one_seed -- --nocapture` lives through one seed
//! and tells its story; `GUICHET_SIMULATION_SEEDS=20000` has every test live through so many in all.
#![expect(clippy::unwrap_used, reason = "a story that cannot begin or go on has failed")]

mod check;
mod clock;
mod dice;
mod faulty_store;
mod people;
mod provider;
mod replica;
mod rules;
mod schedules;
mod story;
mod told;

use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Once},
};

use crate::{story::live, told::Told};

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

/// The story of a seed, and what is wrong with it.
fn lived_through(seed: u64) -> (Vec<String>, Vec<String>) {
    count_panics();
    let told = Arc::new(Told::default());
    let panics = PANICS.with(Cell::get);
    let lived = catch_unwind(AssertUnwindSafe(|| live(seed, &told)));
    let mut wrong = told.faults();
    if lived.is_err() || PANICS.with(Cell::get) > panics {
        wrong.push("something panicked".to_owned());
    }
    (told.story(), wrong)
}

/// Fails with the story when something is wrong with this seed.
fn holds(seed: u64) {
    let (story, wrong) = lived_through(seed);
    assert!(
        wrong.is_empty(),
        "seed {seed} fails:\n{}\n\n{}\n\nagain: GUICHET_SIMULATION_SEED={seed} cargo test --workspace --test simulation one_seed",
        story.join("\n"),
        wrong.join("\n")
    );
}

fn part(number: u64) {
    let seeds = asked_for("GUICHET_SIMULATION_SEEDS").unwrap_or(SEEDS);
    for seed in (0..seeds).filter(|seed| (seed / 8) % TESTS == number) {
        holds(seed);
    }
}

#[test]
fn one_seed() {
    let Some(seed) = asked_for("GUICHET_SIMULATION_SEED") else { return };
    let (story, wrong) = lived_through(seed);
    println!("{}", story.join("\n"));
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
