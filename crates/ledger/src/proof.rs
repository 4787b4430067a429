//! Proofs: that an entry is in the log (RFC 9162 §2.1.3), and that a log has only grown (§2.1.4).
//!
//! Making them takes tiles; checking them takes a root that one trusts and nothing else.

use crate::{
    hash::{EMPTY_ROOT, Hash, Tree, node_hash},
    tile::{LedgerError, TileReader, range_root},
};

/// A proof does not prove what it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// There is no such entry.
    #[error(
        "the checkpoint covers {size} entries, so it says nothing about entry {index}: take a newer checkpoint"
    )]
    Beyond {
        /// The entry.
        index: u64,
        /// How many the checkpoint covers.
        size: u64,
    },
    /// The log got shorter.
    #[error(
        "the newer checkpoint covers {new} entries, the older one {old}: the log was cut, or they were mixed up"
    )]
    Shrunk {
        /// Size of the older one.
        old: u64,
        /// Size of the newer one.
        new: u64,
    },
    /// Too many or too few hashes.
    #[error(
        "the proof has not the number of hashes it must have: it belongs to other sizes; ask for it anew"
    )]
    WrongLength,
    /// The entry is not the one under this root.
    #[error(
        "the entry is not in the log at this place: its text, its index, the proof or the checkpoint is not the \
         original; get all four anew, and if it stays so, the log was rewritten"
    )]
    NotIncluded,
    /// One log is not the beginning of the other.
    #[error(
        "the newer checkpoint does not contain the older one: history was rewritten between the two, or one of them is \
         from another log; keep both, they are the evidence"
    )]
    NotConsistent,
}

/// Proves that leaf `index` is in the log of `size` leaves: hashes from the leaf's sibling upwards.
pub fn prove_inclusion(index: u64, size: u64, tiles: &dyn TileReader) -> Result<Vec<Hash>, LedgerError> {
    if index >= size {
        return Err(LedgerError::Beyond { asked: index, size });
    }
    let mut proof = Vec::new();
    let (mut from, mut to) = (0, size);
    while to - from > 1 {
        let middle = from + split(to - from);
        if index < middle {
            proof.push(range_root(tiles, middle, to)?);
            to = middle;
        } else {
            proof.push(range_root(tiles, from, middle)?);
            from = middle;
        }
    }
    proof.reverse();
    Ok(proof)
}

/// Checks that the leaf with this hash is number `index` of the tree.
pub fn check_inclusion(leaf: &Hash, index: u64, tree: &Tree, proof: &[Hash]) -> Result<(), ProofError> {
    if index >= tree.size {
        return Err(ProofError::Beyond { index, size: tree.size });
    }
    let (mut node, mut last) = (index, tree.size - 1);
    let mut root = *leaf;
    for sibling in proof {
        if last == 0 {
            return Err(ProofError::WrongLength);
        }
        if node % 2 == 1 || node == last {
            root = node_hash(sibling, &root);
            // The rightmost node has no sibling where its number is even: it rises without one.
            while node.is_multiple_of(2) && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            root = node_hash(&root, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::WrongLength);
    }
    if root == tree.root { Ok(()) } else { Err(ProofError::NotIncluded) }
}

/// Proves that the log of `new` leaves begins with that of `old` leaves. Nothing needs proving (an empty proof) when
/// `old` is 0 or both are the same.
pub fn prove_consistency(old: u64, new: u64, tiles: &dyn TileReader) -> Result<Vec<Hash>, LedgerError> {
    if old > new {
        return Err(LedgerError::Beyond { asked: old, size: new });
    }
    if old == 0 {
        return Ok(Vec::new());
    }
    let mut proof = Vec::new();
    let (mut from, mut to) = (0, new);
    while old != to {
        let middle = from + split(to - from);
        if old <= middle {
            proof.push(range_root(tiles, middle, to)?);
            to = middle;
        } else {
            proof.push(range_root(tiles, from, middle)?);
            from = middle;
        }
    }
    if from != 0 {
        // Otherwise the old tree is itself a node of the new one, and the checker has its root.
        proof.push(range_root(tiles, from, to)?);
    }
    proof.reverse();
    Ok(proof)
}

/// Checks that the new tree begins with the old one.
pub fn check_consistency(old: &Tree, new: &Tree, proof: &[Hash]) -> Result<(), ProofError> {
    if old.size > new.size {
        return Err(ProofError::Shrunk { old: old.size, new: new.size });
    }
    if old.size == 0 || old.size == new.size {
        let same = if old.size == 0 { old.root == EMPTY_ROOT } else { old.root == new.root };
        return match (proof, same) {
            ([], true) => Ok(()),
            ([], false) => Err(ProofError::NotConsistent),
            _ => Err(ProofError::WrongLength),
        };
    }
    // An old tree that is perfect is itself the first node; otherwise the proof brings it.
    let (first, rest) = if old.size.is_power_of_two() {
        (&old.root, proof)
    } else {
        proof.split_first().ok_or(ProofError::WrongLength)?
    };
    let (mut node, mut last) = (old.size - 1, new.size - 1);
    while node % 2 == 1 {
        node >>= 1;
        last >>= 1;
    }
    let (mut old_root, mut new_root) = (*first, *first);
    for sibling in rest {
        if last == 0 {
            return Err(ProofError::WrongLength);
        }
        if node % 2 == 1 || node == last {
            old_root = node_hash(sibling, &old_root);
            new_root = node_hash(sibling, &new_root);
            while node.is_multiple_of(2) && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            new_root = node_hash(&new_root, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::WrongLength);
    }
    if old_root == old.root && new_root == new.root { Ok(()) } else { Err(ProofError::NotConsistent) }
}

/// The greatest power of two smaller than `leaves` (at least 2): where RFC 6962 splits a tree.
fn split(leaves: u64) -> u64 {
    1 << (leaves - 1).ilog2()
}
