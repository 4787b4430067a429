//! Where Kafka's classes are: Maven copies them beside the build once, in the versions that `pom.xml` names.

use std::{
    fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

/// What is copied. Another text is another copy.
const POM: &str = include_str!("../pom.xml");

/// Why no broker can run on this machine, in words; `None` when one can.
pub fn missing() -> Option<String> {
    if !runs("java", "-version") {
        return Some(
            "there is no Java on this machine, which Kafka runs on; install it (Debian: apt-get install \
             default-jre-headless)"
                .to_owned(),
        );
    }
    let place = match place() {
        Ok(place) => place,
        Err(error) => return Some(format!("{error:#}")),
    };
    if is_whole(&place) || runs("mvn", "--version") {
        return None;
    }
    Some(
        "Kafka's classes are not beside the build, and there is no Maven (mvn) to copy them; install it \
         (Debian: apt-get install maven)"
            .to_owned(),
    )
}

/// Sees to it that the classes are there, and answers their folder. Takes half a minute the first time, and the network.
///
/// # Errors
/// No Maven, no network, no disk.
pub fn fetch() -> Result<PathBuf> {
    let place = place()?;
    if is_whole(&place) {
        return Ok(place.join("jars"));
    }
    let parent = place.parent().context("the folder of the build has no parent")?;
    fs::create_dir_all(parent)?;
    // Copied aside and moved as a whole: two processes may do this at the same time, and one may be cut off.
    let aside = tempfile::Builder::new().prefix("copying-").tempdir_in(parent)?;
    fs::write(aside.path().join("pom.xml"), POM)?;
    let mut maven = Command::new("mvn");
    maven.args(["--quiet", "--batch-mode", "dependency:copy-dependencies"]);
    maven.args(["-DoutputDirectory=jars", "-DincludeScope=runtime"]).current_dir(aside.path());
    let output = maven.stdin(Stdio::null()).output().context("cannot run mvn")?;
    ensure!(
        output.status.success(),
        "mvn could not copy what crates/throwaway-kafka/pom.xml lists: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    if fs::rename(aside.path(), &place).is_err() {
        ensure!(is_whole(&place), "Kafka's classes cannot be moved to {}", place.display());
    }
    Ok(place.join("jars"))
}

fn is_whole(place: &Path) -> bool {
    fs::read_to_string(place.join("pom.xml")).is_ok_and(|there| there == POM)
}

/// Beside the folder of the profile that this program was built in: `target/debug/deps/test`, `target/debug/xtask`. Two
/// programs of two texts in one build have two folders: neither can be moved over the other.
fn place() -> Result<PathBuf> {
    let program = std::env::current_exe().context("cannot tell where this program lies")?;
    let inside = |folder: &&Path| !["deps", "examples"].iter().any(|name| folder.ends_with(name));
    let profile = program.ancestors().skip(1).find(inside);
    let build = profile.and_then(Path::parent).context("this program does not lie in a folder of Cargo's")?;
    Ok(build.join("throwaway-kafka").join(folder(POM)))
}

/// Another compiler may give another name, which costs one more copy.
fn folder(pom: &str) -> String {
    let mut hasher = DefaultHasher::new();
    pom.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

fn runs(program: &str, argument: &str) -> bool {
    let mut asked = Command::new(program);
    asked.arg(argument).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    asked.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_text_lies_elsewhere() {
        assert_eq!(folder(POM), folder(POM));
        assert_ne!(folder(POM), folder(&POM.replace("4.1.2", "4.1.3")));
    }
}
