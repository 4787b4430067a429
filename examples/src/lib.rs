//! Small programs, one idea each. They lie in `examples/` and are numbered in the order to read them:
//!
//! ```text
//! GUICHET_GATEWAY=http://127.0.0.1:7000 cargo run -p guichet-examples --example 01_smallest_provider
//! ```
//!
//! `tests/examples.rs` calls every one of them, so that none can go stale.
