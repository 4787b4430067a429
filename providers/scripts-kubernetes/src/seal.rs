//! Whether the secrets are those that a Job was begun with, without keeping them: other ones cannot be hidden in what it says.
//!
//! The seal stands in the Job, which more people may read than Secrets. So it is Argon2id, which is slow to guess, and salted with
//! the run.

use argon2::Argon2;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use guichet_provider_scripts::{Ended, Hidden};
use tokio::task::spawn_blocking;

/// What is told in the place of what a program said.
pub(crate) const WITHHELD: &str = "(the secrets of this script have changed since it was begun: what it says may have the old ones in it, \
                                   and is not shown)";

/// Of these secrets, for this run; none where there are none, or where the run's id is no salt.
pub(crate) async fn seal(run: &str, secrets: &[String]) -> Option<String> {
    if secrets.is_empty() {
        return None;
    }
    // How long each is, is in it, so that no two lists are the same.
    let lengths: Vec<String> = secrets.iter().map(|secret| secret.len().to_string()).collect();
    let text = format!("{}:{}", lengths.join(","), secrets.concat());
    let salt = format!("guichet {run}");
    let sealed = spawn_blocking(move || {
        let mut seal = [0; 16];
        Argon2::default().hash_password_into(text.as_bytes(), salt.as_bytes(), &mut seal).ok()?;
        Some(STANDARD.encode(seal))
    });
    sealed.await.ok().flatten()
}

/// Whether what a Job says that was begun with this seal can be shown: all that must be hidden in it is known.
pub(crate) async fn can_be_shown(run: &str, hidden: &Hidden, sealed: Option<&str>) -> bool {
    seal(run, &hidden.secrets).await.as_deref() == sealed
}

/// How it ended, without a word of its own.
pub(crate) fn without_words(ended: &Ended) -> Ended {
    Ended {
        how: ended.how,
        result: None,
        lines: Vec::new(),
        is_cut: true,
        complaints: vec![WITHHELD.to_owned()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn other_secrets_have_another_seal() {
        let hidden = |secrets: &[&str]| Hidden {
            secrets: secrets.iter().map(|&secret| secret.to_owned()).collect(),
            ..Hidden::default()
        };
        let two = hidden(&["old-one", "x"]);
        let sealed = seal("0199-a", &two.secrets).await.unwrap();
        assert!(!sealed.contains("old"));
        assert!(can_be_shown("0199-a", &two, Some(&sealed)).await);
        for other in
            [hidden(&["new-one", "x"]), hidden(&["x", "old-one"]), hidden(&["old-on", "ex"]), hidden(&[])]
        {
            assert!(!can_be_shown("0199-a", &other, Some(&sealed)).await, "{other:?}");
        }
        assert!(!can_be_shown("0199-b", &two, Some(&sealed)).await);
        assert!(!can_be_shown("0199-a", &two, None).await);
        assert!(can_be_shown("0199-a", &hidden(&[]), None).await);
    }
}
