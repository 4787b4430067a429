//! Durable work: claim, lease, retry, sweep.
