//! Any interleaving of decisions, repeats, expiry, withdrawal, drift and execution: what must hold, holds.

use std::collections::BTreeSet;

use crate::people::{at, binding, person, run};
use guichet_contract::{Principal, Run, RunState, Verdict};
use guichet_lifecycle::{Event, Settled, decide, next};
use proptest::prelude::*;

/// Something somebody tries, whether or not it is allowed.
#[derive(Debug, Clone)]
enum Attempt {
    Decide { who: usize, through_agent: bool, approve: bool, lifts: BTreeSet<usize>, saw_the_present: bool },
    Happen(Event),
    TimePasses(i64),
    Drift(u8),
}

/// Anna asked; the others may decide.
const PEOPLE: [&str; 5] = ["anna", "bea", "carl", "dora", "emil"];
const POLICIES: [&str; 2] = ["data", "owner"];

fn attempts() -> impl Strategy<Value = Vec<Attempt>> {
    let decide = (
        0..PEOPLE.len(),
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.9),
        any::<[bool; 2]>(),
        prop::bool::weighted(0.9),
    )
        .prop_map(|(who, through_agent, approve, lifts, saw_the_present)| Attempt::Decide {
            who,
            through_agent,
            approve,
            lifts: (0..POLICIES.len()).filter(|policy| lifts[*policy]).collect(),
            saw_the_present,
        });
    let happen = prop::sample::select(Event::ALL.to_vec())
        // Lifting and rejecting are for people to cause: they come out of `decide` alone, as in the room operations.
        .prop_filter("only people lift and reject", |event| !matches!(event, Event::Lifted | Event::Rejected))
        .prop_map(Attempt::Happen);
    let attempt = prop_oneof![
        10 => decide,
        2 => happen,
        1 => (-30_i64..30).prop_map(Attempt::TimePasses),
        1 => (0_u8..3).prop_map(Attempt::Drift),
    ];
    prop::collection::vec(attempt, 0..60)
}

/// Distinct people, the requester left out, who said yes to this policy: counted here a second time, in another way.
fn people_who_lifted(run: &Run, policy: &str) -> usize {
    let people: BTreeSet<&str> = run
        .decisions
        .iter()
        .filter(|decision| {
            decision.verdict == Verdict::Approve && decision.lifts.iter().any(|lifted| lifted == policy)
        })
        .map(|decision| decision.by.as_str())
        .filter(|name| *name != "anna")
        .collect();
    people.len()
}

/// What a store does with a move: true only from the state it was decided from.
struct World {
    run: Run,
    now: i64,
    path: Vec<RunState>,
}

impl World {
    fn new(counts: [u8; 2], needs_approval: bool) -> Self {
        let mut run = run(&[("data", counts[0]), ("owner", counts[1])]);
        run.state = RunState::Planned;
        let mut world = Self { run, now: 0, path: vec![RunState::Planned] };
        world.happen(Event::Submitted { needs_approval }).unwrap();
        world
    }

    fn happen(&mut self, event: Event) -> Result<(), TestCaseError> {
        let from = self.run.state;
        match next(from, event) {
            Ok(to) => {
                // Its provider may say what became of a run of which nobody could.
                let settled = from == RunState::Unknown && matches!(event, Event::Reconciled { .. });
                prop_assert!(!from.is_final() || settled, "{} moved to {}", from, to);
                self.run.state = to;
                self.path.push(to);
            }
            Err(illegal) => prop_assert_eq!((illegal.state, illegal.event), (from, event)),
        }
        Ok(())
    }

    fn attempt(&mut self, attempt: &Attempt) -> Result<(), TestCaseError> {
        match attempt {
            Attempt::TimePasses(seconds) => self.now += seconds,
            Attempt::Drift(version) => self.run.binding = binding(&format!("version {version}")),
            // Nobody else than the clock expires a run, and nobody dispatches what is not queued: `next` sees to that.
            Attempt::Happen(event) => self.happen(*event)?,
            Attempt::Decide { who, through_agent, approve, lifts, saw_the_present } => {
                let agent = through_agent.then(|| "assistant".to_owned());
                let by = Principal { agent, ..person(PEOPLE[*who]) };
                let shown = if *saw_the_present { self.run.binding.clone() } else { binding("of yesterday") };
                let verdict = if *approve { Verdict::Approve } else { Verdict::Reject };
                let lifts = lifts.iter().map(|policy| POLICIES[*policy].to_owned()).collect::<Vec<_>>();
                let before = self.run.state;
                if let Ok((decision, event)) =
                    decide(&self.run, &by, verdict, lifts, Some(&shown), None, at(self.now))
                {
                    prop_assert_eq!(before, RunState::AwaitingApproval);
                    prop_assert!(!through_agent && *who != 0 && self.now <= 100);
                    prop_assert!(!approve || *saw_the_present);
                    self.run.decisions.push(decision);
                    if let Some(event) = event {
                        self.happen(event)?;
                        prop_assert_ne!(
                            self.run.state,
                            before,
                            "the event that follows a decision is always legal"
                        );
                    } else {
                        prop_assert!(
                            self.run.approvals.iter().any(|approval| {
                                people_who_lifted(&self.run, &approval.policy) < usize::from(approval.count)
                            }),
                            "everything is lifted and the run still waits"
                        );
                    }
                }
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn people_are_counted_once_and_a_run_starts_once_unless_it_is_given_back(
        counts in [1_u8..4, 1_u8..3],
        needs_approval in prop::bool::weighted(0.9),
        attempts in attempts(),
    ) {
        let mut world = World::new(counts, needs_approval);
        for attempt in &attempts {
            world.attempt(attempt)?;

            let yes: Vec<&str> = world.run.decisions.iter()
                .filter(|decision| decision.verdict == Verdict::Approve)
                .map(|decision| decision.by.as_str())
                .collect();
            prop_assert_eq!(yes.iter().collect::<BTreeSet<_>>().len(), yes.len(), "one person said yes twice");
            prop_assert!(!yes.contains(&"anna"), "the requester said yes");
            let said: BTreeSet<&str> = world.run.decisions.iter().map(|decision| decision.by.as_str()).collect();
            prop_assert_eq!(said.len(), world.run.decisions.len(), "one person has two words");

            if needs_approval && world.path.contains(&RunState::Queued) {
                for approval in &world.run.approvals {
                    let people = people_who_lifted(&world.run, &approval.policy);
                    prop_assert!(people >= usize::from(approval.count), "{} lifted by {}", approval.policy, people);
                }
            }
        }
        let times = |state| world.path.iter().filter(|other| **other == state).count();
        let given_back =
            world.path.windows(2).filter(|pair| pair == &[RunState::Running, RunState::Queued]).count();
        for state in RunState::ALL {
            let again = if matches!(state, RunState::Queued | RunState::Running) { given_back } else { 0 };
            prop_assert!(times(state) <= 1 + again, "{} was entered too often: {:?}", state, world.path);
        }
        prop_assert!(times(RunState::Running) <= times(RunState::Queued), "it ran without having been queued");
        if times(RunState::Rejected) == 1 {
            prop_assert_eq!(world.path.last(), Some(&RunState::Rejected));
        }
        prop_assert!(
            world.path.iter().rev().skip(1).all(|state| !state.is_final() || *state == RunState::Unknown),
            "{:?}",
            world.path
        );
    }

    /// Whoever decides first: the same people lead to the same end.
    #[test]
    fn the_order_of_yeses_does_not_matter(
        counts in [1_u8..4, 1_u8..3],
        yeses in any::<[[bool; 2]; 4]>()
            .prop_map(|lifts| lifts.into_iter().enumerate().map(|(who, lifts)| (who + 1, lifts)).collect::<Vec<_>>())
            .prop_flat_map(|yeses| (Just(yeses.clone()), Just(yeses).prop_shuffle())),
    ) {
        let end = |yeses: &[(usize, [bool; 2])]| {
            let mut world = World::new(counts, true);
            for (who, lifts) in yeses {
                let lifts = (0..POLICIES.len()).filter(|policy| lifts[*policy]).collect();
                let decide = Attempt::Decide { who: *who, through_agent: false, approve: true, lifts, saw_the_present: true };
                world.attempt(&decide)?;
            }
            Ok::<_, TestCaseError>(world.run.state)
        };
        prop_assert_eq!(end(&yeses.0)?, end(&yeses.1)?);
    }
}

#[test]
fn what_nobody_could_say_is_settled_by_its_provider_once() {
    for (to, end) in [
        (Settled::Succeeded, RunState::Succeeded),
        (Settled::Failed, RunState::Failed),
        (Settled::Cancelled, RunState::Cancelled),
    ] {
        let mut world = World::new([1, 1], false);
        for event in [Event::Dispatched, Event::ProviderSilent, Event::Reconciled { to }] {
            world.happen(event).unwrap();
        }
        assert_eq!(world.run.state, end);
        // What came late, or is said a second time, changes nothing.
        for event in Event::ALL {
            world.happen(event).unwrap();
        }
        let expected = [RunState::Planned, RunState::Queued, RunState::Running, RunState::Unknown, end];
        assert_eq!(world.path, expected);
    }
}
