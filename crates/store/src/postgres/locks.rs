//! Advisory locks of the database. Their numbers begin with "Guch", so that no other program means the same.

/// Held while the schema is brought forward.
pub(super) const MIGRATING: i64 = 0x4775_6368_0000_0001;
/// Held while a checkpoint is written.
pub(super) const SEALING: i64 = 0x4775_6368_0000_0002;
/// Held while records are indexed.
pub(super) const INDEXING: i64 = 0x4775_6368_0000_0003;
