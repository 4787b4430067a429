//! Gives memory back that is free.
//!
//! The allocator does so itself a second after memory became free, but only on the occasion of further work with whole pages.
//! A gateway at rest has none, and would keep what it last needed: 19 MiB for a password, more for a busy minute. So there is
//! an occasion, every other second.

use std::{hint::black_box, time::Duration};

use tokio::time;
use tokio_util::sync::CancellationToken;

/// How often. The allocator waits a second before it gives anything back.
const EVERY: Duration = Duration::from_secs(2);
/// More than what the allocator serves from shared pages, so that it takes pages and gives them back.
const OCCASION: usize = 1 << 20;

/// Until `stop`.
pub(crate) async fn give_back(stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = time::sleep(EVERY) => {}
        }
        // Taken and not written to: no page of it comes into being.
        drop(black_box(Vec::<u8>::with_capacity(OCCASION)));
    }
}
