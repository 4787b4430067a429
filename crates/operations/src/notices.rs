//! Which notices follow from what happened to a run: changes for the very unit of work that makes it happen, so that
//! nothing is told that did not come true, and nothing that came true is left untold.

use std::collections::BTreeSet;

use guichet_contract::{
    Decision, JobId, Notice, Occasion, Principal, Run, RunState, Verdict, approval::lifted_by,
};
use guichet_store::{Change, Job, JobKind};
use jiff::Timestamp;

use crate::platform::Platform;

/// Characters of somebody's words that are kept; a provider may say more.
const BECAUSE_MAX: usize = 1_000;

/// What happened to a run, as far as somebody is to be told.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Happened<'a> {
    /// It was submitted.
    Submitted,
    /// A schedule was made, for which the run stands.
    Scheduled,
    /// Its provider is about to be called.
    Started,
    /// Somebody asked about it.
    Asked {
        /// Who.
        by: &'a str,
        /// What, in their words.
        because: &'a str,
    },
    /// Its requester answered.
    Answered {
        /// Who.
        by: &'a str,
        /// What, in their words.
        because: &'a str,
        /// Who had asked, by name.
        asked: &'a BTreeSet<String>,
    },
    /// Somebody decided.
    Decided(&'a Decision),
    /// Nobody decided in time.
    Expired,
    /// What was approved is no longer what would run.
    Voided {
        /// Who noticed, if somebody did.
        by: Option<&'a Principal>,
        /// What has changed.
        because: &'a str,
    },
    /// Somebody withdrew it.
    Cancelled {
        /// Who.
        by: &'a Principal,
        /// Why, in their words.
        because: Option<&'a str>,
    },
    /// It came to its end.
    Ended,
    /// A schedule goes on no more, or one of its times made no run.
    Halted {
        /// Who halted it, if somebody did.
        by: Option<&'a str>,
        /// Why.
        because: &'a str,
    },
}

/// What to add to the unit of work in which a run, as it was before, goes to `to` (where it is, when it stays). Nothing
/// when no channel wants to hear of it.
pub(crate) fn of(
    platform: &Platform,
    run: &Run,
    happened: Happened<'_>,
    to: RunState,
    at: Timestamp,
) -> Vec<Change> {
    let channels = platform.messages.messenger.channels();
    if channels.is_empty() {
        return Vec::new();
    }
    let mut changes = Vec::new();
    for told in tellings(run, happened, to) {
        let mut event = None;
        for channel in channels.iter().filter(|channel| channel.occasions.contains(&told.occasion)) {
            let notice = Notice {
                event: *event.get_or_insert_with(|| platform.clock.new_uuid()),
                at,
                occasion: told.occasion,
                channel: channel.name.clone(),
                by: told.by.clone(),
                verdict: told.verdict,
                because: told.because.clone(),
                state: to,
                closed: told.closed.clone(),
                open: told.open.clone(),
                asked: told.asked.clone(),
            };
            let id = JobId::new(&*platform.clock);
            let job = Job {
                id,
                kind: JobKind::DeliverNotice,
                run: run.id,
                due: at,
                attempts: 0,
                key: None,
                bulkhead: None,
            };
            changes.push(Change::EnqueueNotice { job, notice });
        }
    }
    changes
}

/// One thing to tell, whatever the channel.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Telling {
    occasion: Occasion,
    by: Option<String>,
    verdict: Option<Verdict>,
    because: Option<String>,
    closed: BTreeSet<String>,
    open: BTreeSet<String>,
    asked: BTreeSet<String>,
}

/// Pure: who else is to be told of what, from what happened and what the run waited for.
fn tellings(run: &Run, happened: Happened<'_>, to: RunState) -> Vec<Telling> {
    let waiting = run.state == RunState::AwaitingApproval;
    let before = if waiting { still_open(run, None) } else { BTreeSet::new() };
    let telling = |occasion, by: Option<&str>, because: Option<&str>| Telling {
        occasion,
        by: by.map(str::to_owned),
        verdict: None,
        because: because.map(|because| because.chars().take(BECAUSE_MAX).collect()),
        closed: BTreeSet::new(),
        open: BTreeSet::new(),
        asked: BTreeSet::new(),
    };
    let (mut told, decision) = match happened {
        Happened::Submitted | Happened::Scheduled => {
            let by = Some(run.requested_by.name.as_str());
            let mut told = Vec::new();
            if matches!(happened, Happened::Submitted) {
                told.push(telling(Occasion::RunSubmitted, by, None));
            }
            if waiting {
                told.push(Telling { open: before, ..telling(Occasion::ApprovalRequested, None, None) });
            } else if let Some(glass) = &run.broken_glass {
                let skipped = glass.concerns(run.owner.as_deref());
                let skipped = skipped.iter().map(|approval| approval.policy.clone()).collect();
                let broken = telling(Occasion::GlassBroken, by, run.reason.as_deref());
                told.push(Telling { open: skipped, ..broken });
            }
            return told;
        }
        Happened::Started => return vec![telling(Occasion::RunStarted, None, None)],
        Happened::Asked { by, because } => {
            return vec![Telling { open: before, ..telling(Occasion::RunAsked, Some(by), Some(because)) }];
        }
        Happened::Answered { by, because, asked } => {
            let answered = telling(Occasion::RunAnswered, Some(by), Some(because));
            return vec![Telling { open: before, asked: asked.clone(), ..answered }];
        }
        Happened::Decided(decision) => {
            let because = decision.reason.as_deref();
            let decided = telling(Occasion::RunDecided, Some(&decision.by), because);
            (vec![Telling { verdict: Some(decision.verdict), ..decided }], Some(decision))
        }
        Happened::Expired => {
            (vec![telling(Occasion::RunExpired, None, Some("nobody decided in time"))], None)
        }
        Happened::Voided { by, because } => {
            let by = by.map(|by| by.name.as_str());
            (vec![telling(Occasion::RunVoided, by, Some(because))], None)
        }
        Happened::Cancelled { by, because } => {
            // Nobody needs to be told what they did themselves, unless they ask for that.
            let own = by.is_same_actor(&run.requested_by);
            let occasion = if own { Occasion::RunWithdrawn } else { Occasion::RunCancelled };
            (vec![telling(occasion, Some(&by.name), because)], None)
        }
        Happened::Ended => (vec![telling(Occasion::RunEnded, None, None)], None),
        Happened::Halted { by, because } => {
            (vec![telling(Occasion::ScheduleHalted, by, Some(because))], None)
        }
    };
    let after = if to == RunState::AwaitingApproval { still_open(run, decision) } else { BTreeSet::new() };
    for one in &mut told {
        one.open.clone_from(&after);
    }
    let closed: BTreeSet<String> = before.difference(&after).cloned().collect();
    if !closed.is_empty() {
        let first = told.first().cloned();
        let (by, verdict, because) =
            first.map_or((None, None, None), |first| (first.by, first.verdict, first.because));
        let asked = BTreeSet::new();
        told.push(Telling {
            occasion: Occasion::ApprovalClosed,
            by,
            verdict,
            because,
            closed,
            open: after,
            asked,
        });
    }
    told
}

/// Ids of the policies whose conditions are not lifted yet, with this decision counted.
fn still_open(run: &Run, decision: Option<&Decision>) -> BTreeSet<String> {
    let decisions: Vec<Decision> = run.decisions.iter().chain(decision).cloned().collect();
    run.approvals
        .iter()
        .filter(|approval| lifted_by(approval, &decisions) < usize::from(approval.count.max(1)))
        .map(|approval| approval.policy.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use guichet_contract::BrokenGlass;
    use serde_json::{Value, json};

    use super::*;

    /// A run that waits for one of team `ops` and for two of team `dba`.
    fn run(state: &str) -> Run {
        let approval = |policy: &str, team: &str, count: u8| {
            json!({"policy": policy, "because": "it destroys", "by": format!("team:{team}"), "teams": [team],
                "count": count, "expires_at": "2026-01-01T04:00:00Z"})
        };
        let digest = guichet_contract::Digest::of_bytes(b"any");
        let run: Value = json!({
            "id": "019a9c1e-7d70-7b1c-8d2e-5b0c1a2b3c4d", "action": "things.destroy", "action_version": digest,
            "command": ["things", "destroy"], "title": "Destroy", "effect": "destroy", "environment": "staging",
            "state": state, "requested_by": {"kind": "person", "name": "dana"}, "surface": "cli", "input": {},
            "resource": "things/a", "policy_version": digest, "binding": digest,
            "approvals": [approval("p1", "ops", 1), approval("p2", "dba", 2)],
            "created_at": "2026-01-01T00:00:00Z", "expires_at": "2026-01-01T04:00:00Z",
        });
        serde_json::from_value(run).unwrap()
    }

    fn word(by: &str, verdict: Verdict, lifts: &[&str]) -> Decision {
        let lifts = lifts.iter().map(|&policy| policy.to_owned()).collect();
        Decision { by: by.to_owned(), verdict, lifts, reason: None, at: Timestamp::UNIX_EPOCH }
    }

    /// Occasion, what is closed by it, and what stays open.
    fn told(run: &Run, happened: Happened<'_>, to: RunState) -> Vec<(Occasion, Vec<String>, Vec<String>)> {
        let list = |set: BTreeSet<String>| set.into_iter().collect();
        tellings(run, happened, to)
            .into_iter()
            .map(|one| (one.occasion, list(one.closed), list(one.open)))
            .collect()
    }

    fn policies(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn a_yes_closes_the_condition_that_it_fulfils_and_no_other() {
        use Occasion::{ApprovalClosed, ApprovalRequested, RunDecided};
        let (waiting, queued) = (RunState::AwaitingApproval, RunState::Queued);
        let mut run = run("awaiting_approval");
        let both = policies(&["p1", "p2"]);
        let submitted = (Occasion::RunSubmitted, vec![], vec![]);
        let requested = (ApprovalRequested, vec![], both.clone());
        assert_eq!(told(&run, Happened::Scheduled, waiting), std::slice::from_ref(&requested));
        assert_eq!(told(&run, Happened::Submitted, waiting), [submitted, requested]);

        let first = word("ines", Verdict::Approve, &["p2"]);
        assert_eq!(
            told(&run, Happened::Decided(&first), waiting),
            [(RunDecided, vec![], both)],
            "one of two"
        );
        run.decisions.push(first);
        let second = word("omar", Verdict::Approve, &["p1"]);
        assert_eq!(
            told(&run, Happened::Decided(&second), waiting),
            [(RunDecided, vec![], policies(&["p2"])), (ApprovalClosed, policies(&["p1"]), policies(&["p2"]))]
        );
        run.decisions.push(second);
        let last = word("jan", Verdict::Approve, &["p2"]);
        assert_eq!(
            told(&run, Happened::Decided(&last), queued),
            [(RunDecided, vec![], vec![]), (ApprovalClosed, policies(&["p2"]), vec![])]
        );
    }

    #[test]
    fn whatever_ends_the_waiting_closes_all_that_waited() {
        use Occasion::{ApprovalClosed, RunCancelled, RunDecided, RunExpired, RunVoided};
        let run = run("awaiting_approval");
        let no = word("omar", Verdict::Reject, &[]);
        let eve = Principal::person("eve");
        for (happened, to, occasion) in [
            (Happened::Decided(&no), RunState::Rejected, RunDecided),
            (Happened::Expired, RunState::Expired, RunExpired),
            (Happened::Voided { by: None, because: "it changed" }, RunState::Voided, RunVoided),
            (Happened::Cancelled { by: &eve, because: None }, RunState::Cancelled, RunCancelled),
        ] {
            let closed = (ApprovalClosed, policies(&["p1", "p2"]), vec![]);
            assert_eq!(told(&run, happened, to), [(occasion, vec![], vec![]), closed]);
        }
        let own = Happened::Cancelled { by: &run.requested_by, because: None };
        let occasions: Vec<Occasion> =
            told(&run, own, RunState::Cancelled).into_iter().map(|(occasion, _, _)| occasion).collect();
        assert_eq!(
            occasions,
            [Occasion::RunWithdrawn, ApprovalClosed],
            "told as a cancel only of another's run"
        );
    }

    #[test]
    fn who_is_skipped_is_told_and_who_is_asked_too() {
        let mut broken = run("queued");
        let skipped = std::mem::take(&mut broken.approvals);
        let review_due_at = Timestamp::UNIX_EPOCH;
        for (skipped, waived_seconds, asked) in [
            (skipped.clone(), 0, &["p1", "p2"][..]),
            (skipped, 60, &["p1", "p2"]),
            (vec![], 60, &["cool-down"]),
        ] {
            broken.broken_glass = Some(BrokenGlass { skipped, waived_seconds, review_due_at });
            assert_eq!(
                told(&broken, Happened::Submitted, RunState::Queued),
                [(Occasion::RunSubmitted, vec![], vec![]), (Occasion::GlassBroken, vec![], policies(asked))]
            );
        }
        let waiting = run("awaiting_approval");
        let asked = Happened::Asked { by: "omar", because: "is there a backup?" };
        assert_eq!(
            told(&waiting, asked, RunState::AwaitingApproval),
            [(Occasion::RunAsked, vec![], policies(&["p1", "p2"]))]
        );
        let asked = ["omar".to_owned()].into();
        let answered = Happened::Answered { by: "dana", because: "yes", asked: &asked };
        let told = tellings(&waiting, answered, RunState::AwaitingApproval);
        assert_eq!((told[0].occasion, &told[0].asked), (Occasion::RunAnswered, &asked));
    }

    #[test]
    fn what_waits_for_nobody_asks_nobody() {
        let mut queued = run("queued");
        assert_eq!(
            told(&queued, Happened::Submitted, RunState::Queued),
            [(Occasion::RunSubmitted, vec![], vec![])]
        );
        assert_eq!(told(&queued, Happened::Scheduled, RunState::Queued), []);
        assert_eq!(
            told(&queued, Happened::Started, RunState::Running),
            [(Occasion::RunStarted, vec![], vec![])]
        );
        let voided = Happened::Voided { by: None, because: "it changed" };
        assert_eq!(told(&queued, voided, RunState::Voided), [(Occasion::RunVoided, vec![], vec![])]);
        queued.state = RunState::Running;
        let ended = told(&queued, Happened::Ended, RunState::Succeeded);
        assert_eq!(ended, [(Occasion::RunEnded, vec![], vec![])]);
    }
}
