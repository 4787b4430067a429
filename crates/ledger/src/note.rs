//! A text and its signatures (<https://c2sp.org/signed-note>).

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::key::{Signer, Verifier, name_is_valid};

/// A checkpoint is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Not a signed note, or not the note of a checkpoint.
    #[error("this is no checkpoint: {0}; get it anew, byte by byte as the gateway gives it")]
    Malformed(&'static str),
    /// Signed by others only.
    #[error(
        "the checkpoint bears no signature of {wanted}, only of: {found}; it is from another log, or the log's key was \
         replaced: get the key anew over a way you trust"
    )]
    OtherKeys {
        /// The key it should be signed with.
        wanted: String,
        /// Those it is signed with.
        found: String,
    },
    /// The signature does not belong to the text.
    #[error(
        "the signature of {key} is not for this text: the checkpoint was altered after it was signed; keep this copy \
         as evidence and get another from the gateway"
    )]
    Forged {
        /// The key.
        key: String,
    },
    /// Signed by the right key for another log.
    #[error(
        "the checkpoint is that of the log `{found}`, the key that of `{wanted}`: two logs were mixed up"
    )]
    OtherLog {
        /// Origin in the checkpoint.
        found: String,
        /// Name of the key.
        wanted: String,
    },
}

/// The text of a note and its signature lines, not yet believed.
pub(crate) struct Note<'a> {
    /// With its last newline.
    pub(crate) text: &'a str,
    signatures: Vec<Signature<'a>>,
}

struct Signature<'a> {
    name: &'a str,
    id: [u8; 4],
    bytes: Vec<u8>,
}

/// One line for each signer, in their order. A text must end in a newline and hold no other control character.
pub(crate) fn sign<'a>(text: &str, signers: impl IntoIterator<Item = &'a Signer>) -> String {
    let mut note = format!("{text}\n");
    for signer in signers {
        let mut signature = signer.verifier().id().to_vec();
        signature.extend(signer.sign(text.as_bytes()));
        note.extend([SIGNATURE, signer.name(), " ", &STANDARD.encode(signature), "\n"]);
    }
    note
}

/// Longer than any checkpoint with 16 post-quantum signatures of witnesses (16 × 5 kB, in base64).
const LONGEST: usize = 256 * 1024;

impl<'a> Note<'a> {
    pub(crate) fn parse(note: &'a str) -> Result<Self, NoteError> {
        if note.len() > LONGEST {
            return Err(NoteError::Malformed("it is longer than 256 KiB"));
        }
        if note.contains(|c: char| c < ' ' && c != '\n') {
            return Err(NoteError::Malformed("it holds a control character"));
        }
        // The text may hold empty lines, the signatures may not.
        let blank =
            note.rfind("\n\n").ok_or(NoteError::Malformed("no empty line stands before the signatures"))?;
        let (text, lines) = (&note[..=blank], &note[blank + 2..]);
        let lines = lines.strip_suffix('\n').ok_or(NoteError::Malformed("its last line does not end"))?;
        let signatures = lines
            .split('\n')
            .map(parse_signature)
            .collect::<Option<Vec<_>>>()
            .ok_or(NoteError::Malformed("a signature line does not read `— NAME BASE64`"))?;
        Ok(Self { text, signatures })
    }

    /// The text, if this key signed it. Signatures of other keys (witnesses, a key before or after) are passed over,
    /// as the specification demands.
    pub(crate) fn verify(&self, verifier: &Verifier) -> Result<&'a str, NoteError> {
        let mut signed = false;
        for signature in &self.signatures {
            if signature.name != verifier.name() || signature.id != verifier.id() {
                continue;
            }
            if !verifier.accepts(self.text.as_bytes(), &signature.bytes) {
                return Err(NoteError::Forged { key: verifier.short() });
            }
            signed = true;
        }
        if signed {
            return Ok(self.text);
        }
        let found: Vec<String> = self
            .signatures
            .iter()
            .map(|signature| format!("{}+{:08x}", signature.name, u32::from_be_bytes(signature.id)))
            .collect();
        Err(NoteError::OtherKeys { wanted: verifier.short(), found: found.join(", ") })
    }
}

/// Written behind what a crash left of a note, with an empty line after it, before the next note is appended: nothing that
/// ends so is taken for a whole signature.
pub const CUT_OFF: &str = " (cut off)";

/// The notes of a text in which one follows the other, each with an empty line after it, as a file to which checkpoints
/// are appended; a text that is one note is such a text too. What is no whole note is passed over: a file can have been cut
/// off anywhere. None of them is believed yet. Texts of notes must hold no empty line, as those of checkpoints never do.
pub fn split_notes(text: &str) -> Vec<&str> {
    let is_signed = |part: &str| part.starts_with(SIGNATURE);
    let mut notes = Vec::new();
    // Where the part before began, which is the text when signatures follow.
    let mut before: Option<usize> = None;
    let mut from = 0;
    for part in text.split("\n\n") {
        // The newline that is the part's own; at the end of the text it stands in the part already.
        let to = (from + part.len() + usize::from(!part.ends_with('\n'))).min(text.len());
        if let Some(begin) = before.filter(|_| is_signed(part)) {
            notes.extend(text.get(begin..to).filter(|note| Note::parse(note).is_ok()));
        }
        let text = part.trim_start_matches('\n');
        before = (!text.is_empty() && !is_signed(text)).then_some(from + part.len() - text.len());
        from += part.len() + 2;
    }
    notes
}

/// How the line of a signature begins.
const SIGNATURE: &str = "— ";

fn parse_signature(line: &str) -> Option<Signature<'_>> {
    let (name, encoded) = line.strip_prefix(SIGNATURE)?.split_once(' ')?;
    let bytes = STANDARD.decode(encoded).ok()?;
    let (id, bytes) = bytes.split_first_chunk::<4>()?;
    (name_is_valid(name) && !bytes.is_empty()).then(|| Signature { name, id: *id, bytes: bytes.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    // The example of golang.org/x/mod/sumdb/note, the reference implementation of the format.
    const VERIFIER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const SEED: &str = "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
    const TEXT: &str = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
    const SIGNATURE: &str = "— PeterNeumann \
        x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

    #[test]
    fn the_note_of_the_reference_implementation_is_made_and_read() {
        let seed: [u8; 32] = STANDARD.decode(SEED).unwrap()[1..].try_into().unwrap();
        let signer = Signer::from_seed("PeterNeumann", seed).unwrap();
        assert_eq!(signer.verifier().to_string(), VERIFIER);
        let note = format!("{TEXT}\n{SIGNATURE}");
        assert_eq!(sign(TEXT, [&signer]), note);
        assert_eq!(Note::parse(&note).unwrap().verify(&VERIFIER.parse().unwrap()), Ok(TEXT));
    }

    #[test]
    fn signatures_of_others_are_passed_over_and_a_wrong_one_of_ours_is_not() {
        let verifier: Verifier = VERIFIER.parse().unwrap();
        let other = "— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n";
        let both = format!("{TEXT}\n{other}{SIGNATURE}");
        assert_eq!(Note::parse(&both).unwrap().verify(&verifier), Ok(TEXT));

        let only_other = format!("{TEXT}\n{other}");
        let error = Note::parse(&only_other).unwrap().verify(&verifier).unwrap_err();
        assert_eq!(
            error,
            NoteError::OtherKeys {
                wanted: "PeterNeumann+c74f20a3".to_owned(),
                found: "EnochRoot+af0cfe78".to_owned()
            }
        );

        let again_but_wrong = SIGNATURE.replace("x08go/ZJ", "x08go/ZK");
        let twice = format!("{TEXT}\n{SIGNATURE}{again_but_wrong}");
        let error = Note::parse(&twice).unwrap().verify(&verifier).unwrap_err();
        assert_eq!(error, NoteError::Forged { key: "PeterNeumann+c74f20a3".to_owned() });
    }
}
