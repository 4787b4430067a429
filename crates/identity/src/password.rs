//! argon2id with the parameters OWASP recommends first (19 MiB, 2 passes, 1 lane: the crate's default).

use argon2::{
    Argon2,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};

/// A hash in PHC form, `$argon2id$v=19$…`, with a random salt.
///
/// # Errors
/// When the machine gives no randomness.
pub fn hash_password(password: &str) -> Result<String, String> {
    Argon2::default()
        .hash_password(password.as_bytes())
        .map(|hash| hash.to_string())
        .map_err(|error| format!("the password could not be hashed: {error}"))
}

/// Whether the text is an argon2id hash in PHC form.
///
/// # Errors
/// Says what is wrong and how to make a right one.
pub fn check_hash(phc: &str) -> Result<(), String> {
    let hint = "make one with `guichetd hash-password`";
    match PasswordHash::new(phc) {
        Ok(hash) if hash.algorithm.as_str() == "argon2id" => Ok(()),
        Ok(hash) => Err(format!("it uses {}, only argon2id is taken: {hint}", hash.algorithm)),
        Err(error) => Err(format!("it is no password hash ({error}): {hint}")),
    }
}

/// Whether this password has this hash. Takes some tens of milliseconds of one core and 19 MiB: call it off the
/// async threads and never many at once.
pub fn verify_password(password: &str, phc: &str) -> bool {
    PasswordHash::new(phc)
        .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_password_fits() {
        let hash = hash_password("correct horse").unwrap();
        assert!(check_hash(&hash).is_ok());
        assert!(verify_password("correct horse", &hash));
        assert!(!verify_password("correct horsE", &hash));
        assert!(!verify_password("correct horse", "not a hash"));
        assert!(check_hash("secret").unwrap_err().contains("hash-password"));
        assert_ne!(hash, hash_password("correct horse").unwrap(), "salted");
    }
}
