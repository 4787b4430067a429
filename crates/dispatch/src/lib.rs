//! Speaks to providers: sign, deadline, stream, breaker.
