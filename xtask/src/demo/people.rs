//! Who plays: each person has a password, a folder of their own for `guichet`, and so a session of their own.

use std::{
    fs::{self, File},
    io::Read as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};

use crate::process::{self, Errors};

/// Names, as `demo/registry/teams.yaml` has them, and what they do.
const CAST: &[(&str, &str)] = &[
    ("dana", "a developer of the checkout team"),
    ("rita", "of the reporting team"),
    ("omar", "of the database team, who approves"),
];

/// One person.
pub(super) struct Person {
    pub(super) name: &'static str,
    pub(super) role: &'static str,
    pub(super) password: String,
    /// What goes into the configuration.
    pub(super) password_hash: String,
    /// Where their `guichet` keeps its files.
    pub(super) home: PathBuf,
}

impl Person {
    /// The file that makes a shell speak as this person.
    pub(super) fn disguise(&self) -> PathBuf {
        self.home.with_extension("sh")
    }

    /// `guichet` as this person runs it, told nothing by the environment of whoever runs the demo.
    pub(super) fn guichet(&self, program: &Path, words: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(words).env_clear().env("GUICHET_CONFIG_DIR", &self.home);
        command
            .env("XDG_CACHE_HOME", self.home.join("cache"))
            .env("HOME", &self.home)
            .current_dir(&self.home);
        command
    }
}

/// All of them.
pub(super) struct People(pub(super) Vec<Person>);

impl People {
    /// Gives everybody a password and a folder.
    pub(super) fn invite(folder: &Path, guichetd: &Path) -> Result<Self> {
        let invite = |&(name, role): &(&'static str, &'static str)| {
            let password = random_password()?;
            let mut hash = Command::new(guichetd);
            hash.args(["hash-password", "--password-stdin"]);
            let hashed = process::run(hash, &password, Errors::Apart, Duration::from_mins(1))?;
            ensure!(hashed.code == Some(0), "guichetd hash-password failed: {}", hashed.err);
            let home = folder.join(name);
            fs::create_dir_all(&home).with_context(|| format!("cannot make {}", home.display()))?;
            Ok(Person { name, role, password, password_hash: hashed.out.trim().to_owned(), home })
        };
        CAST.iter().map(invite).collect::<Result<_>>().map(Self)
    }

    /// The person of this name.
    pub(super) fn get(&self, name: &str) -> Result<&Person> {
        self.0
            .iter()
            .find(|person| person.name == name)
            .with_context(|| format!("there is no {name} in the cast"))
    }
}

/// Writes a file per person that a shell reads to become that person.
pub(super) fn write_disguises(people: &People, guichet: &Path, gateway: &str) -> Result<()> {
    let programs = guichet.parent().unwrap_or(Path::new("."));
    for person in &people.0 {
        let (home, name) = (person.home.display(), person.name);
        let text = format!(
            "# . this file: the shell speaks as {name}, {}\n\
             export PATH=\"{}:$PATH\" GUICHET_CONFIG_DIR='{home}' XDG_CACHE_HOME='{home}/cache'\n\
             unset GUICHET_TOKEN GUICHET_CONTEXT GUICHET_GATEWAY\n\
             printf '%s\\n' '{}' | guichet login --gateway {gateway} --user {name} --password-stdin\n",
            person.role,
            programs.display(),
            person.password,
        );
        fs::write(person.disguise(), text)
            .with_context(|| format!("cannot write {}", person.disguise().display()))?;
    }
    Ok(())
}

/// 16 letters and digits from the system's source of chance; those that are easily confused are left out.
fn random_password() -> Result<String> {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut bytes = [0_u8; 16];
    File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .context("no source of chance")?;
    Ok(bytes.iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect())
}

#[cfg(test)]
mod tests {
    use super::random_password;

    #[test]
    fn passwords_differ_and_are_long_enough() {
        let (one, other) = (random_password().unwrap(), random_password().unwrap());
        assert_eq!(one.len(), 16);
        assert_ne!(one, other);
    }
}
