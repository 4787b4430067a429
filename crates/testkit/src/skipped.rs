//! A test that this machine does not allow says so: otherwise it would count as one that passed.

use std::{
    io::{Write as _, stdout},
    thread,
};

/// Says that the test which calls this does nothing, and why. `cargo xtask test` counts it and tells it by its name.
pub fn skipped(why: &str) {
    let thread = thread::current();
    // On a machine with one processor, tests run on the first thread; their names stand before this in the same line then.
    let name = thread.name().unwrap_or("main");
    // `println!` would be kept from everybody as long as the test passes.
    let told = stdout().lock().write_all(format!("SKIPPED {name}: {why}\n").as_bytes());
    // Nobody reads it any more.
    drop(told);
}
