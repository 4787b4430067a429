//! Sessions and personal tokens.

use guichet_contract::TokenId;

use super::{Premises, fixtures::*};
use crate::{Change, Token, TokenKind, UnitOfWork};

pub async fn a_token_reads_as_it_was_written(premises: &impl Premises) {
    let store = premises.open().await;
    let token = token_of("ada", TokenKind::Session);
    store.commit(unit(Change::InsertToken(token.clone()))).await.unwrap();
    assert_eq!(store.token(token.id).await.unwrap(), Some(token.clone()));
    assert_eq!(store.token_by_secret(&token.secret_sha256).await.unwrap(), Some(token.clone()));
    assert_eq!(store.token_by_secret(&[0; 32]).await.unwrap(), None);
    let same_secret = Token { id: token_of("eve", TokenKind::Session).id, ..token };
    conflict(store.commit(unit(Change::InsertToken(same_secret))).await);
}

pub async fn a_token_is_revoked_once(premises: &impl Premises) {
    let store = premises.open().await;
    let token = token_of("ada", TokenKind::Personal);
    store.commit(unit(Change::InsertToken(token.clone()))).await.unwrap();
    let revoke = |token: TokenId| unit(Change::RevokeToken { token, at: second(9) });
    store.commit(revoke(token.id)).await.unwrap();
    conflict(store.commit(revoke(token.id)).await);
    conflict(store.commit(revoke(token_of("ada", TokenKind::Personal).id)).await);
    let revoked = Token { revoked_at: Some(second(9)), ..token };
    assert_eq!(store.token_by_secret(&revoked.secret_sha256).await.unwrap(), Some(revoked));
}

pub async fn personal_tokens_are_listed(premises: &impl Premises) {
    let store = premises.open().await;
    let made_at = |seconds, token| Token { created_at: second(seconds), ..token };
    let (old, new) =
        (made_at(1, token_of("ada", TokenKind::Personal)), made_at(2, token_of("ada", TokenKind::Personal)));
    let others = [
        token_of("ada", TokenKind::Session),
        token_of("grace", TokenKind::Personal),
        Token { revoked_at: Some(second(3)), ..token_of("ada", TokenKind::Personal) },
    ];
    let tokens = [old.clone(), new.clone()].into_iter().chain(others);
    store.commit(tokens.map(Change::InsertToken).fold(UnitOfWork::new(), UnitOfWork::with)).await.unwrap();
    assert_eq!(store.personal_tokens("ada").await.unwrap(), [new, old]);
    assert_eq!(store.personal_tokens("nobody").await.unwrap(), []);
}

pub async fn the_last_use_is_noted(premises: &impl Premises) {
    let store = premises.open().await;
    let token = token_of("ada", TokenKind::Session);
    store.commit(unit(Change::InsertToken(token.clone()))).await.unwrap();
    for seconds in [60, 120, 90] {
        store.commit(unit(Change::TouchToken { token: token.id, at: second(seconds) })).await.unwrap();
    }
    assert_eq!(store.token(token.id).await.unwrap().unwrap().last_used_at, Some(second(120)));
    let unknown = token_of("ada", TokenKind::Session).id;
    store.commit(unit(Change::TouchToken { token: unknown, at: second(60) })).await.unwrap();
}
