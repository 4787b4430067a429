//! The door: identify, resolve, validate, authorize, Admitted.
