//! The signature of a webhook after the Standard Webhooks scheme: HMAC-SHA256 over `id.timestamp.body`.

use std::fmt;

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::STANDARD};

/// What the secret begins with.
const PREFIX: &str = "whsec_";
/// Fewest and most bytes of a secret, as the scheme says.
const BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// A key to sign with. Never printed.
#[derive(Clone)]
pub struct Key(hmac::Key);

impl Key {
    /// From `whsec_` and the Base64 of 24 to 64 random bytes.
    ///
    /// # Errors
    /// What is wrong with it, and how to make one. Never the secret itself.
    pub fn parse(secret: &str) -> Result<Self, String> {
        let how = "make one with `echo whsec_$(openssl rand -base64 32)`";
        let encoded = secret
            .strip_prefix(PREFIX)
            .ok_or_else(|| format!("the secret does not begin with `{PREFIX}`; {how}"))?;
        let bytes = STANDARD
            .decode(encoded)
            .map_err(|_| format!("what follows `{PREFIX}` in the secret is no Base64; {how}"))?;
        if !BYTES.contains(&bytes.len()) {
            let (least, most) = (BYTES.start(), BYTES.end());
            return Err(format!("the secret has {} bytes, not {least} to {most}; {how}", bytes.len()));
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key([redacted])")
    }
}

/// The value of `webhook-signature`: one signature for each key, so that a receiver that has either believes it.
/// `timestamp` is in seconds since 1970.
pub fn sign(keys: &[Key], id: &str, timestamp: i64, body: &[u8]) -> String {
    let signed = keys.iter().map(|Key(key)| {
        let mut context = hmac::Context::with_key(key);
        context.update(format!("{id}.{timestamp}.").as_bytes());
        context.update(body);
        format!("v1,{}", STANDARD.encode(context.sign()))
    });
    signed.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the scheme's own page.
    #[test]
    fn the_known_example_comes_out() {
        let key = Key::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signature =
            sign(&[key], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn another_implementation_believes_each_of_several_keys() {
        let secrets =
            ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_OwV8cxWe+WjD+P8atyGFWhNq77UR4nQtxJ8Bj0mghMk="];
        let keys: Vec<Key> = secrets.iter().map(|secret| Key::parse(secret).unwrap()).collect();
        for secret in secrets {
            let theirs = standardwebhooks::Webhook::new(secret).unwrap();
            let expected = theirs.sign("an-id", 7, b"{}").unwrap();
            assert!(sign(&keys, "an-id", 7, b"{}").split(' ').any(|one| one == expected));
        }
    }

    #[test]
    fn a_secret_that_is_none_is_told_without_showing_it() {
        for secret in
            ["MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_MfKQ9r8G", "whsec_(MfKQ9r8GKYqrTwjUPD8ILPZIo2L)"]
        {
            let why = Key::parse(secret).unwrap_err();
            assert!(why.contains("openssl rand") && !why.contains("MfKQ"), "{why}");
        }
    }
}
