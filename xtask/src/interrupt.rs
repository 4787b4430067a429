//! Ctrl-C and SIGTERM: noted here, obeyed by whoever waits, so that nothing is left behind.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering},
};

use anyhow::{Context as _, Result, bail};
use signal_hook::consts::{SIGINT, SIGTERM};

static ASKED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// From now on the two signals no longer end this process by themselves.
pub(crate) fn listen() -> Result<()> {
    let asked = ASKED.get_or_init(|| Arc::new(AtomicBool::new(false)));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(asked)).context("cannot listen for Ctrl-C")?;
    }
    Ok(())
}

/// Whether someone asked us to stop.
pub(crate) fn asked() -> bool {
    ASKED.get().is_some_and(|asked| asked.load(Ordering::Relaxed))
}

/// An error when someone asked us to stop: call it where waiting is done.
pub(crate) fn check() -> Result<()> {
    if asked() {
        bail!("stopped on request");
    }
    Ok(())
}
