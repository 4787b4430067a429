//! Sessions and personal tokens.

use async_trait::async_trait;
use guichet_contract::TokenId;
use jiff::Timestamp;

use super::{
    MemoryStore,
    writing::{Writing, conflict},
};
use crate::{CommitError, StoreError, Token, TokenKind, Tokens};

/// The most personal tokens that are listed.
const LISTED: usize = 500;

/// A new token. Conflict when its id or secret exists.
pub(super) fn insert(writing: &mut Writing<'_>, token: Token) -> Result<(), CommitError> {
    let taken = writing.state.tokens.values().any(|other| other.secret_sha256 == token.secret_sha256);
    if taken || writing.state.tokens.contains_key(&token.id) {
        return Err(conflict(format!("token {} (its id or its secret exists)", token.id)));
    }
    writing.put(|state| &mut state.tokens, token.id, Some(token));
    Ok(())
}

/// Ends it. Conflict when there is none, or it was ended before.
pub(super) fn revoke(writing: &mut Writing<'_>, token: TokenId, at: Timestamp) -> Result<(), CommitError> {
    match writing.state.tokens.get(&token) {
        Some(found) if found.revoked_at.is_none() => {
            let revoked = Token { revoked_at: Some(at), ..found.clone() };
            writing.put(|state| &mut state.tokens, token, Some(revoked));
            Ok(())
        }
        _ => Err(conflict(format!("token {token} (it does not exist or is revoked already)"))),
    }
}

/// Notes its use; an older note never replaces a newer one.
pub(super) fn touch(writing: &mut Writing<'_>, token: TokenId, at: Timestamp) {
    if let Some(found) = writing.state.tokens.get(&token)
        && found.last_used_at.is_none_or(|last| last < at)
    {
        let used = Token { last_used_at: Some(at), ..found.clone() };
        writing.put(|state| &mut state.tokens, token, Some(used));
    }
}

#[async_trait]
impl Tokens for MemoryStore {
    async fn token_by_secret(&self, secret_sha256: &[u8; 32]) -> Result<Option<Token>, StoreError> {
        self.read(|state| {
            Ok(state.tokens.values().find(|token| token.secret_sha256 == *secret_sha256).cloned())
        })
    }

    async fn token(&self, id: TokenId) -> Result<Option<Token>, StoreError> {
        self.read(|state| Ok(state.tokens.get(&id).cloned()))
    }

    async fn personal_tokens(&self, principal: &str) -> Result<Vec<Token>, StoreError> {
        let is_listed = |token: &&Token| {
            token.principal == principal && token.kind == TokenKind::Personal && token.revoked_at.is_none()
        };
        self.read(|state| {
            let mut tokens: Vec<Token> = state.tokens.values().filter(is_listed).cloned().collect();
            tokens.sort_by_key(|token| std::cmp::Reverse((token.created_at, token.id)));
            tokens.truncate(LISTED);
            Ok(tokens)
        })
    }
}
