//! A signed state of the log (<https://c2sp.org/tlog-checkpoint>).

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{
    hash::{Hash, Tree, shown},
    key::{Signer, Verifier},
    note::{self, Note, NoteError},
};

/// What a checkpoint says: the log called `origin` has `size` entries, and `root` is the hash over all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Name of the log; equals the name of its key.
    pub origin: String,
    /// How many leaves.
    pub size: u64,
    /// RFC 6962 root over them.
    pub root: Hash,
}

impl Checkpoint {
    /// Without its name.
    pub fn tree(&self) -> Tree {
        Tree { size: self.size, root: self.root }
    }
}

/// Signs a state of the log; the log is called as the key is. The caller must never have signed a state that this
/// one does not contain: [`crate::append`] to the last signed one sees to it.
pub fn sign(tree: &Tree, signer: &Signer) -> String {
    sign_by(tree, signer.name(), [signer])
}

/// Signs a state of the log with several keys of its name.
pub(crate) fn sign_by<'a>(tree: &Tree, name: &str, signers: impl IntoIterator<Item = &'a Signer>) -> String {
    note::sign(&format!("{name}\n{}\n{}\n", tree.size, shown(&tree.root)), signers)
}

/// What the checkpoint says, if this key signed it for its own log. Signatures of other keys do not matter.
pub fn open(note: &str, verifier: &Verifier) -> Result<Checkpoint, NoteError> {
    let checkpoint = parse_text(Note::parse(note)?.verify(verifier)?)?;
    if checkpoint.origin != verifier.name() {
        return Err(NoteError::OtherLog { found: checkpoint.origin, wanted: verifier.name().to_owned() });
    }
    Ok(checkpoint)
}

/// What the checkpoint claims, whoever wrote it: for showing, or for what one has signed and stored oneself.
pub fn parse_unverified(note: &str) -> Result<Checkpoint, NoteError> {
    parse_text(Note::parse(note)?.text)
}

fn parse_text(text: &str) -> Result<Checkpoint, NoteError> {
    let mut lines = text.strip_suffix('\n').unwrap_or(text).split('\n');
    let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
        return Err(NoteError::Malformed("it has fewer than three lines"));
    };
    // Extension lines are allowed and opaque; nothing may be empty.
    if origin.is_empty() || lines.any(str::is_empty) {
        return Err(NoteError::Malformed("a line of its text is empty"));
    }
    let number: Option<u64> = size.parse().ok().filter(|number: &u64| number.to_string() == size);
    let size = number.ok_or(NoteError::Malformed("its second line is not the number of entries"))?;
    let root = STANDARD.decode(root).ok().and_then(|root| Hash::try_from(root).ok());
    let root = root.ok_or(NoteError::Malformed("its third line is not a root hash"))?;
    Ok(Checkpoint { origin: origin.to_owned(), size, root })
}
