//! Holding all entries of a log against a checkpoint.

use std::fmt;

use crate::{
    checkpoint::Checkpoint,
    edge::Edge,
    hash::{Hash, Tree, leaf_hash, shown},
};

/// The entries are those that were signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The log.
    pub origin: String,
    /// Number of the first entry that was given and held. Those before it were not seen: that their hashes are in the
    /// root says nothing of what they said.
    pub first: u64,
    /// How many entries the checkpoint covers: all of them, from `first` on, are as signed.
    pub size: u64,
    /// The root they give and the checkpoint says.
    pub root: Hash,
    /// How many entries come after those. No signature covers them yet.
    pub beyond: u64,
}

impl Report {
    /// Numbers of the first and the last entry that were given and held; none when nothing was.
    pub fn given(&self) -> Option<(u64, u64)> {
        (self.first < self.size).then(|| (self.first, self.size - 1))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.given() {
            None if self.first > 0 => {
                write!(f, "none of the {} entries that {} signed was given", self.size, self.origin)?;
            }
            None | Some((0, _)) => {
                write!(f, "the first {} entries are exactly those that {} signed", self.size, self.origin)?;
            }
            Some((first, last)) => {
                write!(f, "entries {first} to {last} are exactly those that {} signed", self.origin)?;
            }
        }
        match self.beyond {
            0 => Ok(()),
            more => write!(f, "; {more} later ones are not covered by this checkpoint: a newer one tells"),
        }
    }
}

/// The entries are not those that were signed, or cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A number is left out: entries were deleted.
    #[error(
        "entries are missing: {found} comes where {expected} should (after {expected} entries); somebody deleted {} of \
         them. Keep this copy as evidence, and look for them in a backup or an earlier export", found - expected
    )]
    Gap {
        /// The number that should have come.
        expected: u64,
        /// The one that came.
        found: u64,
    },
    /// A number comes again, or late: entries were put in or swapped.
    #[error(
        "entries are out of order: {found} comes where {expected} should; somebody inserted entries or changed their \
         order. Keep this copy as evidence, and compare it with a backup or an earlier export"
    )]
    OutOfOrder {
        /// The number that should have come.
        expected: u64,
        /// The one that came.
        found: u64,
    },
    /// The log is shorter than what was signed.
    #[error(
        "the ledger was cut off: the checkpoint covers {signed} entries and only {found} are there. If this is an \
         export, make sure that it is complete; otherwise the last {} were deleted: look for them in a backup",
        signed - found
    )]
    Truncated {
        /// How many the checkpoint covers.
        signed: u64,
        /// How many there are.
        found: u64,
    },
    /// All numbers are there and what they say is not what was signed.
    #[error(
        "the ledger was changed: its first {} entries give the root {} and the checkpoint says {}. At least one of them \
         was edited, swapped, inserted or taken out and the rest renumbered. Keep this copy as \
         evidence, and compare it with the ledger's tiles or a backup to see which", signed.size, shown(found), shown(&signed.root)
    )]
    Changed {
        /// What was signed.
        signed: Tree,
        /// The root the entries give.
        found: Hash,
    },
    /// Entries and tiles agree with each other and not with the checkpoint.
    #[error(
        "the ledger was changed, and its tiles with it: over {} entries both give the root {} and the checkpoint says \
         {}. Where cannot be told from them: compare with tiles or entries of a backup or an earlier export",
        signed.size, shown(found), shown(&signed.root)
    )]
    TilesChangedToo {
        /// What was signed.
        signed: Tree,
        /// The root both give.
        found: Hash,
    },
    /// Fewer entries are signed than were signed before.
    #[error(
        "it was cut off: {now} entries are signed, and a checkpoint of {before} was signed before. Keep both checkpoints \
         as evidence: they prove it"
    )]
    Shrunk {
        /// How many were signed before.
        before: u64,
        /// How many are signed now.
        now: u64,
    },
    /// Two pasts were signed.
    #[error(
        "the past was rewritten and signed anew (a fork): the first {} entries give the root {} and a checkpoint that was \
         signed before says {}. Keep both checkpoints as evidence: they prove it",
        signed.size, shown(found), shown(&signed.root)
    )]
    Forked {
        /// What was signed before.
        signed: Tree,
        /// The root of as many entries now.
        found: Hash,
    },
    /// The entries or the tiles could not be read to the end.
    #[error("reading stopped after {after} entries, so nothing is proven: {problem}")]
    Unreadable {
        /// How many were read.
        after: u64,
        /// What the source says.
        problem: String,
    },
}

/// Holds all entries (number and exact text, from number 0, in order) against a checkpoint that was opened with the
/// log's key. Reads them once and keeps no more than the edge of the tree (64 KiB at most).
///
/// What cannot be told here: whether the gateway's operator, who has the key, rewrote entries *and* signed anew. An
/// older checkpoint kept elsewhere tells: hand its tree to [`verify_from`].
pub fn verify<T: AsRef<[u8]>, E: fmt::Display>(
    leaves: impl IntoIterator<Item = Result<(u64, T), E>>,
    checkpoint: &Checkpoint,
) -> Result<Report, Fault> {
    verify_from(Edge::new(), leaves, checkpoint, &[])
}

/// As [`verify`], for entries that begin where `edge` ends, and with trees that are known to have been signed before.
///
/// The edge of a log whose beginning was archived is read from its tiles ([`Edge::from_tiles`]). It need not be
/// believed: with it, the entries give the signed root only if it is the true one.
///
/// Each tree in `before` must be a beginning of the log. Those that are smaller than `edge` are passed over: they take
/// a consistency proof ([`crate::prove_consistency`]).
pub fn verify_from<T: AsRef<[u8]>, E: fmt::Display>(
    mut edge: Edge,
    leaves: impl IntoIterator<Item = Result<(u64, T), E>>,
    checkpoint: &Checkpoint,
    before: &[Tree],
) -> Result<Report, Fault> {
    let signed = checkpoint.tree();
    let mut before = before.to_vec();
    before.sort_unstable_by_key(|tree| tree.size);
    for tree in &before {
        if tree.size > signed.size {
            return Err(Fault::Shrunk { before: tree.size, now: signed.size });
        }
        if tree.size == signed.size && tree.root != signed.root {
            return Err(Fault::Forked { signed: *tree, found: signed.root });
        }
    }
    let first = edge.size();
    let mut read = first;
    let mut awaited = before.iter().skip_while(|tree| tree.size < first).peekable();
    let mut forked = None;
    for leaf in leaves {
        let (found, text) =
            leaf.map_err(|error| Fault::Unreadable { after: read, problem: error.to_string() })?;
        if found > read {
            return Err(Fault::Gap { expected: read, found });
        }
        if found < read {
            return Err(Fault::OutOfOrder { expected: read, found });
        }
        while let Some(tree) = awaited.next_if(|tree| tree.size == read) {
            let found = edge.root();
            if forked.is_none() && found != tree.root {
                forked = Some(Fault::Forked { signed: *tree, found });
            }
        }
        if read < signed.size {
            edge.push(leaf_hash(text.as_ref()));
        }
        read += 1;
    }
    if read < signed.size {
        return Err(Fault::Truncated { signed: signed.size, found: read });
    }
    let found = edge.root();
    if found != signed.root {
        return Err(Fault::Changed { signed, found });
    }
    // Told last: entries that are not even those of the newest checkpoint say nothing about who signed what.
    if let Some(forked) = forked {
        return Err(forked);
    }
    let origin = checkpoint.origin.clone();
    Ok(Report { origin, first, size: signed.size, root: signed.root, beyond: read - signed.size })
}
