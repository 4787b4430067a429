//! Declare an action, handle it, report progress.
