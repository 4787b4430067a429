//! The folder of one run: a copy of the program that its user cannot change, and a home that is theirs. Gone afterwards, or when
//! the next provider starts, where the one that made it was killed.

use std::{
    fs::{self, DirEntry, File},
    io,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{MetadataExt as _, PermissionsExt as _, chown},
    },
    path::{Path, PathBuf},
};

use rustix::process::Pid;
use tempfile::TempDir;

/// What the names of all such folders begin with.
pub(crate) const PREFIX: &str = "guichet-";
/// A file in each. Who made it holds it locked, so that the lock of a provider that was killed is free.
const LOCK: &str = "owner.lock";
/// What it is called until it is locked.
const NOT_YET_LOCKED: &str = "owner.new";
/// Where it begins, and what its environment calls so.
const HOME: &str = "home";
/// Where the program lies, in a folder that its user cannot write to.
const PROGRAM: &str = "program";

/// The folder of a run. Dropped, it is removed.
pub(crate) struct RunFolder {
    folder: Option<TempDir>,
    /// Held until the folder is gone; none where the file system has no locks, and then nobody else removes the folder.
    lock: Option<File>,
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
        let lock = locked(folder.path())?;
        let (home, programs) = (folder.path().join(HOME), folder.path().join(PROGRAM));
        let made = Self { program: programs.join(name), folder: Some(folder), lock, home };
        for place in [&made.home, &programs] {
            fs::create_dir(place)?;
        }
        fs::write(&made.program, program)?;
        allow(&made.program, 0o555)?;
        allow(&programs, 0o555)?;
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
        if let Some(folder) = self.folder.take() {
            remove(&folder.keep());
        }
        // Free only now: a folder that is found free was left.
        drop(self.lock.take());
    }
}

fn remove(folder: &Path) {
    let programs = folder.join(PROGRAM);
    // Nobody but root can remove a file from a folder that may not be written to.
    if programs.exists()
        && let Err(error) = allow(&programs, 0o700)
    {
        tracing::debug!(%error, "the program's folder keeps its permissions");
    }
    if let Err(error) = fs::remove_dir_all(folder) {
        tracing::warn!(folder = %folder.display(), %error, "the folder of a run could not be removed: remove it");
    }
}

/// The lock of a folder that is new. It gets its name when it is locked: one that is found free was left.
fn locked(folder: &Path) -> io::Result<Option<File>> {
    let lock = File::create_new(folder.join(NOT_YET_LOCKED))?;
    if let Err(error) = lock.try_lock() {
        tracing::debug!(%error, "the file system has no locks: what a provider leaves that is killed stays there");
        return Ok(None);
    }
    allow(&folder.join(NOT_YET_LOCKED), 0o600)?;
    fs::rename(folder.join(NOT_YET_LOCKED), folder.join(LOCK))?;
    Ok(Some(lock))
}

/// Removes the folders in `work` whose provider was killed. What is another user's, what is in use and what has no lock stays.
pub(crate) fn sweep(work: &Path) {
    let Ok(entries) = fs::read_dir(work) else { return };
    for entry in entries.filter_map(Result::ok) {
        if let Some(_lock) = left_behind(&entry) {
            let folder = entry.path();
            // Where there is no namespace of processes, what a script began lives on when its provider is killed.
            if !living_in(&folder.join(HOME)).is_empty() {
                tracing::warn!(folder = %folder.display(), "a provider that was killed left the folder of a run, and something of it still runs; it stays until the next start");
                continue;
            }
            tracing::info!(folder = %folder.display(), "a provider that was killed left the folder of a run; it is removed");
            remove(&folder);
        }
    }
}

/// The lock of what a killed provider of this user left; none of anything else.
fn left_behind(entry: &DirEntry) -> Option<File> {
    if !entry.file_name().to_str()?.starts_with(PREFIX) {
        return None;
    }
    // Of the entry itself, not of what a link leads to.
    let about = entry.metadata().ok()?;
    if !about.is_dir() || about.uid() != rustix::process::geteuid().as_raw() {
        return None;
    }
    let lock = File::open(entry.path().join(LOCK)).ok()?;
    lock.try_lock().ok()?;
    Some(lock)
}

/// Processes whose home this is, as their environment says.
pub(crate) fn living_in(home: &Path) -> Vec<Pid> {
    let mark = [b"HOME=".as_slice(), home.as_os_str().as_bytes(), b"\0"].concat();
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let of = |entry: io::Result<DirEntry>| {
        let entry = entry.ok()?;
        let number = entry.file_name().to_str()?.parse::<i32>().ok()?;
        let environment = fs::read(entry.path().join("environ")).ok()?;
        let is_marked = environment.windows(mark.len()).any(|window| window == mark);
        is_marked.then(|| Pid::from_raw(number)).flatten()
    };
    processes.filter_map(of).collect()
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

    /// As when it was killed: the lock is free, and nobody has removed anything.
    fn killed(mut place: RunFolder) -> PathBuf {
        let folder = place.folder.take().unwrap().keep();
        // A process that another test starts at this moment may hold it a little longer than this one does.
        place.lock.take().unwrap().unlock().unwrap();
        folder
    }

    #[test]
    fn what_a_killed_provider_left_is_gone_at_the_next_start_and_nothing_else_is() {
        let (work, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let make = || RunFolder::make(work.path(), None, "x.sh", b"#!/bin/sh\n").unwrap();
        let (in_use, left_one) = (make(), killed(make()));
        fs::write(left_one.join("home/left"), "by the script").unwrap();
        let named_so = work.path().join("guichet-of-another-kind");
        fs::create_dir(&named_so).unwrap();
        let target = killed(RunFolder::make(elsewhere.path(), None, "x.sh", b"").unwrap());
        std::os::unix::fs::symlink(&target, work.path().join("guichet-link")).unwrap();
        let other = killed(make());
        let named_otherwise = work.path().join("notes");
        fs::rename(&other, &named_otherwise).unwrap();
        sweep(work.path());
        assert!(!left_one.exists());
        assert!(in_use.program.exists() && named_so.exists() && target.exists() && named_otherwise.exists());
        assert_eq!(left(work.path()), 4);
        // What a script began may live on where there is no namespace of processes.
        let lived_in = killed(make());
        let mut living = Command::new("sleep").arg("600").env("HOME", lived_in.join("home")).spawn().unwrap();
        sweep(work.path());
        assert!(lived_in.exists(), "somebody lives there");
        living.kill().unwrap();
        living.wait().unwrap();
        sweep(work.path());
        assert!(!lived_in.exists());
        if rustix::process::geteuid().is_root() {
            let of_another = killed(make());
            chown(&of_another, Some(65_534), None).unwrap();
            sweep(work.path());
            assert!(of_another.exists(), "it is another user's");
        }
        sweep(&work.path().join("nowhere"));
    }

    /// Root may remove anything; others only what they may write to.
    #[test]
    fn both_hold_for_who_is_not_root_too() {
        if !rustix::process::geteuid().is_root() {
            return; // The tests above have seen it.
        }
        let place = tempfile::tempdir().unwrap();
        allow(place.path(), 0o777).unwrap();
        let program = place.path().join("tests");
        fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
        let status = Command::new("setpriv")
            .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
            .arg(&program)
            .args(["run_folder::tests::it_is_gone_afterwards", "run_folder::tests::what_a_killed_provider"])
            .env("TMPDIR", place.path())
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&status.stdout).into_owned();
        assert!(status.status.success() && told.contains("2 passed"), "{told}");
    }
}
