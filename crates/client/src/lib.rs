//! Typed calls to the gateway.
