//! Which state follows: one exhaustive match, the drawing above it.

use std::fmt;

use guichet_contract::RunState;

/// What can happen to a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// It was admitted, planned and handed in.
    Submitted {
        /// Whether people must lift something before it may start.
        needs_approval: bool,
    },
    /// Enough people said yes to every condition.
    Lifted,
    /// An approver said no.
    Rejected,
    /// The requester withdrew it, or the provider stopped it on request.
    Cancelled,
    /// Nobody decided in time.
    Expired,
    /// What was approved is no longer what would run: input, plan, policy or declaration has changed.
    Voided,
    /// A worker is about to call the provider. Written before the call, so that a crash between the two is seen.
    Dispatched,
    /// The provider could not be called: surely nothing was done, and it is tried again.
    GivenBack,
    /// The provider said that it is done.
    Succeeded,
    /// The provider said that it is not done, or never received the call.
    Failed,
    /// The provider was called and its answer never came.
    ProviderSilent,
    /// A gateway that comes back after a crash found it running and nobody attending to it.
    GatewayLost,
    /// The check just before the call said no: the requester may no longer do this.
    RefusedAtDispatch,
    /// Its provider was asked what became of it, and said so.
    Reconciled {
        /// What the provider said.
        to: Settled,
    },
}

/// What became of a run of which nobody could say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Settled {
    /// It was done.
    Succeeded,
    /// It was not done.
    Failed,
    /// It was stopped.
    Cancelled,
}

impl Event {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::Submitted { needs_approval: true },
        Self::Submitted { needs_approval: false },
        Self::Lifted,
        Self::Rejected,
        Self::Cancelled,
        Self::Expired,
        Self::Voided,
        Self::Dispatched,
        Self::GivenBack,
        Self::Succeeded,
        Self::Failed,
        Self::ProviderSilent,
        Self::GatewayLost,
        Self::RefusedAtDispatch,
        Self::Reconciled { to: Settled::Succeeded },
        Self::Reconciled { to: Settled::Failed },
        Self::Reconciled { to: Settled::Cancelled },
    ];

    /// What happens, as it is said of a run: "it can be …".
    fn as_words(self) -> &'static str {
        match self {
            Self::Submitted { .. } => "submitted",
            Self::Lifted => "approved",
            Self::Rejected => "rejected",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::Voided => "voided",
            Self::Dispatched => "dispatched",
            Self::GivenBack => "queued again",
            Self::Succeeded => "reported as succeeded",
            Self::Failed => "reported as failed",
            Self::ProviderSilent => "left without an answer by the provider",
            Self::GatewayLost => "found without a gateway that attends to it",
            Self::RefusedAtDispatch => "refused at dispatch",
            Self::Reconciled { .. } => "settled by its provider",
        }
    }
}

/// The state does not allow the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub struct Illegal {
    /// Where the run stands.
    pub state: RunState,
    /// What was to happen to it.
    pub event: Event,
}

impl fmt::Display for Illegal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { state, event } = *self;
        write!(f, "a run that is {state} cannot be {}: ", event.as_words())?;
        // Asked of the match itself, so that the message cannot promise what the match refuses.
        let mut allowed: Vec<&str> =
            Event::ALL.into_iter().filter(|other| next(state, *other).is_ok()).map(Event::as_words).collect();
        allowed.dedup();
        match allowed.as_slice() {
            [] => write!(f, "{state} is final; submit a new run"),
            [only] => write!(f, "it can only be {only}"),
            [first @ .., last] => write!(f, "it can be {} or {last}", first.join(", ")),
        }
    }
}

/// The state that follows, or why none does.
///
/// ```text
///                   planned
///      needs people │     │ needs none
///                   ▼     │
///     awaiting_approval   │      ──► rejected | expired | cancelled | voided
///            lifted │     │
///                   ▼     ▼
///                   queued       ──► cancelled | voided | failed
///        dispatched │
///                   ▼
///                   running      ──► succeeded | failed | cancelled | unknown
///                                ──► queued, when the provider could surely not be called
///                   unknown      ──► succeeded | failed | cancelled, when its provider is asked and knows
/// ```
///
/// Final states never move, but for `unknown`: its provider is asked what became of it, and what it says is an event of
/// its own with a record of its own, never a silent correction. Nobody waits for that: `unknown` is an end for whoever
/// follows, and stays when the provider does not know. A wrong "succeeded" would be worse than an honest question.
#[expect(clippy::match_same_arms, reason = "one line for each arrow of the drawing")]
pub fn next(state: RunState, event: Event) -> Result<RunState, Illegal> {
    use Event as E;
    use RunState as S;
    // No wildcard over a living state: who adds an event is asked by the compiler what it means everywhere.
    match (state, event) {
        (S::Planned, E::Submitted { needs_approval: true }) => Ok(S::AwaitingApproval),
        (S::Planned, E::Submitted { needs_approval: false }) => Ok(S::Queued),

        (S::AwaitingApproval, E::Lifted) => Ok(S::Queued),
        (S::AwaitingApproval, E::Rejected) => Ok(S::Rejected),
        (S::AwaitingApproval, E::Expired) => Ok(S::Expired),

        (S::AwaitingApproval | S::Queued | S::Running, E::Cancelled) => Ok(S::Cancelled),
        (S::AwaitingApproval | S::Queued, E::Voided) | (S::Queued, E::RefusedAtDispatch) => Ok(S::Voided),

        (S::Queued, E::Dispatched) => Ok(S::Running),
        (S::Running, E::GivenBack) => Ok(S::Queued),
        (S::Running, E::Succeeded) => Ok(S::Succeeded),
        // From queued: the call could not even be made, for instance because the action is gone.
        (S::Queued | S::Running, E::Failed) => Ok(S::Failed),
        (S::Running, E::ProviderSilent | E::GatewayLost) => Ok(S::Unknown),
        (S::Unknown, E::Reconciled { to: Settled::Succeeded }) => Ok(S::Succeeded),
        (S::Unknown, E::Reconciled { to: Settled::Failed }) => Ok(S::Failed),
        (S::Unknown, E::Reconciled { to: Settled::Cancelled }) => Ok(S::Cancelled),

        (
            S::Planned,
            E::Lifted
            | E::Rejected
            | E::Cancelled
            | E::Expired
            | E::Voided
            | E::Dispatched
            | E::GivenBack
            | E::Succeeded
            | E::Failed
            | E::ProviderSilent
            | E::GatewayLost
            | E::RefusedAtDispatch
            | E::Reconciled { .. },
        )
        | (
            S::AwaitingApproval,
            E::Submitted { .. }
            | E::Dispatched
            | E::GivenBack
            | E::Succeeded
            | E::Failed
            | E::ProviderSilent
            | E::GatewayLost
            | E::RefusedAtDispatch
            | E::Reconciled { .. },
        )
        | (
            S::Queued,
            E::Submitted { .. }
            | E::Lifted
            | E::Rejected
            | E::Expired
            | E::GivenBack
            | E::Succeeded
            | E::ProviderSilent
            | E::GatewayLost
            | E::Reconciled { .. },
        )
        | (
            S::Running,
            E::Submitted { .. }
            | E::Lifted
            | E::Rejected
            | E::Expired
            | E::Voided
            | E::Dispatched
            | E::RefusedAtDispatch
            | E::Reconciled { .. },
        )
        | (S::Succeeded | S::Failed | S::Cancelled | S::Unknown | S::Rejected | S::Expired | S::Voided, _) => {
            Err(Illegal { state, event })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The drawing once more, as a table: every other pair must be refused.
    const MOVES: [(RunState, Event, RunState); 20] = [
        (RunState::Planned, Event::Submitted { needs_approval: true }, RunState::AwaitingApproval),
        (RunState::Planned, Event::Submitted { needs_approval: false }, RunState::Queued),
        (RunState::AwaitingApproval, Event::Lifted, RunState::Queued),
        (RunState::AwaitingApproval, Event::Rejected, RunState::Rejected),
        (RunState::AwaitingApproval, Event::Cancelled, RunState::Cancelled),
        (RunState::AwaitingApproval, Event::Expired, RunState::Expired),
        (RunState::AwaitingApproval, Event::Voided, RunState::Voided),
        (RunState::Queued, Event::Dispatched, RunState::Running),
        (RunState::Queued, Event::Cancelled, RunState::Cancelled),
        (RunState::Queued, Event::Voided, RunState::Voided),
        (RunState::Queued, Event::RefusedAtDispatch, RunState::Voided),
        (RunState::Queued, Event::Failed, RunState::Failed),
        (RunState::Running, Event::GivenBack, RunState::Queued),
        (RunState::Running, Event::Succeeded, RunState::Succeeded),
        (RunState::Running, Event::Failed, RunState::Failed),
        (RunState::Running, Event::Cancelled, RunState::Cancelled),
        (RunState::Running, Event::ProviderSilent, RunState::Unknown),
        (RunState::Unknown, Event::Reconciled { to: Settled::Succeeded }, RunState::Succeeded),
        (RunState::Unknown, Event::Reconciled { to: Settled::Failed }, RunState::Failed),
        (RunState::Unknown, Event::Reconciled { to: Settled::Cancelled }, RunState::Cancelled),
    ];

    #[test]
    fn every_pair_is_as_in_the_table() {
        for state in RunState::ALL {
            for event in Event::ALL {
                let expected = if (state, event) == (RunState::Running, Event::GatewayLost) {
                    Some(RunState::Unknown)
                } else {
                    MOVES.iter().find(|(from, by, _)| (*from, *by) == (state, event)).map(|(_, _, to)| *to)
                };
                assert_eq!(next(state, event).ok(), expected, "{state} and {event:?}");
            }
        }
    }

    #[test]
    fn final_states_never_move_and_others_do() {
        for state in RunState::ALL {
            let moves = Event::ALL.into_iter().any(|event| next(state, event).is_ok());
            assert_eq!(moves, !state.is_final() || state == RunState::Unknown, "{state}");
        }
    }

    #[test]
    fn a_refused_move_says_what_is_possible() {
        let words = |state, event| next(state, event).unwrap_err().to_string();
        assert_eq!(
            words(RunState::Queued, Event::Lifted),
            "a run that is queued cannot be approved: it can be cancelled, voided, dispatched, reported as failed \
             or refused at dispatch"
        );
        assert_eq!(
            words(RunState::Succeeded, Event::Cancelled),
            "a run that is succeeded cannot be cancelled: succeeded is final; submit a new run"
        );
        assert_eq!(
            words(RunState::Planned, Event::Cancelled),
            "a run that is planned cannot be cancelled: it can only be submitted"
        );
        assert!(words(RunState::AwaitingApproval, Event::Dispatched).contains("awaiting_approval"));
    }
}
