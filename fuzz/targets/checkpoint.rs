//! A signed checkpoint: what does not open is refused, and what opens is one that this key has signed.
#![no_main]

use std::sync::LazyLock;

use guichet_ledger::{Signer, Tree, open, parse_unverified, sign};
use libfuzzer_sys::fuzz_target;

static SIGNER: LazyLock<Option<Signer>> = LazyLock::new(|| Signer::from_seed("guichet/fuzz", [7; 32]).ok());

fuzz_target!(|note: &str| {
    let Some(signer) = &*SIGNER else { return };
    let _ = parse_unverified(note);
    if let Ok(checkpoint) = open(note, signer.verifier()) {
        // The key signs nothing here but the empty tree: a note that opens with another is a forgery.
        assert_eq!(checkpoint.tree(), Tree::EMPTY, "a forged checkpoint opened:\n{note}");
        assert!(open(&sign(&checkpoint.tree(), signer), signer.verifier()).is_ok());
    }
});
