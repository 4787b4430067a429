//! The binary guichet.
