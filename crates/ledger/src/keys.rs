//! The keys of a log while one takes the place of another.
//!
//! A change-over takes three steps. First the new key signs beside the old one: every checkpoint then bears both
//! signatures, which is what a signed note is made for, and whoever knows one of the keys can verify it. The log
//! itself says which keys it is signed with (the record of the gateway's start), and that record lies under the old
//! signature: so an auditor who trusts the old key learns the new one from the log, not from whoever offers it. When
//! all auditors have met the new key, the old one is taken away.

use crate::{
    checkpoint::{Checkpoint, open, sign_by},
    hash::Tree,
    key::{KeyError, Signer, Verifier},
    note::NoteError,
};

/// The keys that sign a log: the one that stays first, then those that go. All have one name.
#[derive(Debug)]
pub struct KeySet {
    current: Signer,
    leaving: Vec<Signer>,
}

impl KeySet {
    /// Of one key, or of several while they change over.
    ///
    /// # Errors
    /// Keys of different names: they would be those of two logs.
    pub fn new(current: Signer, leaving: Vec<Signer>) -> Result<Self, KeyError> {
        match leaving.iter().find(|signer| signer.name() != current.name()) {
            Some(other) => Err(KeyError::Names(current.name().to_owned(), other.name().to_owned())),
            None => Ok(Self { current, leaving }),
        }
    }

    /// Signs a state of the log with each of the keys, the current one first.
    pub fn sign(&self, tree: &Tree) -> String {
        sign_by(tree, self.current.name(), std::iter::once(&self.current).chain(&self.leaving))
    }

    /// What the checkpoint says, if one of these keys signed it.
    ///
    /// # Errors
    /// As [`open_with_any`].
    pub fn open(&self, note: &str) -> Result<Checkpoint, NoteError> {
        open_with_any(note, &self.verifiers()).map(|opened| opened.checkpoint)
    }

    /// The public halves, the current one first.
    pub fn verifiers(&self) -> Vec<Verifier> {
        std::iter::once(&self.current).chain(&self.leaving).map(|signer| signer.verifier().clone()).collect()
    }

    /// The log's name.
    pub fn name(&self) -> &str {
        self.current.name()
    }
}

impl From<Signer> for KeySet {
    fn from(current: Signer) -> Self {
        Self { current, leaving: Vec::new() }
    }
}

/// A checkpoint that was opened with a set of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// What it says.
    pub checkpoint: Checkpoint,
    /// Those of the keys that signed it; at least one.
    pub signed_by: Vec<Verifier>,
}

/// What the checkpoint says, if at least one of these keys signed it, and none of their signatures is wrong.
///
/// # Errors
/// No signature of any of them, a wrong one, another log, or no checkpoint at all.
pub fn open_with_any(note: &str, keys: &[Verifier]) -> Result<Opened, NoteError> {
    let mut opened: Option<Checkpoint> = None;
    let mut signed_by = Vec::new();
    let mut absent: Option<NoteError> = None;
    for key in keys {
        match open(note, key) {
            Ok(checkpoint) => {
                opened = Some(checkpoint);
                signed_by.push(key.clone());
            }
            Err(NoteError::OtherKeys { wanted, found }) => {
                let wanted = match absent.take() {
                    Some(NoteError::OtherKeys { wanted: before, .. }) => format!("{before} or {wanted}"),
                    _ => wanted,
                };
                absent = Some(NoteError::OtherKeys { wanted, found });
            }
            Err(other) => return Err(other),
        }
    }
    match (opened, absent) {
        (Some(checkpoint), _) => Ok(Opened { checkpoint, signed_by }),
        (None, Some(error)) => Err(error),
        (None, None) => Err(NoteError::Malformed("there is no key to check it with")),
    }
}
