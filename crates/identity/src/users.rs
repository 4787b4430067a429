//! Local people from the configuration file.

use std::{collections::BTreeMap, num::NonZeroU32, sync::Arc};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use guichet_contract::PrincipalKind;
use tokio::sync::Semaphore;

use crate::{identify::IdentityError, password};

/// One local person or service account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Unique, 1–100 characters.
    pub name: String,
    /// argon2id in PHC form.
    pub password_hash: String,
    /// Person or service account.
    pub kind: PrincipalKind,
}

/// All local people, by name.
#[derive(Debug, Clone, Default)]
pub struct Users {
    by_name: BTreeMap<String, User>,
}

impl Users {
    /// From the configuration; the caller has checked names and hashes.
    pub fn new(users: impl IntoIterator<Item = User>) -> Self {
        Self { by_name: users.into_iter().map(|user| (user.name.clone(), user)).collect() }
    }
    /// All of them, by name.
    pub fn all(&self) -> impl Iterator<Item = &User> {
        self.by_name.values()
    }
    /// The person of this name.
    pub fn get(&self, name: &str) -> Option<&User> {
        self.by_name.get(name)
    }
}

/// Checks passwords: at most two at once, at most ten a minute for one name, so that neither guessing nor memory
/// exhaustion by sign-in works. A name that does not exist costs the same time as one that does.
pub(crate) struct PasswordCheck {
    at_once: Semaphore,
    waiting: Semaphore,
    per_name: DefaultKeyedRateLimiter<String>,
    /// What a password is held against when nobody bears the name.
    decoy: String,
}

const PER_MINUTE: NonZeroU32 = NonZeroU32::new(10).unwrap();

impl PasswordCheck {
    pub(crate) fn new() -> Result<Self, IdentityError> {
        Ok(Self {
            at_once: Semaphore::new(2),
            waiting: Semaphore::new(64),
            per_name: RateLimiter::keyed(Quota::per_minute(PER_MINUTE)),
            decoy: password::hash_of_nothing().map_err(IdentityError::Fault)?,
        })
    }

    pub(crate) async fn check(
        &self,
        users: &Arc<Users>,
        name: &str,
        given: &str,
    ) -> Result<User, IdentityError> {
        if name.chars().count() > 100 {
            return Err(IdentityError::WrongPassword); // nobody is called so, and it shall not be remembered either
        }
        if self.per_name.check_key(&name.to_owned()).is_err() {
            return Err(IdentityError::TooManyAttempts);
        }
        if self.per_name.len() > 10_000 {
            self.per_name.retain_recent();
        }
        let Ok(_place) = self.waiting.try_acquire() else {
            return Err(IdentityError::TooManyAttempts);
        };
        let _turn =
            self.at_once.acquire().await.map_err(|_| IdentityError::Fault("sign-in is closed".into()))?;
        let user = users.get(name).cloned();
        let hash = user.as_ref().map_or_else(|| self.decoy.clone(), |user| user.password_hash.clone());
        let given = given.to_owned();
        let fits = tokio::task::spawn_blocking(move || password::verify_password(&given, &hash))
            .await
            .map_err(|error| IdentityError::Fault(error.to_string()))?;
        match user {
            Some(user) if fits => Ok(user),
            _ => Err(IdentityError::WrongPassword),
        }
    }
}
