//! What is kept: runs, tokens, jobs, records, the ledger's tiles, events.
//!
//! Reading is a small trait per noun. Writing is one value, the [`UnitOfWork`]: a state change, its record and its
//! next job travel together, become durable together or not at all, and each change is conditional on what the
//! caller believed ([`CommitError::Conflict`] when it was not so). A value rather than an open transaction,
//! because then the SQLite writer may put many callers' units into one disk write, and PostgreSQL one into one
//! transaction, with the same words.
//!
//! Two implementations with the same file names, `sqlite/` and `postgres/`, pass one suite, `conformance` (behind the feature of that name, for tests).
//! So does a third, `memory/`, behind the same feature: the store of the simulation, which no gateway can be told to open.
//! No ORM; statements stand as text beside the function that runs them. This room decides nothing about who may.
//!
//! Begin reading at [`work`].

pub mod backup;
mod columns;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod cursor;
#[cfg(any(test, feature = "conformance"))]
pub mod memory;
pub mod postgres;
pub mod room;
pub mod sqlite;
pub mod traits;
pub mod wakes;
pub mod work;

pub use room::Room;
pub use traits::{
    Checkpoints, DeliveriesFilter, Events, Idempotency, Jobs, Notices, Page, PageRequest, Records,
    RecordsFilter, Registrations, Reviews, Runs, RunsFilter, Schedules, Store, StoreError, Tokens,
};
pub use wakes::{RunWakes, Wake, Wakes, next_records};
pub use work::{
    Change, CommitError, FORGOTTEN_AT_ONCE, Job, JobKind, Lane, Token, TokenKind, Told, UnitOfWork,
};
