//! The name of a tile (<https://c2sp.org/tlog-tiles>, "Merkle Tree"): `tile/0/x001/x234/067.p/5`.

use std::fmt;

use crate::tile::TILE_WIDTH;

/// Which tile, and how wide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TilePath {
    /// 0 for leaf hashes; each level stands 8 tree levels above the one before. 0–63.
    pub level: u8,
    /// Number of the tile within its level, from 0.
    pub index: u64,
    /// How many hashes: 256 for a full tile, 1–255 for a partial one.
    pub width: u16,
}

impl fmt::Display for TilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tile/{}/", self.level)?;
        // Three digits at a time, the front ones marked `x`, so that a tile is never also a directory.
        let mut groups = vec![self.index % 1000];
        let mut rest = self.index / 1000;
        while rest > 0 {
            groups.push(rest % 1000);
            rest /= 1000;
        }
        for group in groups.iter().skip(1).rev() {
            write!(f, "x{group:03}/")?;
        }
        write!(f, "{:03}", groups[0])?;
        if usize::from(self.width) < TILE_WIDTH {
            write!(f, ".p/{}", self.width)?;
        }
        Ok(())
    }
}

/// The path of a tile that is `width` hashes wide (256: full).
pub fn tile_path(level: u8, index: u64, width: u16) -> String {
    TilePath { level, index, width }.to_string()
}

/// The text names no tile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` names no tile: write tile/LEVEL/NNN, or tile/LEVEL/NNN.p/WIDTH for a partial one, with the index in groups \
     of three digits, all but the last after an `x` (tile/0/x001/x234/067.p/5)"
)]
pub struct PathError(pub String);

/// The tile that a path names. Each tile has one path: what is written in another way (`tile/00/1`) is refused, so
/// that no cache holds a tile twice.
pub fn parse_tile_path(path: &str) -> Result<TilePath, PathError> {
    let error = || PathError(path.to_owned());
    let (level, rest) = path.strip_prefix("tile/").and_then(|rest| rest.split_once('/')).ok_or_else(error)?;
    let (groups, width) = match rest.split_once(".p/") {
        Some((groups, width)) => {
            (groups, width.parse::<u8>().ok().filter(|width| *width > 0).ok_or_else(error)?.into())
        }
        None => (rest, FULL),
    };
    let mut index: u64 = 0;
    for group in groups.split('/') {
        let digits = group.strip_prefix('x').unwrap_or(group);
        let number: u64 = digits.parse().ok().filter(|_| digits.len() == 3).ok_or_else(error)?;
        index = index.checked_mul(1000).and_then(|index| index.checked_add(number)).ok_or_else(error)?;
    }
    let level: u8 = level.parse().ok().filter(|level| *level < 64).ok_or_else(error)?;
    let tile = TilePath { level, index, width };
    if tile.to_string() == path { Ok(tile) } else { Err(error()) }
}

const FULL: u16 = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_specification() {
        for (level, index, width, path) in [
            (0, 0, 256, "tile/0/000"),
            (0, 1_234_067, 256, "tile/0/x001/x234/067"),
            (0, 273, 112, "tile/0/273.p/112"), // the last tile of a tree of 70,000
            (2, 0, 1, "tile/2/000.p/1"),
            (7, 1_000, 255, "tile/7/x001/000.p/255"),
            (63, u64::MAX, 256, "tile/63/x018/x446/x744/x073/x709/x551/615"),
        ] {
            assert_eq!(tile_path(level, index, width), path);
            assert_eq!(parse_tile_path(path), Ok(TilePath { level, index, width }));
        }
    }

    #[test]
    fn what_is_not_written_in_the_one_way_is_refused() {
        for path in [
            "",
            "tile",
            "tile/0",
            "tile/0/",
            "tile/0/0",
            "tile/0/0000",
            "tile/00/000",
            "tile/+1/000",
            "tile/64/000",
            "tile/256/000",
            "tile/-1/000",
            "tile/0/x000/001",
            "tile/0/001/001",
            "tile/0/x001",
            "tile/0/x001/x002",
            "tile/0/+01",
            "tile/0/000.p/0",
            "tile/0/000.p/256",
            "tile/0/000.p/05",
            "tile/0/000.p/",
            "tile/0/000.p",
            "tile/0/000/",
            "/tile/0/000",
            "tile/8/0/000",
            "tile/entries/000",
            "tile/0/x018/x446/x744/x073/x709/x551/616",
            "tile/0/../../etc/passwd",
        ] {
            assert!(parse_tile_path(path).is_err(), "{path}");
        }
    }
}
