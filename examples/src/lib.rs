//! Small programs, one idea each.
