//! cargo xtask demo, test, bench, lint.
fn main() {}
