//! States of a run and the legal moves between them, and what one person's decision does to a run that waits.
//!
//! Pure: functions of values, without I/O and without a clock. This room says what follows; the room `store`
//! makes it true, conditional on the state it was decided from, so that two who decide at once cannot both win.
//!
//! Begin reading at [`transition`], below the drawing.

pub mod approvals;
pub mod transition;

pub use approvals::{DecisionError, decide};
pub use transition::{Event, Illegal, Settled, next};
