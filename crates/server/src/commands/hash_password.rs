//! `guichetd hash-password`: the text for `password_hash` of a `[[user]]`.

use std::{io::Read as _, process::ExitCode};

use anyhow::{Context as _, bail};
use guichet_identity::password;

use super::say;

/// Reads a password and prints its argon2id hash.
///
/// # Errors
/// No password, or one that is shorter than 8 characters.
pub fn hash_password(from_stdin: bool) -> anyhow::Result<ExitCode> {
    let given = if from_stdin {
        let mut text = String::new();
        std::io::stdin().take(10_000).read_to_string(&mut text).context("the password could not be read")?;
        text.trim_end_matches(['\r', '\n']).to_owned()
    } else {
        let first = rpassword::prompt_password("Password: ")
            .context("the password could not be read; without a terminal use --password-stdin")?;
        let second = rpassword::prompt_password("Again: ").context("the password could not be read")?;
        if first != second {
            bail!("the two are not the same; nothing was made");
        }
        first
    };
    if given.chars().count() < 8 {
        bail!("a password has at least 8 characters");
    }
    say(&password::hash_password(&given).map_err(anyhow::Error::msg)?);
    Ok(ExitCode::SUCCESS)
}
