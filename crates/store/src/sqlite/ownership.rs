//! One file, one process: a lock beside the file.
//!
//! SQLite itself would let two processes write in turns. Two gateways would then each believe that they own all
//! jobs and number the ledger alone, so the second one is told to stay away. The lock is the operating system's and
//! ends with the process, however that ends; the lock file may stay behind and means nothing by itself.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use crate::StoreError;

/// Holds the lock as long as it lives.
pub(super) struct Ownership {
    lock: File,
}

impl Drop for Ownership {
    fn drop(&mut self) {
        // Said, and not left to the closing of the file: a process that is being started elsewhere may hold a copy
        // of the handle for a moment, and with it the lock.
        let _ = self.lock.unlock();
    }
}

impl Ownership {
    /// Takes the lock, then makes the file when there is none. In this order, and before any connection is opened:
    /// closing a second handle on the file would drop SQLite's own locks on it (POSIX).
    pub(super) fn take(path: &Path) -> Result<Self, StoreError> {
        let lock_path = beside(path, ".lock");
        let mut lock = private(OpenOptions::new().read(true).write(true).create(true).truncate(false))
            .open(&lock_path)
            .map_err(|error| cannot_open(&lock_path, &error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use(path, &lock_path)),
            Err(TryLockError::Error(error)) => return Err(cannot_open(&lock_path, &error)),
        }
        // For the message of whoever comes second; nobody relies on it.
        let _ = lock.set_len(0).and_then(|()| write!(lock, "{}", std::process::id()));
        make_private_file(path).map_err(|error| cannot_open(path, &error))?;
        Ok(Self { lock })
    }
}

/// Makes the file, readable by its owner alone: it holds the inputs of all runs. SQLite gives the files it puts
/// beside it the same mode.
pub(super) fn make_private_file(path: &Path) -> io::Result<()> {
    match private(OpenOptions::new().write(true).create_new(true)).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => make_private(path),
        Err(error) => Err(error),
    }
}

#[cfg(unix)]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600)
}

#[cfg(unix)]
fn make_private(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let permissions = fs::metadata(path)?.permissions();
    if permissions.mode() & 0o077 != 0 {
        tracing::warn!(file = %path.display(), "the store could be read by others; its mode is now 0600");
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    }
    Ok(())
}

#[cfg(not(unix))]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

#[cfg(not(unix))]
fn make_private(path: &Path) -> io::Result<()> {
    fs::metadata(path).map(drop)
}

/// The path with something appended to its name.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

fn in_use(path: &Path, lock_path: &Path) -> StoreError {
    let holder = fs::read_to_string(lock_path)
        .ok()
        .filter(|pid| !pid.is_empty())
        .map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"));
    StoreError::Engine(format!(
        "{} is in use by {holder}: two gateways cannot share one file; stop that one, give this one a file of its \
         own, or use PostgreSQL",
        path.display()
    ))
}

fn cannot_open(path: &Path, error: &io::Error) -> StoreError {
    let file = path.display();
    match error.kind() {
        io::ErrorKind::StorageFull => StoreError::DiskFull(format!("{file}: {error}")),
        io::ErrorKind::NotFound => {
            StoreError::Engine(format!("{file}: its directory does not exist; make it, or give another path"))
        }
        _ => StoreError::ReadOnly(format!("{file}: {error}")),
    }
}
