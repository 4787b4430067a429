//! Sessions and personal tokens: made, listed, revoked. The caller commits the unit of work, together with its record.

use std::fmt;

use guichet_contract::{Clock, Effect, TokenId};
use guichet_store::{Token, TokenKind};
use jiff::{SignedDuration, Timestamp};

use crate::{identify::IdentityError, secret};

/// How long a session holds.
pub const SESSION_HOURS: i64 = 12;
/// How long a personal token may hold at most.
pub const PERSONAL_TOKEN_DAYS_MAX: i64 = 366;

/// What a personal token may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Reads.
    Read,
    /// Changes.
    Change,
    /// Destroying.
    Destroy,
    /// Approving and rejecting.
    Approve,
    /// Registering as a provider, and nothing else.
    Register,
}

impl Scope {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Change => "change",
            Self::Destroy => "destroy",
            Self::Approve => "approve",
            Self::Register => "register",
        }
    }
    /// From the word on the wire.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Read, Self::Change, Self::Destroy, Self::Approve, Self::Register]
            .into_iter()
            .find(|scope| scope.as_str() == word)
    }
}

impl From<Effect> for Scope {
    fn from(effect: Effect) -> Self {
        match effect {
            Effect::Read => Self::Read,
            Effect::Change => Self::Change,
            Effect::Destroy => Self::Destroy,
        }
    }
}

/// A token just made. The secret is told once and kept nowhere; `Debug` does not show it.
pub struct IssuedToken {
    /// What is kept.
    pub token: Token,
    /// What its owner must keep.
    pub secret: String,
}

impl fmt::Debug for IssuedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuedToken").field("id", &self.token.id).finish_non_exhaustive()
    }
}

/// A new session of 12 hours.
///
/// # Errors
/// [`IdentityError::Fault`] when the machine gives no randomness.
pub fn new_session(clock: &dyn Clock, principal: &str) -> Result<IssuedToken, IdentityError> {
    let now = clock.now();
    issue(
        clock,
        TokenKind::Session,
        principal,
        "session",
        Vec::new(),
        now + SignedDuration::from_hours(SESSION_HOURS),
    )
}

/// A new personal token.
///
/// # Errors
/// [`IdentityError::BadToken`] when name, duration (60 s … 366 days) or scopes are not right.
pub fn new_personal_token(
    clock: &dyn Clock,
    principal: &str,
    name: &str,
    expires_in_seconds: i64,
    scopes: Vec<String>,
) -> Result<IssuedToken, IdentityError> {
    if name.trim().is_empty() || name.chars().count() > 100 {
        return Err(IdentityError::BadToken(
            "a token's name has 1 to 100 characters: say what it is for".into(),
        ));
    }
    if !(60..=PERSONAL_TOKEN_DAYS_MAX * 86_400).contains(&expires_in_seconds) {
        return Err(IdentityError::BadToken(format!(
            "a token holds between 60 seconds and {PERSONAL_TOKEN_DAYS_MAX} days, not {expires_in_seconds} s"
        )));
    }
    if let Some(unknown) = scopes.iter().find(|scope| Scope::from_word(scope).is_none()) {
        return Err(IdentityError::BadToken(format!(
            "there is no scope `{unknown}`: choose among read, change, destroy, approve"
        )));
    }
    let expires_at = clock.now() + SignedDuration::from_secs(expires_in_seconds);
    issue(clock, TokenKind::Personal, principal, name, scopes, expires_at)
}

fn issue(
    clock: &dyn Clock,
    kind: TokenKind,
    principal: &str,
    name: &str,
    scopes: Vec<String>,
    expires_at: Timestamp,
) -> Result<IssuedToken, IdentityError> {
    let secret = secret::new_secret(kind).map_err(IdentityError::Fault)?;
    let token = Token {
        id: TokenId::new(clock),
        secret_sha256: secret::sha256(&secret),
        kind,
        principal: principal.to_owned(),
        name: name.to_owned(),
        scopes,
        created_at: clock.now(),
        expires_at,
        last_used_at: None,
        revoked_at: None,
    };
    Ok(IssuedToken { token, secret })
}
