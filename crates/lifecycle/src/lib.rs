//! States of a run and the legal moves.
