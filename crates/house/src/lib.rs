//! The house looks after itself: tests that hold the pages and the code together.
//!
//! Nothing here ships. The library only reads the tree ([`tree`]), Markdown ([`markdown`]) and the table of rooms
//! ([`rooms`]); the rules are the tests:
//!
//! - `tests/walls.rs`: who may use whom, and which outside crates a room must not know;
//! - `tests/pages.rs`: every path a page cites exists, every problem code has its page;
//! - `tests/names.rs`: file names, heads of files, sizes, marks of unfinished work, paths of somebody's machine.
//!
//! When one fails, mend the code or the page. To change a rule, change the table in `ARCHITECTURE.md` or the
//! constant in the test, and say why in the commit.

pub mod markdown;
pub mod rooms;
pub mod tree;
