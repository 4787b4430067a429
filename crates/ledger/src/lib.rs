//! Merkle log, signed checkpoints, verification.
