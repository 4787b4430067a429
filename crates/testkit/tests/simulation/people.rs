//! What people do: submit, again when they heard no answer, agree, refuse, withdraw. Each hears what a surface would tell.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use guichet_contract::{RunId, RunState, Surface, code};
use guichet_operations::{
    Attempt, Call, approve_run, cancel_run, reject_run,
    submit_run::{self, Manner, Submitted},
};
use guichet_store::memory::Memory;
use guichet_testkit::Dice;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{replica::Replica, rules, told::Told};

/// How often somebody sends the same again.
const TRIES: usize = 6;

/// What a requester knows of what they asked for. Each item is asked for once.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub(crate) key: Option<String>,
    pub(crate) needs_approval: bool,
    /// The run they were told of.
    pub(crate) run: Option<RunId>,
    /// A try of which no answer came, or which did not end in a plain no.
    pub(crate) unsure: bool,
    /// They were told that nothing was done.
    pub(crate) refused: bool,
    pub(crate) cancelled: bool,
    pub(crate) rejected: bool,
    /// Whose yes was taken.
    pub(crate) yes: BTreeSet<&'static str>,
}

/// Everybody, and all replicas they can turn to.
pub(crate) struct People {
    pub(crate) told: Arc<Told>,
    pub(crate) replicas: Vec<Arc<Replica>>,
    known: Mutex<BTreeMap<String, Known>>,
}

/// What is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    who: &'static str,
    operation: &'static str,
    item: String,
    key: Option<String>,
    break_glass: bool,
    line: Option<String>,
}

pub(crate) fn call(who: &str) -> Call {
    Call::new(Some(rules::secret_of(who)), Surface::Cli, None)
}

impl Wish {
    pub(crate) fn any(number: usize, dice: &mut Dice) -> Self {
        let operation = *dice
            .one_of(&[
                "change", "slow", "line", "line", "destroy", "destroy", "destroy", "long", "asked", "again",
                "steps", "steps",
            ])
            .unwrap();
        let kind = match (operation, dice.below(4)) {
            ("destroy", 0) => "vault",
            ("change" | "line", 0) => "cool",
            _ => "item",
        };
        Self {
            who: dice.one_of(&rules::REQUESTERS).unwrap(),
            operation,
            item: format!("{kind}{number}"),
            key: dice.chance(500).then(|| format!("key {number}")),
            break_glass: (operation == "destroy" || kind == "cool") && dice.chance(150),
            line: (operation == "line").then(|| format!("key{}", dice.below(2))),
        }
    }

    fn input(&self) -> Value {
        let mut input = json!({"name": self.item});
        if let Some(key) = &self.line {
            input["key"] = json!(key);
        }
        input
    }
}

impl People {
    pub(crate) fn new(told: &Arc<Told>, replicas: Vec<Arc<Replica>>) -> Arc<Self> {
        Arc::new(Self { told: Arc::clone(told), replicas, known: Mutex::default() })
    }

    pub(crate) fn known(&self) -> MutexGuard<'_, BTreeMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn know(&self, item: &str, learn: impl FnOnce(&mut Known)) {
        learn(self.known().entry(item.to_owned()).or_default());
    }

    /// One of those whose run somebody was told of, mostly one that has not ended.
    pub(crate) fn any_run(&self, memory: &Memory, dice: &mut Dice) -> Option<(String, RunId)> {
        let known = self.known();
        let open: BTreeSet<RunId> = memory.look_at_runs(|runs| {
            runs.values().filter(|run| !run.state.is_final()).map(|run| run.id).collect()
        });
        let waiting: Vec<(String, RunId)> = known
            .iter()
            .filter_map(|(item, known)| Some((item.clone(), known.run.filter(|run| open.contains(run))?)))
            .collect();
        if !waiting.is_empty() && dice.chance(850) {
            return dice.one_of(&waiting).cloned();
        }
        let runs: Vec<(String, RunId)> =
            known.iter().filter_map(|(item, known)| Some((item.clone(), known.run?))).collect();
        dice.one_of(&runs).cloned()
    }

    pub(crate) fn any_replica(&self, dice: &mut Dice) -> Arc<Replica> {
        Arc::clone(dice.one_of(&self.replicas).unwrap())
    }

    /// Asks for it; with a key, again until there is an answer.
    pub(crate) async fn submit(self: Arc<Self>, wish: Wish, mut dice: Dice) {
        let asked = format!("{} {} {}", wish.who, wish.operation, wish.item);
        let needs_approval = wish.operation == "destroy" && !wish.break_glass;
        self.know(&wish.item, |known| {
            known.key.clone_from(&wish.key);
            known.needs_approval = needs_approval;
        });
        for _ in 0..TRIES {
            let replica = self.any_replica(&mut dice);
            let attempt = Attempt {
                action: format!("things.{}", wish.operation),
                input: wish.input(),
                reason: Some("a story".to_owned()),
            };
            let manner = Manner {
                idempotency_key: wish.key.clone(),
                break_glass: wish.break_glass,
                ..Manner::default()
            };
            let who = wish.who;
            let answer = replica
                .ask(move |platform| async move {
                    submit_run::submit_run(&platform, &call(who), attempt, manner).await
                })
                .await;
            let number = replica.number;
            match answer {
                Some(Ok(Submitted::Run(run) | Submitted::Repeated(run))) => {
                    self.told.tell(format_args!("{asked} at r{number}: {} {}", run.id.short(), run.state));
                    return self.know(&wish.item, |known| {
                        if known.run.is_some_and(|other| other != run.id) {
                            self.told.wrong(format_args!("{asked}: two runs of one wish"));
                        }
                        known.run = Some(run.id);
                    });
                }
                Some(Ok(Submitted::Read(_))) => return self.told.wrong(format_args!("{asked}: no read")),
                Some(Err(refusal)) => {
                    self.told.tell(format_args!("{asked} at r{number}: {}", refusal.problem.detail));
                    let passing = refusal.problem.status >= 500;
                    if !passing || wish.key.is_none() {
                        return self.know(&wish.item, |known| known.refused = true);
                    }
                }
                None => {
                    self.told.tell(format_args!("{asked} at r{number}: no answer"));
                    self.know(&wish.item, |known| known.unsure = true);
                    if wish.key.is_none() {
                        return;
                    }
                }
            }
            sleep(dice.millis(100..5_000)).await;
        }
    }

    /// Says yes to what is shown.
    pub(crate) async fn approve(self: Arc<Self>, item: String, run: RunId, mut dice: Dice) {
        let who = *dice.one_of(&rules::APPROVERS).unwrap();
        let replica = self.any_replica(&mut dice);
        let answer = replica
            .ask(move |platform| async move {
                approve_run::approve_run(&platform, &call(who), &run.to_string(), None, None).await
            })
            .await;
        let asked = format!("{who} approves {} at r{}", run.short(), replica.number);
        match answer {
            Some(Ok(shown)) => {
                self.told.tell(format_args!("{asked}: {}", shown.state));
                if who == shown.requested_by.name || !["omar", "olga", "dana"].contains(&who) {
                    self.told.wrong(format_args!("{who} may not approve {item}"));
                }
                self.know(&item, |known| {
                    if !known.yes.insert(who) {
                        self.told.wrong(format_args!("{who} counted twice for {item}"));
                    }
                });
            }
            Some(Err(refusal)) => {
                self.told.tell(format_args!("{asked}: {} {}", refusal.problem.code, refusal.problem.detail));
            }
            None => self.told.tell(format_args!("{asked}: no answer")),
        }
    }

    /// The requester withdraws it, or an approver says no.
    pub(crate) async fn end(self: Arc<Self>, item: String, run: RunId, cancels: bool, mut dice: Dice) {
        let who = *dice.one_of(&rules::EVERYBODY).unwrap();
        let replica = self.any_replica(&mut dice);
        let answer = replica
            .ask(move |platform| async move {
                let (call, run) = (call(who), run.to_string());
                if cancels {
                    cancel_run::cancel_run(&platform, &call, &run, None).await
                } else {
                    reject_run::reject_run(&platform, &call, &run, "no").await
                }
            })
            .await;
        let verb = if cancels { "cancels" } else { "rejects" };
        let asked = format!("{who} {verb} {} at r{}", run.short(), replica.number);
        match answer {
            Some(Ok(shown)) => {
                self.told.tell(format_args!("{asked}: {}", shown.state));
                // One under way is only asked to stop: its provider has the last word.
                let cancels = cancels && shown.state == RunState::Cancelled;
                self.know(&item, |known| {
                    known.cancelled |= cancels;
                    known.rejected |= shown.state == RunState::Rejected;
                });
            }
            Some(Err(refusal)) if refusal.problem.code == code::STORE_UNAVAILABLE => {
                self.told.tell(format_args!("{asked}: {}", refusal.problem.detail));
            }
            Some(Err(refusal)) => self.told.tell(format_args!("{asked}: {}", refusal.problem.code)),
            None => self.told.tell(format_args!("{asked}: no answer")),
        }
    }
}

/// The longest that anybody waits for an answer once nothing fails any more.
pub(crate) const ANSWERED_WITHIN: Duration = Duration::from_mins(5);
