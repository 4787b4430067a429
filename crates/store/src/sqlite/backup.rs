//! A copy of a store, also while a gateway uses it.

use std::path::Path;

use super::{connection, ownership};
use crate::StoreError;

/// Copies the store at `from` into the new file `to` (mode 0600), as it stands at one moment. Blocks; the gateway
/// that owns `from` goes on meanwhile. An error when `to` exists and is not empty.
pub fn backup(from: &Path, to: &Path) -> Result<(), StoreError> {
    let told = |error: std::io::Error| StoreError::ReadOnly(format!("{}: {error}", to.display()));
    let Some(target) = to.to_str() else {
        return Err(StoreError::Engine(format!("{}: the path of a copy must be UTF-8", to.display())));
    };
    let reading = connection::to_read(from).map_err(|fault| fault.into_store_error(from))?;
    ownership::make_private_file(to).map_err(told)?;
    // A plain copy of the file would miss what is still in the write-ahead log.
    reading
        .execute("VACUUM INTO ?1", [target])
        .map(drop)
        .map_err(|error| super::Fault::from(error).into_store_error(to))
}
