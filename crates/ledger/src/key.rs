//! The keys of a log (<https://c2sp.org/signed-note>, signature type 0x01: Ed25519).

use std::{fmt, str::FromStr};

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest as _, Sha256};

/// The signature type of Ed25519.
const ED25519_TYPE: u8 = 0x01;

/// What is no key, or no name for one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The name could not stand in a note.
    #[error(
        "`{0}` cannot be the name of a log: it must have no spaces, no `+` and at least one character (guichet.example/production)"
    )]
    Name(String),
    /// Not of the form `name+hash+base64`.
    #[error("this is no verifier key: it must read NAME+HASH+KEY, as `GET /v1/ledger/key` gives it")]
    Form,
    /// Of another kind than Ed25519.
    #[error("this verifier key is of type {0:#04x}; Guichet signs with Ed25519 keys only (type 0x01)")]
    Type(u8),
    /// The short hash in the middle is not that of name and key.
    #[error("this verifier key is damaged: its hash does not belong to its name and key; copy it anew")]
    Hash,
    /// Keys of two logs in one set.
    #[error(
        "`{0}` and `{1}` are keys of two logs; a change-over is from one key to another of the same name"
    )]
    Names(String, String),
    /// The cryptographic library does not take the seed.
    #[error("the seed of the ledger's key is not usable")]
    Seed,
}

/// Signs checkpoints. Its name is the log's origin.
pub struct Signer {
    name: String,
    seed: [u8; 32],
    pair: Ed25519KeyPair,
    verifier: Verifier,
}

impl Signer {
    /// From a name (`guichet.example/production`) and the 32-byte seed of the Ed25519 key.
    pub fn from_seed(name: impl Into<String>, seed: [u8; 32]) -> Result<Self, KeyError> {
        let name = checked_name(name.into())?;
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| KeyError::Seed)?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| KeyError::Seed)?;
        let verifier = Verifier { id: key_id(&name, &public), name: name.clone(), public };
        Ok(Self { name, seed, pair, verifier })
    }

    /// A new key out of 32 bytes of the system's randomness (which is handed in: this room draws none).
    pub fn generate(name: impl Into<String>, random: [u8; 32]) -> Result<Self, KeyError> {
        Self::from_seed(name, random)
    }

    /// The secret: keep it where only the gateway can read it.
    pub fn seed(&self) -> &[u8; 32] {
        &self.seed
    }

    /// Name of the key and origin of the log.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The public half: hand it to whoever audits. Its text is `name+hash+base64`.
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    pub(crate) fn sign(&self, text: &[u8]) -> Vec<u8> {
        self.pair.sign(text).as_ref().to_vec()
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.verifier)
    }
}

/// Checks signatures of one log. Written and read as a note verifier key, `name+hash+base64`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verifier {
    name: String,
    id: [u8; 4],
    public: [u8; 32],
}

impl Verifier {
    /// Name of the key and origin of the log.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first four bytes of a hash over name and key: tells keys of one name apart.
    pub(crate) fn id(&self) -> [u8; 4] {
        self.id
    }

    /// Name and id, for messages: `guichet.example/production+1a2b3c4d`.
    pub(crate) fn short(&self) -> String {
        format!("{}+{:08x}", self.name, u32::from_be_bytes(self.id))
    }

    pub(crate) fn accepts(&self, text: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.public).verify(text, signature).is_ok()
    }
}

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}", self.short(), STANDARD.encode(typed(&self.public)))
    }
}

impl FromStr for Verifier {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // The base64 part may hold a `+`, the name may not.
        let mut parts = text.trim().splitn(3, '+');
        let (Some(name), Some(hash), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(KeyError::Form);
        };
        let name = checked_name(name.to_owned())?;
        let key = STANDARD.decode(key).map_err(|_| KeyError::Form)?;
        let (kind, public) = key.split_first().ok_or(KeyError::Form)?;
        if *kind != ED25519_TYPE {
            return Err(KeyError::Type(*kind));
        }
        let public = public.try_into().map_err(|_| KeyError::Form)?;
        let verifier = Self { id: key_id(&name, &public), name, public };
        if hash == format!("{:08x}", u32::from_be_bytes(verifier.id)) {
            Ok(verifier)
        } else {
            Err(KeyError::Hash)
        }
    }
}

fn typed(public: &[u8; 32]) -> Vec<u8> {
    [&[ED25519_TYPE], public.as_slice()].concat()
}

fn key_id(name: &str, public: &[u8; 32]) -> [u8; 4] {
    let [a, b, c, d, ..]: [u8; 32] =
        Sha256::new().chain_update(name).chain_update("\n").chain_update(typed(public)).finalize().into();
    [a, b, c, d]
}

fn checked_name(name: String) -> Result<String, KeyError> {
    if name_is_valid(&name) { Ok(name) } else { Err(KeyError::Name(name)) }
}

/// Whether a key can be called so in a note.
pub(crate) fn name_is_valid(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+')
}
