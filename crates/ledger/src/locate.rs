//! Where the entries differ from what was signed: the tiles remember the hash of every one.

use std::fmt;

use crate::{
    checkpoint::Checkpoint,
    edge::Edge,
    hash::{Hash, leaf_hash},
    tile::{TILE_HEIGHT, TILE_WIDTH, TileReader, read_tile},
    verify::Fault,
};

/// The first entry that is not the one the tiles remember.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Its number, counted from the first entry there is (so that it is right where entries were renumbered too).
    pub index: u64,
    /// The hash that was signed for this place.
    pub signed: Hash,
    /// The hash of the entry that stands there; `None`: the ledger ends before.
    pub found: Option<Hash>,
    /// The entry that stands there was signed for this later place.
    pub belongs_at: Option<u64>,
    /// The entry that should stand there is at this later place.
    pub moved_to: Option<u64>,
    /// Whether the tiles themselves are those the checkpoint signs. If not, they were changed as well, and the
    /// place is only where the two disagree.
    pub tiles_proven: bool,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let index = self.index;
        match (self.found, self.belongs_at, self.moved_to) {
            (None, _, _) => {
                write!(f, "the ledger ends before entry {index}: it and those after it were deleted")?;
            }
            (_, Some(belongs), Some(moved)) => write!(
                f,
                "entry {index} was moved: it stands at {moved} now, and in its place stands what was signed as {belongs}"
            )?,
            (_, Some(belongs), None) if belongs == index + 1 => {
                write!(f, "entry {index} was deleted: in its place stands what was signed as {belongs}")?;
            }
            (_, Some(belongs), None) => write!(
                f,
                "entries {index} to {} were deleted: in their place stands what was signed as {belongs}",
                belongs - 1
            )?,
            (_, None, Some(moved)) => {
                write!(
                    f,
                    "entry {index} was inserted: what was signed for this place stands at {moved} now"
                )?;
            }
            (Some(_), None, None) => {
                write!(f, "entry {index} was edited: its text is not the one that was signed")?;
            }
        }
        if self.tiles_proven {
            write!(f, ". The tiles bear the checkpoint's root, so this is proven; there may be more after it")
        } else {
            write!(
                f,
                ". But the tiles do not bear the checkpoint's root: they were changed as well, so this is only where \
                 entries and tiles disagree. Take the tiles from a backup or an earlier export, and compare again"
            )
        }
    }
}

/// Compares each entry with the hash the level-0 tiles remember for it, up to the checkpoint's size, and names the
/// first that differs; `None` when none does. Then reads on to the end, to learn whether the tiles can be trusted and
/// where misplaced entries went. Memory: one tile and the edge of the tree.
///
/// The leaves' own numbers are not looked at: [`crate::verify`] does.
pub fn first_difference<T: AsRef<[u8]>, E: fmt::Display>(
    leaves: impl IntoIterator<Item = Result<(u64, T), E>>,
    checkpoint: &Checkpoint,
    tiles: &dyn TileReader,
) -> Result<Option<Difference>, Fault> {
    let mut signed = Signed { tiles, size: checkpoint.size, next: 0, tile: Vec::new(), edge: Edge::new() };
    let mut difference: Option<Difference> = None;
    for (read, leaf) in (0_u64..).zip(leaves) {
        let (_, text) =
            leaf.map_err(|error| Fault::Unreadable { after: read, problem: error.to_string() })?;
        let found = leaf_hash(text.as_ref());
        let wanted = signed.next()?;
        match (&mut difference, wanted) {
            (None, Some(wanted)) if wanted != found => {
                difference = Some(Difference::at(read, wanted, Some(found)));
            }
            (Some(difference), wanted) => difference.note(read, wanted, Some(found)),
            (None, _) => {}
        }
    }
    while let Some(wanted) = signed.next()? {
        let index = signed.next - 1;
        match &mut difference {
            None => difference = Some(Difference::at(index, wanted, None)),
            Some(difference) => difference.note(index, Some(wanted), None),
        }
    }
    let found = signed.edge.root();
    let tiles_proven = found == checkpoint.root;
    match difference {
        Some(difference) => Ok(Some(Difference { tiles_proven, ..difference })),
        None if tiles_proven => Ok(None),
        None => Err(Fault::TilesChangedToo { signed: checkpoint.tree(), found }),
    }
}

impl Difference {
    fn at(index: u64, signed: Hash, found: Option<Hash>) -> Self {
        Self { index, signed, found, belongs_at: None, moved_to: None, tiles_proven: false }
    }

    /// Looks whether what is misplaced at the first difference turns up here.
    fn note(&mut self, index: u64, signed: Option<Hash>, found: Option<Hash>) {
        if self.belongs_at.is_none() && self.found.is_some() && signed == self.found {
            self.belongs_at = Some(index);
        }
        if self.moved_to.is_none() && found == Some(self.signed) {
            self.moved_to = Some(index);
        }
    }
}

/// The signed leaf hashes in order, and the tree over them.
struct Signed<'a> {
    tiles: &'a dyn TileReader,
    size: u64,
    next: u64,
    tile: Vec<Hash>,
    edge: Edge,
}

impl Signed<'_> {
    /// The next one; `None` after the last.
    fn next(&mut self) -> Result<Option<Hash>, Fault> {
        if self.next >= self.size {
            return Ok(None);
        }
        let within = usize::try_from(self.next % TILE_WIDTH as u64).unwrap_or(0);
        if within == 0 {
            let needed = usize::try_from(self.size - self.next).unwrap_or(TILE_WIDTH).min(TILE_WIDTH);
            self.tile = read_tile(self.tiles, 0, self.next >> TILE_HEIGHT, needed)
                .map_err(|error| Fault::Unreadable { after: self.next, problem: error.to_string() })?;
        }
        let hash = self.tile[within];
        self.edge.push(hash);
        self.next += 1;
        Ok(Some(hash))
    }
}
