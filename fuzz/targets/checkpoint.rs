//! A signed checkpoint: what opens is what was signed, byte for byte, however the note was edited.
#![no_main]

use std::sync::LazyLock;

use guichet_ledger::{Signer, Tree, open, parse_unverified, sign};
use libfuzzer_sys::fuzz_target;

const TREE: Tree = Tree { size: 300, root: [42; 32] };
static SIGNED: LazyLock<Option<(Signer, String)>> = LazyLock::new(|| {
    let signer = Signer::from_seed("guichet/fuzz", [7; 32]).ok()?;
    let note = sign(&TREE, &signer);
    Some((signer, note))
});

/// Takes a number below `end` from the front of the input.
fn place(input: &mut &[u8], end: usize) -> Option<usize> {
    let (number, rest) = input.split_first_chunk::<2>()?;
    *input = rest;
    Some(usize::from(u16::from_be_bytes(*number)) % end.max(1))
}

/// One edit from the front of the input: a byte is replaced, put in or taken out, or a piece of the note stands again.
fn edit(note: &mut Vec<u8>, input: &mut &[u8]) -> Option<()> {
    let (kind, rest) = input.split_first()?;
    *input = rest;
    let at = place(input, note.len())?;
    match kind % 4 {
        0 => {
            let (byte, rest) = input.split_first()?;
            *input = rest;
            *note.get_mut(at)? = *byte;
        }
        1 => {
            let (byte, rest) = input.split_first()?;
            *input = rest;
            note.insert(at, *byte);
        }
        2 if at < note.len() => {
            note.remove(at);
        }
        2 => {}
        _ => {
            let end = at + place(input, note.len() - at + 1)?;
            let piece = note.get(at..end)?.to_vec();
            let to = place(input, note.len() + 1)?;
            note.splice(to..to, piece);
        }
    }
    Some(())
}

/// What the signature is for: all before the last empty line.
fn signed_part(note: &str) -> Option<&str> {
    Some(&note[..=note.rfind("\n\n")?])
}

fuzz_target!(|input: &[u8]| {
    let Some((signer, note)) = &*SIGNED else { return };
    // As it is, too: most of what comes in is no note at all.
    if let Ok(text) = std::str::from_utf8(input) {
        let _ = parse_unverified(text);
        held(text, signer, note);
    }
    let (mut edited, mut rest) = (note.clone().into_bytes(), input);
    while edit(&mut edited, &mut rest).is_some() {}
    let Ok(edited) = String::from_utf8(edited) else { return };
    if edited == *note {
        assert!(open(&edited, signer.verifier()).is_ok(), "what was signed does not open");
    }
    held(&edited, signer, note);
});

fn held(text: &str, signer: &Signer, note: &str) {
    if let Ok(checkpoint) = open(text, signer.verifier()) {
        assert_eq!(signed_part(text), signed_part(note), "opened, and was not signed:\n{text}");
        assert_eq!(checkpoint.tree(), TREE, "read as another:\n{text}");
    }
}
