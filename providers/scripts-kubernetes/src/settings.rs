//! Which cluster, and what a script may have there: the table `[kubernetes]` of the settings of the scripts.
//!
//! ```toml
//! folder = "scripts"
//!
//! [kubernetes]
//! namespace = "guichet-scripts"
//! image = "registry.example/tools@sha256:…"
//! ```

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use guichet_provider_scripts::{Settings, SettingsError};
use serde::Deserialize;

/// All of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kubernetes {
    /// Where Jobs and Secrets are made. Better one that nothing else uses: who may write Secrets there can change what a script
    /// is handed.
    pub namespace: String,
    /// The image of scripts whose header names none. It needs `/bin/sh`, `sha256sum`, `sleep`, and what runs the scripts.
    pub image: Option<String>,
    /// A file that says where the cluster is and who calls. Without it: `KUBECONFIG`, then `~/.kube/config`, then the pod that
    /// this runs in.
    pub kubeconfig: Option<PathBuf>,
    /// Which context of that file; its current one when absent.
    pub context: Option<String>,
    /// The service account of the scripts' pods, whose token they do not get; `default` when absent.
    pub service_account: Option<String>,
    /// The user, and the group, that they run as, 1–2,147,483,647; 65532 when absent.
    #[serde(default = "nobody_in_particular")]
    pub user: i64,
    /// Processors a script is promised and given at most, such as `500m` or `2`.
    #[serde(default = "one_processor")]
    pub cpu: String,
    /// Names of Secrets with which images are pulled.
    #[serde(default)]
    pub image_pull_secrets: Vec<String>,
    /// Labels that a node must have.
    #[serde(default)]
    pub node_selector: BTreeMap<String, String>,
    /// How long a Job that has ended is kept, hours, 26–720: it is the memory of its run, of which a gateway asks for a day.
    #[serde(default = "a_day_and_more")]
    pub keep_hours: u32,
}

fn nobody_in_particular() -> i64 {
    65_532
}

fn one_processor() -> String {
    "1".to_owned()
}

fn a_day_and_more() -> u32 {
    26
}

impl Kubernetes {
    /// Those that stand in the settings of the scripts. A relative path is relative to `base`.
    ///
    /// # Errors
    /// The table is not there, or what is wrong in it.
    pub fn of(settings: &Settings, base: &Path) -> Result<Self, SettingsError> {
        let wrong = |why: String| SettingsError::Wrong(format!("[kubernetes]: {why}"));
        let table = settings.kubernetes.clone().ok_or_else(|| {
            wrong("it is missing: name at least the `namespace` that scripts run in".to_owned())
        })?;
        let mut kubernetes: Self =
            table.try_into().map_err(|error: toml::de::Error| wrong(error.message().to_owned()))?;
        if let Some(file) = &mut kubernetes.kubeconfig {
            *file = base.join(&*file);
        }
        if !is_label(&kubernetes.namespace) {
            return Err(wrong(format!("namespace `{}` is no name of one", kubernetes.namespace)));
        }
        if !(1..=i64::from(i32::MAX)).contains(&kubernetes.user) {
            return Err(wrong("user must be a number from 1: scripts do not run as root".to_owned()));
        }
        if !(26..=720).contains(&kubernetes.keep_hours) {
            return Err(wrong("keep_hours must be 26 to 720".to_owned()));
        }
        if settings.user.is_some() || settings.work.is_some() {
            return Err(SettingsError::Wrong(
                "`user` and `work` are of this machine; a pod has `kubernetes.user`, and folders of its own: take them away"
                    .to_owned(),
            ));
        }
        Ok(kubernetes)
    }
}

/// Whether Kubernetes takes it as the name of a namespace.
fn is_label(name: &str) -> bool {
    let inside = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=63).contains(&name.len())
        && name.chars().all(inside)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Kubernetes, SettingsError> {
        let settings =
            Settings::from_toml(&format!("folder = 'x'\n{text}"), Path::new("/etc/guichet")).unwrap();
        Kubernetes::of(&settings, Path::new("/etc/guichet"))
    }

    #[test]
    fn what_is_wrong_is_told() {
        let read_well = read("[kubernetes]\nnamespace = 'scripts'\nkubeconfig = 'k'").unwrap();
        assert_eq!(read_well.kubeconfig.unwrap(), Path::new("/etc/guichet/k"));
        assert_eq!((read_well.user, read_well.cpu.as_str(), read_well.keep_hours), (65_532, "1", 26));
        for (text, words) in [
            ("", "it is missing"),
            ("[kubernetes]\nimage = 'x'", "missing field `namespace`"),
            ("[kubernetes]\nnamespace = 'A b'", "is no name of one"),
            ("[kubernetes]\nnamespace = 'a'\nimmage = 'x'", "unknown field `immage`"),
            ("[kubernetes]\nnamespace = 'a'\nuser = 0", "do not run as root"),
            ("[kubernetes]\nnamespace = 'a'\nkeep_hours = 1", "keep_hours"),
            ("user = 'nobody'\n[kubernetes]\nnamespace = 'a'", "take them away"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(words), "{words}: {error}");
        }
    }
}
