//! Token secrets: 256 random bits, shown once, kept as their SHA-256.

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use guichet_store::TokenKind;
use sha2::{Digest as _, Sha256};

/// A new secret: `gcs_…` for a session, `gcp_…` for a personal token, so that scanners of repositories can know them.
///
/// # Errors
/// When the machine gives no randomness.
pub fn new_secret(kind: TokenKind) -> Result<String, String> {
    let bytes = random_32()?;
    let prefix = match kind {
        TokenKind::Session => "gcs_",
        TokenKind::Personal => "gcp_",
    };
    Ok(format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes)))
}

/// 32 bytes from the machine's generator.
///
/// # Errors
/// When the machine gives no randomness.
pub fn random_32() -> Result<[u8; 32], String> {
    let mut bytes = [0_u8; 32];
    SystemRandom::new().fill(&mut bytes).map_err(|_| "the machine gives no randomness".to_owned())?;
    Ok(bytes)
}

/// What is kept of a secret. A fast hash is right here: 256 random bits cannot be guessed.
pub fn sha256(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}
