//! States of a run and the legal moves between them, and what one person's decision does to a run that waits;
//! when a schedule's times are, and what becomes of each; whose a registered name is, and who answers for it; how long to wait before something is tried again.
//!
//! Pure: functions of values, without I/O and without a clock. This room says what follows; the room `store`
//! makes it true, conditional on the state it was decided from, so that two who decide at once cannot both win.
//!
//! Begin reading at [`transition`], below the drawing.

pub mod approvals;
pub mod back_off;
pub mod calendar;
pub mod registrations;
pub mod schedules;
pub mod transition;

pub use approvals::{DecisionError, decide};
pub use back_off::BackOff;
pub use calendar::{Calendar, CalendarError};
pub use schedules::{Due, Move, due};
pub use transition::{Event, Illegal, Settled, next};
