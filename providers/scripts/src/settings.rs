//! Where the scripts are, as whom they run and within which limits, from a TOML file.
//!
//! ```toml
//! folder = "scripts"
//! user = "guichet-scripts"
//!
//! [limits]
//! memory_mib = 512
//!
//! [secrets.DB_PASSWORD]
//! file = "db.password"
//! ```

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use secrecy::SecretString;
use serde::Deserialize;

/// All of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The folder with the scripts; what lies in folders below it is not read.
    pub folder: PathBuf,
    /// The system's user that scripts run as. Must be there when the provider runs as root, and cannot be otherwise.
    pub user: Option<String>,
    /// `PATH` of the scripts; that of the system when absent, and in a container that of its image.
    pub path: Option<String>,
    /// Where each run has its private folder; must allow programs to be executed. The system's folder for temporary files when absent.
    pub work: Option<PathBuf>,
    /// What a run may use.
    #[serde(default)]
    pub limits: Limits,
    /// Secrets by the name of the environment variable in which a script finds them, when its header asks for it.
    #[serde(default)]
    pub secrets: BTreeMap<String, SecretPlace>,
    /// What is said to `guichet-provider-scripts-kubernetes`, which runs them as Jobs; no other program takes it.
    pub kubernetes: Option<toml::Table>,
}

/// What one run may use.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Address space of each of its processes, MiB, 16–1,048,576.
    pub memory_mib: u64,
    /// Processes of the user that scripts run as, over all runs, 1–100,000.
    pub processes: u64,
    /// Largest file it may write, MiB, 1–1,048,576.
    pub file_mib: u64,
    /// Lines of output that are told, 1–1,000,000; what is beyond is dropped.
    pub output_lines: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory_mib: 1_024, processes: 128, file_mib: 256, output_lines: 10_000 }
    }
}

/// Where a secret is.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretPlace {
    /// In this environment variable of the provider.
    pub env: Option<String>,
    /// In this file, read anew for each run; white space at its ends does not count.
    pub file: Option<PathBuf>,
}

impl Settings {
    /// From a file. Relative paths in it are relative to the file's folder.
    ///
    /// # Errors
    /// A file that cannot be read, or what is wrong in it.
    pub fn from_file(path: &Path) -> Result<Self, SettingsError> {
        let unreadable = |source| SettingsError::Unreadable { path: path.to_owned(), source };
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        let base = path.parent().unwrap_or(Path::new("."));
        Self::from_toml(&text, base)
    }

    /// From TOML; relative paths are relative to `base`.
    ///
    /// # Errors
    /// What is wrong in it, and that a secret is not there.
    pub fn from_toml(text: &str, base: &Path) -> Result<Self, SettingsError> {
        let mut settings: Self = toml::from_str(text).map_err(|error| SettingsError::Toml {
            line: error
                .span()
                .map_or(0, |span| text.bytes().take(span.start).filter(|byte| *byte == b'\n').count() + 1),
            message: error.message().to_owned(),
        })?;
        settings.folder = base.join(&settings.folder);
        if let Some(work) = &mut settings.work {
            *work = base.join(&*work);
        }
        let limits = &settings.limits;
        for (name, value, most) in [
            ("memory_mib", limits.memory_mib, 1 << 20),
            ("processes", limits.processes, 100_000),
            ("file_mib", limits.file_mib, 1 << 20),
            ("output_lines", limits.output_lines as u64, 1_000_000),
        ] {
            let least = if name == "memory_mib" { 16 } else { 1 };
            if !(least..=most).contains(&value) {
                return Err(SettingsError::Wrong(format!("limits.{name} must be {least} to {most}")));
            }
        }
        for (name, place) in &mut settings.secrets {
            if !is_free_name(name) {
                return Err(SettingsError::Wrong(format!(
                    "secrets.{name}: the name must be of A-Z, 0-9 and `_`, and none that means something to Guichet or the system"
                )));
            }
            if let Some(file) = &mut place.file {
                *file = base.join(&*file);
            }
            place.read().map_err(|why| SettingsError::Wrong(format!("secrets.{name}: {why}")))?;
        }
        Ok(settings)
    }
}

/// Whether a secret may stand in an environment variable of this name.
fn is_free_name(name: &str) -> bool {
    let taken = ["PATH", "HOME", "LANG", "ENV", "IFS", "SHELL", "USER", "TMPDIR", "PYTHONPATH", "PERL5LIB"];
    let taken_so = ["INPUT_", "GUICHET_", "LD_", "BASH", "DYLD_", "PYTHON", "PERL", "NODE_", "RUBY"];
    name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.len() <= 64
        && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
        && !taken.contains(&name)
        && !taken_so.iter().any(|start| name.starts_with(start))
}

impl SecretPlace {
    /// The secret as it is now. It is not empty and has no NUL.
    ///
    /// # Errors
    /// That it is not there, without saying what it is.
    #[expect(clippy::disallowed_methods, reason = "this is the settings room of this provider")]
    pub(crate) fn read(&self) -> Result<SecretString, String> {
        let secret = match (&self.env, &self.file) {
            (Some(variable), None) => std::env::var(variable)
                .map_err(|_| format!("the environment has no variable {variable}: set it, or name a file"))?,
            (None, Some(file)) => std::fs::read_to_string(file)
                .map_err(|error| format!("cannot read {}: {error}", file.display()))?,
            _ => return Err("say either `env` or `file`".to_owned()),
        };
        let secret = secret.trim();
        if secret.is_empty() || secret.contains('\0') {
            return Err("the secret is empty, or no text".to_owned());
        }
        Ok(secret.into())
    }
}

/// Settings that do not hold.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not TOML, or not of this form.
    #[error("the settings of the scripts are wrong at line {line}: {message}")]
    Toml {
        /// Line, from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// They do not hold.
    #[error("the settings of the scripts are wrong: {0}")]
    Wrong(String),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scripts;

    #[test]
    fn what_is_for_kubernetes_is_not_run_on_this_machine() {
        let text = "folder = 'x'\n[kubernetes]\nnamespace = 'a'";
        let settings = Settings::from_toml(text, Path::new(".")).unwrap();
        let Err(error) = Scripts::open(settings) else { panic!("scripts would run on this machine") };
        assert!(error.to_string().contains("guichet-provider-scripts-kubernetes"), "{error}");
    }

    #[test]
    fn what_is_wrong_is_told_without_telling_secrets() {
        for (text, words) in [
            ("folder = 'x'\nuzer = 'y'", "line 2"),
            ("folder = 'x'\n[limits]\nmemory_mib = 1", "limits.memory_mib must be 16"),
            ("folder = 'x'\n[secrets.PATH]\nenv = 'A'", "secrets.PATH"),
            ("folder = 'x'\n[secrets.LD_PRELOAD]\nenv = 'A'", "secrets.LD_PRELOAD"),
            ("folder = 'x'\n[secrets.TOKEN]\nenv = 'NO_SUCH_VARIABLE_HERE'", "NO_SUCH_VARIABLE_HERE"),
            ("folder = 'x'\n[secrets.TOKEN]\nenv = 'A'\nfile = 'b'", "either `env` or `file`"),
        ] {
            let error = Settings::from_toml(text, Path::new(".")).unwrap_err().to_string();
            assert!(error.contains(words), "{words}: {error}");
        }
    }
}
