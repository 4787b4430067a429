//! Whether the store takes writes.

use super::{fault::Fault, writing::Writing};

/// Rewrites one row, so that the commit reaches the disk, and asks for room for more, which is given back.
pub(super) fn write_and_take_back(writing: &mut Writing<'_>) -> Result<(), Fault> {
    let connection = writing.connection();
    connection
        .prepare_cached("UPDATE probe SET writes = writes + 1, filler = zeroblob(65536)")?
        .execute([])?;
    connection.prepare_cached("UPDATE probe SET filler = NULL")?.execute([])?;
    Ok(())
}
