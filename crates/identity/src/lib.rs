//! Who is this: people by password, everybody after that by a token; and the keys with which the gateway tells
//! providers who calls.
//!
//! Passwords are kept as argon2id hashes, tokens as their SHA-256. Teams are not identity: the registry knows them,
//! and admission adds them. OpenID Connect, AWS STS and CI tokens come beside [`users`] later, each as another way to
//! reach [`Identity::open_session`].
//!
//! Begin reading at [`identify`].

pub mod identify;
pub mod keys;
pub mod password;
pub mod secret;
pub mod session;
pub mod users;

pub use identify::{Identified, Identity, IdentityError};
pub use keys::{KeyRing, KeysError, ProviderClaims};
pub use session::{IssuedToken, Scope};
pub use users::{User, Users};
