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
        let event = platform.clock.new_uuid();
        for channel in channels.iter().filter(|channel| channel.occasions.contains(&told.occasion)) {
            let notice = Notice {
                event,
                at,
                occasion: told.occasion,
                channel: channel.name.clone(),
                by: told.by.clone(),
                verdict: told.verdict,
                because: told.because.clone(),
                state: to,
                closed: told.closed.clone(),
                open: told.open.clone(),
            };
            let id = JobId::new(&*platform.clock);
            let job = Job { id, kind: JobKind::DeliverNotice, run: run.id, due: at, attempts: 0 };
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
    };
    let (mut told, decision) = match happened {
        Happened::Submitted if waiting => {
            return vec![Telling { open: before, ..telling(Occasion::ApprovalRequested, None, None) }];
        }
        Happened::Submitted => return Vec::new(),
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
            (vec![telling(Occasion::RunCancelled, Some(&by.name), because)], None)
        }
        Happened::Ended => (vec![telling(Occasion::RunEnded, None, None)], None),
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
        told.push(Telling { occasion: Occasion::ApprovalClosed, by, verdict, because, closed, open: after });
    }
    // Nobody needs to be told what they did themselves.
    if let Happened::Cancelled { by, .. } = happened
        && by.is_same_actor(&run.requested_by)
    {
        told.retain(|one| one.occasion != Occasion::RunCancelled);
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
