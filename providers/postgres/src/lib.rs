//! Databases: who blocks whom, cancel, terminate.
