//! Who is this: sessions, tokens, keys.
