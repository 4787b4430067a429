//! Where the control plane is: Go builds it beside our build once, from the modules that `control-plane/go.mod` names.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

/// What is built. Another text is another program.
const PARTS: &[(&str, &str)] = &[
    ("go.mod", include_str!("../control-plane/go.mod")),
    ("go.sum", include_str!("../control-plane/go.sum")),
    ("main.go", include_str!("../control-plane/main.go")),
];

/// The program, which has all parts of a control plane.
const PROGRAM: &str = "control-plane";

/// The variable with which somebody asks that one be built: `build`.
const ASKED: &str = "GUICHET_KUBERNETES";

/// Why no control plane can run on this machine, in words; `None` when one can. One that is not built yet is missing until somebody
/// asks for it: ten minutes of a processor are more than a test may take unasked.
pub fn missing() -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "whoever tests asks for it, in this variable")]
    let is_asked_for = std::env::var_os(ASKED).is_some_and(|word| word == "build");
    match place() {
        Ok(place) if is_asked_for || is_whole(&place) => None,
        Ok(_) => Some(
            "no Kubernetes is built beside this; `cargo xtask test --kubernetes` builds one, which takes some minutes the first time"
                .to_owned(),
        ),
        Err(error) => Some(format!("{error:#}")),
    }
}

/// Sees to it that the program is there, and answers where. Takes minutes the first time, some gigabytes of disk, and the network.
///
/// # Errors
/// No Go, no network, no disk.
pub fn fetch() -> Result<PathBuf> {
    let place = place()?;
    if is_whole(&place) {
        return Ok(place.join(PROGRAM));
    }
    let parent = place.parent().context("the folder of the build has no parent")?;
    fs::create_dir_all(parent)?;
    // Built aside and moved as a whole: two processes may do this at the same time, and one may be cut off.
    let aside = tempfile::Builder::new().prefix("building-").tempdir_in(parent)?;
    for (name, text) in PARTS {
        fs::write(aside.path().join(name), text)?;
    }
    let mut go = Command::new("go");
    go.args(["build", "-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", PROGRAM, "."]);
    go.env("CGO_ENABLED", "0").env("GOWORK", "off").env("GOTOOLCHAIN", "local").current_dir(aside.path());
    let output = go.stdin(Stdio::null()).output().context(
        "cannot run go, which builds Kubernetes from its modules; install Go 1.26 or newer (go.dev/doc/install)",
    )?;
    ensure!(
        output.status.success(),
        "go could not build what crates/throwaway-kubernetes/control-plane names: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    if fs::rename(aside.path(), &place).is_err() {
        ensure!(is_whole(&place), "the control plane cannot be moved to {}", place.display());
    }
    Ok(place.join(PROGRAM))
}

fn is_whole(place: &Path) -> bool {
    let is_same =
        |(name, text): &(&str, &str)| fs::read_to_string(place.join(name)).is_ok_and(|there| there == *text);
    place.join(PROGRAM).is_file() && PARTS.iter().all(is_same)
}

/// Beside the folder of the profile that this program was built in: `target/debug/deps/test`, `target/debug/xtask`.
fn place() -> Result<PathBuf> {
    let program = std::env::current_exe().context("cannot tell where this program lies")?;
    let inside = |folder: &&Path| !["deps", "examples"].iter().any(|name| folder.ends_with(name));
    let profile = program.ancestors().skip(1).find(inside);
    let build = profile.and_then(Path::parent).context("this program does not lie in a folder of Cargo's")?;
    Ok(build.join("throwaway-kubernetes").join("1.36.3"))
}
