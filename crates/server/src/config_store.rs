//! `[store]` of `guichet.toml`: where runs and ledger are kept, when not in the data folder.

use std::{
    fs,
    path::{Path, PathBuf},
};

use guichet_store::postgres::{self, PostgresSettings};
use serde::Deserialize;
use toml::Spanned;

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawStore {
    postgres: Option<Spanned<String>>,
    password_env: Option<Spanned<String>>,
    password_file: Option<Spanned<PathBuf>>,
    ca_file: Option<Spanned<PathBuf>>,
}

/// The database, if one is configured. What is wrong is told to `fault`, with its place; never a password.
pub(crate) fn database(
    raw: RawStore,
    base: &Path,
    mut fault: impl FnMut(usize, String),
) -> Option<PostgresSettings> {
    let Some(url) = raw.postgres else {
        let starts = [
            raw.password_env.map(|given| given.span().start),
            raw.password_file.map(|given| given.span().start),
            raw.ca_file.map(|given| given.span().start),
        ];
        for at in starts.into_iter().flatten() {
            fault(
                at,
                "this belongs to `postgres`, and there is none: give its URL, or remove this".to_owned(),
            );
        }
        return None;
    };
    if let Err(why) = check_url(url.get_ref()) {
        fault(url.span().start, why);
    }
    let password = password(raw.password_env, raw.password_file, base, &mut fault);
    Some(PostgresSettings {
        url: url.into_inner().into(),
        password: password.map(Into::into),
        ca_file: raw.ca_file.map(|file| base.join(file.into_inner())),
    })
}

/// The parser's own words would quote the URL, in which somebody may have left a password.
fn check_url(url: &str) -> Result<(), String> {
    let form = "the database is given as postgresql://user@host:port/database?sslmode=verify-full";
    let rest = url.strip_prefix("postgresql://").or_else(|| url.strip_prefix("postgres://"));
    let Some((authority, _)) = rest.and_then(|rest| rest.split_once('/')) else {
        return Err(form.to_owned());
    };
    let user = authority.rsplit_once('@').map_or("", |(user, _)| user);
    if user.contains(':') || url.contains("password=") {
        return Err(
            "the URL of the database holds a password: write it into a file and name that in `password_file`"
                .to_owned(),
        );
    }
    postgres::check_url(url)
}

#[expect(clippy::disallowed_methods, reason = "this is the settings room")]
fn password(
    env: Option<Spanned<String>>,
    file: Option<Spanned<PathBuf>>,
    base: &Path,
    fault: &mut impl FnMut(usize, String),
) -> Option<String> {
    match (env, file) {
        (None, None) => None,
        (Some(_), Some(file)) => {
            fault(
                file.span().start,
                "`password_env` and `password_file` are both given: keep one".to_owned(),
            );
            None
        }
        (Some(variable), None) => {
            let found = std::env::var(variable.get_ref()).ok();
            if found.is_none() {
                let why = format!("the environment has no variable {}: set it", variable.get_ref());
                fault(variable.span().start, why);
            }
            found.map(|text| text.trim().to_owned())
        }
        (None, Some(file)) => {
            let path = base.join(file.get_ref());
            match fs::read_to_string(&path) {
                Ok(text) => Some(text.trim().to_owned()),
                Err(error) => {
                    fault(file.span().start, format!("{}: {error}", path.display()));
                    None
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    fn faults(store: &str) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("guichet.toml");
        std::fs::write(folder.path().join("good"), "hunter2\n").unwrap();
        std::fs::write(&file, format!("environment = \"staging\"\n[store]\n{store}\n")).unwrap();
        match Config::load(&file) {
            Ok(config) => {
                let shown = format!("{config:?}");
                assert!(!shown.contains("hunter2"), "{shown}");
                Vec::new()
            }
            Err(faults) => faults
                .iter()
                .map(|fault| format!("{}:{} {}", fault.line, fault.column, fault.message))
                .collect(),
        }
    }

    #[test]
    fn each_fault_has_its_place_and_no_password_is_shown() {
        let url = "postgres = \"postgresql://guichet@db/guichet?sslmode=verify-full\"";
        assert_eq!(faults(&format!("{url}\npassword_file = \"good\"")), Vec::<String>::new());
        let cases = [
            ("password_file = \"good\"".to_owned(), "3:17 this belongs to `postgres`"),
            ("postgres = \"db:5432\"".to_owned(), "3:12 the database is given as"),
            (
                "postgres = \"postgresql://guichet:hunter2@db/guichet\"".to_owned(),
                "3:12 the URL of the database holds",
            ),
            (
                "postgres = \"postgresql://guichet@db/guichet\"".to_owned(),
                "3:12 `postgres` leaves this machine",
            ),
            (format!("{url}\npassword_file = \"none\""), "4:17 "),
            (format!("{url}\npassword_env = \"GUICHET_NO_SUCH_VARIABLE\""), "4:16 the environment has no"),
            (format!("{url}\npassword_env = \"X\"\npassword_file = \"good\""), "5:17 `password_env` and"),
        ];
        for (text, expected) in cases {
            let found = faults(&text);
            assert!(found.iter().any(|fault| fault.starts_with(expected)), "{text}\n{found:?}");
            assert!(!found.iter().any(|fault| fault.contains("hunter2")), "a password is shown: {found:?}");
        }
    }
}
