//! What can be typed: built-in commands, and one command per action, built at run time from the catalogue.
//!
//! Nothing here runs a command, reads a file or prints. Begin reading at `tree.rs`, then `action.rs`
//! (the flags of one action) and `schema.rs` (JSON Schema read as flags).

pub(crate) mod action;
pub(crate) mod builtin;
pub(crate) mod completion;
pub(crate) mod example;
pub(crate) mod globals;
mod help;
pub(crate) mod input;
pub(crate) mod internal_action;
pub(crate) mod nearest;
pub(crate) mod prescan;
pub(crate) mod schema;
mod tree;

pub(crate) use tree::{Places, Tree};
