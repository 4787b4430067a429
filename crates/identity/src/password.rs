//! argon2id with the parameters OWASP recommends first (19 MiB, 2 passes, 1 lane: the crate's default).

use argon2::{
    Argon2, Params,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash, try_generate_salt},
};
use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};

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

/// A hash that no password is known to have: random bytes in the form of one. Holding a password against it takes as long as
/// against any other, and it is made without the work that a real one takes. From the system's generator: that of the TLS
/// library gathers its own chance first, which takes as long as the rest of a start.
///
/// # Errors
/// When the machine gives no randomness.
pub fn hash_of_nothing() -> Result<String, String> {
    let random = || try_generate_salt().map_err(|error| format!("the machine gives no randomness: {error}"));
    let (salt, digest) = (random()?, [random()?, random()?].concat());
    Ok(format!(
        "$argon2id$v=19$m={},t={},p={}${}${}",
        Params::DEFAULT_M_COST,
        Params::DEFAULT_T_COST,
        Params::DEFAULT_P_COST,
        STANDARD_NO_PAD.encode(salt),
        STANDARD_NO_PAD.encode(digest)
    ))
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

    /// Parameters, lengths of salt and digest: what decides how long a comparison takes.
    fn shape(phc: &str) -> (String, Vec<usize>) {
        let parts: Vec<&str> = phc.split('$').collect();
        (parts[..4].join("$"), parts[4..].iter().map(|part| part.len()).collect())
    }

    #[test]
    fn the_hash_of_nothing_is_shaped_like_a_real_one_and_fits_nothing() {
        let nothing = hash_of_nothing().unwrap();
        assert_eq!(shape(&nothing), shape(&hash_password("x").unwrap()));
        assert!(check_hash(&nothing).is_ok());
        assert!(!verify_password("", &nothing) && !verify_password("decoy", &nothing));
        assert_ne!(nothing, hash_of_nothing().unwrap());
    }

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
