//! The binary `guichetd`.
fn main() {}
