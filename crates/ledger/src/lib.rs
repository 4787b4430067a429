//! The audit trail as a Merkle log: appending, signed checkpoints, verification, proofs.
//!
//! Formats are those of C2SP: tiles (<https://c2sp.org/tlog-tiles>), checkpoints
//! (<https://c2sp.org/tlog-checkpoint>) as signed notes (<https://c2sp.org/signed-note>, Ed25519). Hashing is RFC
//! 6962 §2.1 with SHA-256; proofs are those of RFC 9162 §2.1.3 and §2.1.4. Any tool that speaks these formats can
//! audit a gateway without Guichet.
//!
//! Pure: no SQL, no HTTP, no async, no clock. A leaf is the exact text of a record, as first written; this room
//! does not know what it says.
//!
//! - The sealer: [`append`] new leaves to the last signed [`Tree`], then [`sign`] the new one.
//! - The auditor: [`open`] a checkpoint with the log's [`Verifier`], [`verify`] the exported leaves against it, and
//!   when they do not fit, ask [`first_difference`] where.
//! - Someone who remembers what was signed before, or got it elsewhere: [`verify_from`] takes such trees and finds a
//!   log that was cut off or that has two pasts. It also verifies what is left of a log whose beginning was archived.
//!   What a witness kept is a file of many checkpoints: [`split_notes`].
//! - Who has an archive of that beginning: [`verify_archive`].
//! - Who replaces the key: [`KeySet`] signs with both for a while, [`open_with_any`] takes either.
//! - Someone who holds one entry or one old checkpoint: [`check_inclusion`], [`check_consistency`].
//!
//! Begin reading at [`edge`]: what is kept of a tree in order to grow it.

pub mod append;
pub mod archive;
pub mod checkpoint;
pub mod edge;
pub mod hash;
pub mod key;
pub mod keys;
pub mod locate;
mod note;
pub mod path;
pub mod proof;
pub mod tile;
pub mod verify;

pub use append::{Appended, append};
pub use archive::{ArchiveFault, Contents, beginning, segment_tiles, verify_archive, verify_segment};
pub use checkpoint::{Checkpoint, open, parse_unverified, sign};
pub use edge::{Edge, edge_tiles};
pub use hash::{EMPTY_ROOT, Hash, Tree, leaf_hash};
pub use key::{KeyError, Signer, Verifier};
pub use keys::{KeySet, Opened, open_with_any};
pub use locate::{Difference, first_difference};
pub use note::{CUT_OFF, NoteError, split_notes};
pub use path::{PathError, TilePath, parse_tile_path, tile_path};
pub use proof::{ProofError, check_consistency, check_inclusion, prove_consistency, prove_inclusion};
pub use tile::{LedgerError, TILE_WIDTH, TileReader};
pub use verify::{Fault, Report, verify, verify_from};
