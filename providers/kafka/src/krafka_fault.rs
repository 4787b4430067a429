//! Errors of the client in our words.
//!
//! The question is always: of a change, was it sent? Where the client does not know whether a change was done, it answers a
//! network error, a time-out, or that it cannot read the answer; these are [`Fault::Unanswered`]. Where it never came so far
//! as to send, they are [`Fault::Unreachable`].

use std::io::ErrorKind;

use krafka::{
    KrafkaError,
    error::{ErrorCode, ProtocolErrorKind},
};

use crate::wire::Fault;

/// What the client says where a broker answers that there is no such offset. A broker that cannot tell at the moment answers
/// with the same code, and words of its own or none.
const NO_SUCH_OFFSET: &str = "the broker reported no offset for this spec";
/// What it says where a change found nobody to take it until its time was over. What it had sent, it would not have sent
/// again: that time-out has other words.
const NEVER_SENT: &str = " did not complete within ";
/// The words of that other one, which a read repeats as the last of its failures.
const SENT: &str = " sent and unanswered ";

/// Whether the broker says that there is no such offset, and not that it cannot tell.
pub(crate) fn is_no_such_offset(error: &KrafkaError) -> bool {
    matches!(error, KrafkaError::Broker { code: ErrorCode::OffsetNotAvailable, message } if message == NO_SUCH_OFFSET)
}

/// An error of the client in our words.
pub(crate) fn fault(error: KrafkaError) -> Fault {
    match error {
        KrafkaError::Network(error) => match error.kind() {
            ErrorKind::ConnectionRefused | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
                Fault::Unreachable(error.to_string())
            }
            _ => Fault::Unanswered(error.to_string()),
        },
        KrafkaError::Timeout { operation } if operation.contains(NEVER_SENT) && !operation.contains(SENT) => {
            Fault::Unreachable(operation)
        }
        KrafkaError::Timeout { operation } => Fault::Unanswered(format!("no answer in time ({operation})")),
        // These are told before anything is sent, or of messages that are read.
        KrafkaError::Protocol {
            kind:
                ProtocolErrorKind::UnknownApiVersion
                | ProtocolErrorKind::FrameTooLarge
                | ProtocolErrorKind::CrcMismatch,
            message,
        } => Fault::Refused(message),
        // An answer came, and what it says cannot be read.
        KrafkaError::Protocol { message, .. } => {
            Fault::Unanswered(format!("its answer cannot be read: {message}"))
        }
        KrafkaError::DeliveryTimeout { possibly_written: false, message } => Fault::Unreachable(message),
        KrafkaError::DeliveryTimeout { message, .. } => Fault::Unanswered(message),
        KrafkaError::Auth { message, .. } => Fault::NotLetIn(message),
        KrafkaError::UnknownTopic { .. } => Fault::NotThere,
        KrafkaError::Broker { code, message } => match code {
            ErrorCode::UnknownTopicOrPartition | ErrorCode::UnknownTopicId | ErrorCode::GroupIdNotFound => {
                Fault::NotThere
            }
            ErrorCode::TopicAlreadyExists => Fault::Exists,
            ErrorCode::NonEmptyGroup | ErrorCode::UnknownMemberId | ErrorCode::RebalanceInProgress => {
                Fault::HasMembers
            }
            // Whom it is for could not be found until the time was over; these say that nothing was done.
            ErrorCode::NotController
            | ErrorCode::NotCoordinator
            | ErrorCode::CoordinatorNotAvailable
            | ErrorCode::CoordinatorLoadInProgress
            | ErrorCode::NotLeaderForPartition
            | ErrorCode::LeaderNotAvailable => Fault::Unreachable(message),
            // The controller took it and did not see it done in time.
            ErrorCode::RequestTimedOut => Fault::Unanswered(message),
            _ if message == format!("{code:?}") => Fault::Refused(message),
            _ => Fault::Refused(format!("{message} ({code:?})")),
        },
        other => Fault::Refused(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_cannot_be_read_is_no_refusal() {
        let told = |kind| fault(KrafkaError::protocol_kind(kind, "x"));
        for kind in [
            ProtocolErrorKind::Malformed,
            ProtocolErrorKind::TruncatedFrame,
            ProtocolErrorKind::InvalidUtf8,
            ProtocolErrorKind::InvalidLength,
            ProtocolErrorKind::Other,
        ] {
            assert!(matches!(told(kind), Fault::Unanswered(_)), "{kind:?}");
        }
        for kind in [ProtocolErrorKind::UnknownApiVersion, ProtocolErrorKind::FrameTooLarge] {
            assert!(matches!(told(kind), Fault::Refused(_)), "{kind:?} was not sent");
        }
    }
}
