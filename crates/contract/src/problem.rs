//! Problems on the wire: RFC 9457 `application/problem+json` with a stable code that has a page in `docs/errors/`.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One problem: what happened, why, and what to do next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// `https://guichet.dev/errors/CODE`; the page is `docs/errors/CODE.md`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What kind of problem, the same words each time.
    pub title: String,
    /// HTTP status, 400–599.
    pub status: u16,
    /// Stable code, one of [`code`].
    pub code: String,
    /// What happened here, and why.
    pub detail: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Members of the input that are wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// Ids of the policies that refuse.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<String>,
    /// Methods that are offered in place of the one that is not; also in the header `Allow`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<String>,
    /// W3C trace id, for whoever asks support.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
}

/// One member of an input that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FieldError {
    /// JSON pointer into the input; empty for the input itself.
    pub pointer: String,
    /// The command-line flag, `--pid`, when one flag is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flag: Option<String>,
    /// What is wrong with it.
    pub message: String,
}

impl Problem {
    /// From a code of the table below. An unknown code is a mistake of ours and becomes `internal`.
    pub fn new(code: &'static str, detail: impl Into<String>) -> Self {
        let (status, title) = code::look_up(code);
        Self {
            kind: format!("https://guichet.dev/errors/{code}"),
            title: title.to_owned(),
            status,
            code: code.to_owned(),
            detail: detail.into(),
            next: None,
            errors: Vec::new(),
            policies: Vec::new(),
            allow: Vec::new(),
            trace_id: None,
        }
    }

    /// Says what to do next.
    #[must_use]
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }

    /// Names the policies that refuse.
    #[must_use]
    pub fn policies(mut self, policies: Vec<String>) -> Self {
        self.policies = policies;
        self
    }

    /// Names the methods that are offered.
    #[must_use]
    pub fn allow<'a>(mut self, methods: impl IntoIterator<Item = &'a str>) -> Self {
        self.allow = methods.into_iter().map(str::to_owned).collect();
        self
    }

    /// Names the members that are wrong.
    #[must_use]
    pub fn errors(mut self, errors: Vec<FieldError>) -> Self {
        self.errors = errors;
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.title, self.detail)
    }
}

impl std::error::Error for Problem {}

/// The stable codes. Each has a page `docs/errors/CODE.md`; a test of the house holds the two together.
pub mod code {
    macro_rules! codes {
        ($($(#[$doc:meta])* $name:ident = $text:literal, $status:literal, $title:literal;)*) => {
            $($(#[$doc])* pub const $name: &str = $text;)*
            /// Every code with its HTTP status and title.
            pub const ALL: &[(&str, u16, &str)] = &[$(($text, $status, $title)),*];
        };
    }

    codes! {
        /// The request is not of the form the route takes.
        BAD_REQUEST = "bad-request", 400, "The request cannot be read";
        /// Some members of the input are wrong.
        INVALID_INPUT = "invalid-input", 422, "The input is not valid";
        /// What was done has no declared inverse.
        NO_INVERSE = "no-inverse", 409, "It cannot be undone by itself";
        /// The review is closed, or there is none.
        NO_REVIEW = "no-review", 409, "There is no open review";
        /// A policy wants a reason, or something in it.
        REASON_REQUIRED = "reason-required", 422, "A reason is needed";
        /// No credentials.
        NOT_SIGNED_IN = "not-signed-in", 401, "You are not signed in";
        /// Credentials that do not hold: unknown, expired, revoked.
        INVALID_CREDENTIALS = "invalid-credentials", 401, "The credentials are not valid";
        /// Policy says no.
        REFUSED = "refused", 403, "Policy does not allow this";
        /// One's own run.
        OWN_RUN = "own-run", 403, "Nobody approves their own run";
        /// An agent.
        AGENT_CANNOT_APPROVE = "agent-cannot-approve", 403, "An agent never approves";
        /// Not among those who can lift the approval.
        NOT_AN_APPROVER = "not-an-approver", 403, "You are not among the approvers";
        /// No such action.
        UNKNOWN_ACTION = "unknown-action", 404, "There is no such action";
        /// No such provider.
        UNKNOWN_PROVIDER = "unknown-provider", 404, "There is no such provider";
        /// No such run.
        UNKNOWN_RUN = "unknown-run", 404, "There is no such run";
        /// No such schedule.
        UNKNOWN_SCHEDULE = "unknown-schedule", 404, "There is no such schedule";
        /// No such delivery of a notice.
        UNKNOWN_DELIVERY = "unknown-delivery", 404, "There is no such delivery";
        /// A channel that is not configured.
        UNKNOWN_CHANNEL = "unknown-channel", 409, "The channel is not configured";
        /// The name of a schedule that exists.
        SCHEDULE_EXISTS = "schedule-exists", 409, "There is a schedule of this name";
        /// The name of a provider that is somebody else's.
        NAME_TAKEN = "name-taken", 409, "The provider's name is taken";
        /// The document of a service that shall be added.
        DOCUMENT_REFUSED = "document-refused", 422, "The service's document cannot be used";
        /// No such instance of a provider.
        UNKNOWN_INSTANCE = "unknown-instance", 404, "There is no such instance";
        /// No such token.
        UNKNOWN_TOKEN = "unknown-token", 404, "There is no such token";
        /// No such route.
        NOT_FOUND = "not-found", 404, "There is nothing here";
        /// The route exists, not with this method.
        METHOD_NOT_ALLOWED = "method-not-allowed", 405, "This method is not offered here";
        /// A short id that several runs share.
        AMBIGUOUS_ID = "ambiguous-id", 409, "Several runs have this short id";
        /// The run is not in a state that allows this.
        WRONG_STATE = "wrong-state", 409, "The run's state does not allow this";
        /// The approval came too late.
        APPROVAL_EXPIRED = "approval-expired", 409, "The request for approval has expired";
        /// What was approved is no longer what would run.
        PLAN_DRIFTED = "plan-drifted", 409, "The plan has changed since it was approved";
        /// What was shown is no longer what would run.
        BINDING_CHANGED = "binding-changed", 409, "What you were shown is not what would run";
        /// Stopped while it was under way.
        RUN_CANCELLED = "run-cancelled", 409, "The run was stopped on request";
        /// The same Idempotency-Key with another input.
        IDEMPOTENCY_CONFLICT = "idempotency-conflict", 409, "This Idempotency-Key was used for something else";
        /// The same person again.
        ALREADY_DECIDED = "already-decided", 409, "You have decided already";
        /// The action cannot do this (for instance it has no plan).
        NOT_OFFERED = "not-offered", 422, "The action does not offer this";
        /// Too large.
        BODY_TOO_LARGE = "body-too-large", 413, "The body is too large";
        /// Too many requests.
        TOO_MANY_REQUESTS = "too-many-requests", 429, "Too many requests";
        /// Provider cannot be reached.
        PROVIDER_UNREACHABLE = "provider-unreachable", 502, "The provider cannot be reached";
        /// Provider answers what the protocol does not allow.
        PROVIDER_PROTOCOL = "provider-protocol", 502, "The provider's answer cannot be understood";
        /// Provider said no or broke.
        PROVIDER_FAILED = "provider-failed", 502, "The provider reports a failure";
        /// The call was cut: its effect is unknown.
        PROVIDER_SILENT = "provider-silent", 504, "The provider's answer never came";
        /// No instance of a provider that registers itself is there.
        PROVIDER_ABSENT = "provider-absent", 503, "The provider is not there";
        /// Too many failures in a row; calls are held back.
        PROVIDER_CIRCUIT_OPEN = "provider-circuit-open", 503, "The provider is resting after failures";
        /// Too many calls at once for this provider.
        PROVIDER_BUSY = "provider-busy", 503, "The provider cannot take the call now";
        /// The gateway stopped while the provider performed.
        GATEWAY_STOPPED = "gateway-stopped", 500, "The gateway stopped while the provider was performing";
        /// The store does not take writes.
        STORE_UNAVAILABLE = "store-unavailable", 503, "Nothing can be recorded, so nothing is done";
        /// The audit trail could not be searched in time.
        SEARCH_TOO_LONG = "search-too-long", 503, "The search took too long";
        /// The gateway drains.
        SHUTTING_DOWN = "shutting-down", 503, "The gateway is shutting down";
        /// A fault of ours.
        INTERNAL = "internal", 500, "Guichet has failed";
    }

    /// Status and title of a code.
    pub(crate) fn look_up(code: &str) -> (u16, &'static str) {
        ALL.iter()
            .find(|(text, _, _)| *text == code)
            .map_or((500, "Guichet has failed"), |(_, status, title)| (*status, title))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_reads_as_rfc_9457() {
        let problem = Problem::new(code::REFUSED, "no policy permits it").next("ask team data-platform");
        let json = serde_json::to_value(&problem).unwrap();
        assert_eq!(json["type"], "https://guichet.dev/errors/refused");
        assert_eq!(json["status"], 403);
        assert_eq!(json["next"], "ask team data-platform");
        assert!(json.get("errors").is_none());
    }
}
