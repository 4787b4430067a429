//! The folder of one run: a copy of the program that its user cannot change, and a home that is theirs. Gone afterwards.

use std::{
    fs, io,
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
};

use tempfile::TempDir;

/// What the names of all such folders begin with.
pub(crate) const PREFIX: &str = "guichet-";

/// The folder of a run. Dropped, it is removed.
pub(crate) struct RunFolder {
    folder: Option<TempDir>,
    programs: PathBuf,
    /// What is executed.
    pub(crate) program: PathBuf,
    /// Where it begins, and may write.
    pub(crate) home: PathBuf,
}

impl RunFolder {
    /// Makes it in `work`, for a user and a group, or for the provider's own.
    ///
    /// # Errors
    /// What the system refuses; nothing is left then.
    pub(crate) fn make(
        work: &Path,
        user: Option<(u32, u32)>,
        name: &str,
        program: &[u8],
    ) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(work)?;
        let (home, programs) = (folder.path().join("home"), folder.path().join("program"));
        let made = Self { program: programs.join(name), folder: Some(folder), programs, home };
        for place in [&made.home, &made.programs] {
            fs::create_dir(place)?;
        }
        fs::write(&made.program, program)?;
        allow(&made.program, 0o555)?;
        allow(&made.programs, 0o555)?;
        allow(&made.home, 0o700)?;
        if let Some(folder) = &made.folder {
            allow(folder.path(), 0o711)?;
        }
        if let Some((user, group)) = user {
            chown(&made.home, Some(user), Some(group))?;
        }
        Ok(made)
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        let Some(folder) = self.folder.take() else { return };
        // Nobody but root can remove a file from a folder that may not be written to.
        if self.programs.exists()
            && let Err(error) = allow(&self.programs, 0o700)
        {
            tracing::debug!(%error, "the program's folder keeps its permissions");
        }
        let path = folder.path().to_owned();
        if let Err(error) = folder.close() {
            tracing::warn!(folder = %path.display(), %error, "the folder of a run could not be removed: remove it");
        }
    }
}

fn allow(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// What is left of the folders of runs in this one.
    fn left(work: &Path) -> usize {
        fs::read_dir(work).unwrap().count()
    }

    #[test]
    fn it_is_gone_afterwards() {
        let work = tempfile::tempdir().unwrap();
        let place = RunFolder::make(work.path(), None, "x.sh", b"#!/bin/sh\n").unwrap();
        fs::write(place.home.join("left"), "by the script").unwrap();
        assert_eq!(left(work.path()), 1);
        drop(place);
        assert_eq!(left(work.path()), 0);
    }

    /// Root may remove anything; others only what they may write to.
    #[test]
    fn it_is_gone_afterwards_for_who_is_not_root_too() {
        if !rustix::process::geteuid().is_root() {
            return; // The test above has seen it.
        }
        let place = tempfile::tempdir().unwrap();
        allow(place.path(), 0o777).unwrap();
        let program = place.path().join("tests");
        fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
        let status = Command::new("setpriv")
            .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
            .arg(&program)
            .args(["--exact", "run_folder::tests::it_is_gone_afterwards"])
            .env("TMPDIR", place.path())
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&status.stdout).into_owned();
        assert!(status.status.success() && told.contains("1 passed"), "{told}");
    }
}
