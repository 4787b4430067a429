//! From what a call carries to who makes it.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use arc_swap::ArcSwap;
use guichet_contract::{Clock, Principal, PrincipalKind, TokenId};
use guichet_store::{Change, Store, StoreError, Token, TokenKind, UnitOfWork};
use jiff::{SignedDuration, Timestamp};

use crate::{
    secret,
    session::Scope,
    users::{PasswordCheck, User, Users},
};

/// Who a call comes from. Teams are not in it: admission adds them from the registry.
#[derive(Debug, Clone, PartialEq)]
pub struct Identified {
    /// The actor.
    pub principal: Principal,
    /// The session or token it came with.
    pub token: TokenId,
    /// Which kind of token.
    pub token_kind: TokenKind,
    /// What the token may be used for; empty means all its owner may.
    pub scopes: Vec<String>,
    /// When the token ends.
    pub expires_at: Timestamp,
}

impl Identified {
    /// Whether the token may be used for this.
    pub fn has_scope(&self, scope: Scope) -> bool {
        self.scopes.is_empty() || self.scopes.iter().any(|word| word == scope.as_str())
    }
}

/// Why nobody was identified.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// No credentials at all.
    #[error("the call carries no credentials")]
    Missing,
    /// Not a token of this gateway.
    #[error("the token is not known here; it may be of another environment")]
    UnknownToken,
    /// Too old.
    #[error("the token expired at {0:.0}")]
    Expired(Timestamp),
    /// Taken back.
    #[error("the token was revoked at {0:.0}")]
    Revoked(Timestamp),
    /// Whoever it was is no longer among the users.
    #[error("`{0}` is no longer a user of this gateway")]
    UserGone(String),
    /// Name or password.
    #[error("user name or password is wrong")]
    WrongPassword,
    /// More than ten a minute.
    #[error("too many attempts to sign in: ten a minute for one user, 64 at once for all")]
    TooManyAttempts,
    /// A token cannot be made like this.
    #[error("{0}")]
    BadToken(String),
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A fault of the machine.
    #[error("{0}")]
    Fault(String),
}

/// Knows who calls.
pub struct Identity {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    users: ArcSwap<Users>,
    passwords: PasswordCheck,
    known: RwLock<HashMap<[u8; 32], Known>>,
}

struct Known {
    identified: Arc<Identified>,
    looked_up_at: Timestamp,
}

/// How long a token once looked up is believed without asking the store: a revocation made through another replica
/// takes effect within this time, one made through this process at once.
const BELIEVED_FOR: SignedDuration = SignedDuration::from_secs(5);
/// How many tokens are remembered; beyond it the memory is cleared, which costs one look-up each.
const REMEMBERED: usize = 10_000;

impl Identity {
    /// Over this store, with these people.
    ///
    /// # Errors
    /// [`IdentityError::Fault`] when the machine gives no randomness.
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, users: Users) -> Result<Self, IdentityError> {
        Ok(Self {
            store,
            clock,
            users: ArcSwap::from_pointee(users),
            passwords: PasswordCheck::new()?,
            known: RwLock::new(HashMap::new()),
        })
    }

    /// Replaces the people; sessions of those who are gone end at once.
    pub fn replace_users(&self, users: Users) {
        self.users.store(Arc::new(users));
        self.forget_all();
    }

    /// Who presents this secret.
    ///
    /// # Errors
    /// Why it does not hold.
    pub async fn identify(&self, bearer: Option<&str>) -> Result<Arc<Identified>, IdentityError> {
        let bearer = bearer.ok_or(IdentityError::Missing)?;
        let key = secret::sha256(bearer);
        let now = self.clock.now();
        if let Some(identified) = self.remembered(&key, now) {
            return Ok(identified);
        }
        let users_then = self.users.load_full();
        let token = self.store.token_by_secret(&key).await?.ok_or(IdentityError::UnknownToken)?;
        let identified = Arc::new(self.check_token(&token, now)?);
        self.note_use(&token, now);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        // Users that were replaced while this was looked up: it holds for this call, and is not remembered.
        if !Arc::ptr_eq(&users_then, &self.users.load()) {
            return Ok(identified);
        }
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(key, Known { identified: Arc::clone(&identified), looked_up_at: now });
        Ok(identified)
    }

    /// The person of this name, when the password is theirs.
    ///
    /// # Errors
    /// [`IdentityError::WrongPassword`], [`IdentityError::TooManyAttempts`].
    pub async fn check_password(&self, name: &str, password: &str) -> Result<User, IdentityError> {
        self.passwords.check(&self.users.load_full(), name, password).await
    }

    /// Forgets what was remembered of a token, so that its revocation counts at once.
    pub fn forget(&self, token: TokenId) {
        self.known
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|_, known| known.identified.token != token);
    }

    fn forget_all(&self) {
        self.known.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn remembered(&self, key: &[u8; 32], now: Timestamp) -> Option<Arc<Identified>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let known = known.get(key)?;
        let age = now.duration_since(known.looked_up_at);
        // A clock that went backwards gives a negative age: look it up again.
        let fresh = !age.is_negative() && age < BELIEVED_FOR && now < known.identified.expires_at;
        fresh.then(|| Arc::clone(&known.identified))
    }

    fn check_token(&self, token: &Token, now: Timestamp) -> Result<Identified, IdentityError> {
        if let Some(at) = token.revoked_at {
            return Err(IdentityError::Revoked(at));
        }
        if now >= token.expires_at {
            return Err(IdentityError::Expired(token.expires_at));
        }
        let users = self.users.load();
        let user =
            users.get(&token.principal).ok_or_else(|| IdentityError::UserGone(token.principal.clone()))?;
        Ok(Identified {
            principal: Principal { kind: user.kind, ..Principal::person(&user.name) },
            token: token.id,
            token_kind: token.kind,
            scopes: token.scopes.clone(),
            expires_at: token.expires_at,
        })
    }

    /// Last use is told at most once a minute, beside the call: it never delays one.
    fn note_use(&self, token: &Token, now: Timestamp) {
        let stale = token.last_used_at.is_none_or(|at| now.duration_since(at).as_secs() >= 60);
        if stale {
            let (store, id) = (Arc::clone(&self.store), token.id);
            tokio::spawn(async move {
                let work = UnitOfWork::new().with(Change::TouchToken { token: id, at: now });
                if let Err(error) = store.commit(work).await {
                    tracing::warn!(%error, token = %id, "the token's last use could not be noted");
                }
            });
        }
    }

    /// Everybody who can sign in, by name, and of which kind they are.
    pub fn everybody(&self) -> Vec<(String, PrincipalKind)> {
        self.users.load().all().map(|user| (user.name.clone(), user.kind)).collect()
    }

    /// Whether this name is a user's, and of which kind.
    pub fn kind_of(&self, name: &str) -> Option<PrincipalKind> {
        self.users.load().get(name).map(|user| user.kind)
    }
}
