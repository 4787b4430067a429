//! The binary guichetd: configuration and all wiring.
