//! What must be on the machine: a PostgreSQL server, for the demo and for the tests that want a real one; a mail server,
//! for the tests that want a real one; Java and Maven, for a Kafka broker; Schemathesis, which tries the gateway's document; Alertmanager, which is put behind it; a C++ compiler, for libFuzzer.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Result, bail, ensure};

use crate::{cargo, process::succeeds};

const PACKAGES: &[&str] = &["postgresql", "postgresql-contrib"];

/// Sees to it that PostgreSQL's programs are there, and tells what it installs.
pub(crate) fn postgresql() -> Result<()> {
    if program("initdb").is_some() {
        return Ok(());
    }
    let what = "the programs of a PostgreSQL server (initdb, postgres, pg_ctl, psql) are not on this machine";
    let how =
        format!("install them and try again; Debian and Ubuntu: apt-get install {}", PACKAGES.join(" "));
    install(PACKAGES, what, &how)?;
    ensure!(program("initdb").is_some(), "the packages are installed and initdb is still not found; {how}");
    Ok(())
}

/// Sees to it that aiosmtpd is there, which takes the mails of the tests, and tells what it installs.
pub(crate) fn mail_server() -> Result<()> {
    if has_aiosmtpd() {
        return Ok(());
    }
    let what = "no Python on this machine has aiosmtpd, the mail server that tests send to";
    let how = "install it and try again; Debian and Ubuntu: apt-get install python3-aiosmtpd; elsewhere: \
               pip install aiosmtpd";
    install(&["python3-aiosmtpd"], what, how)?;
    ensure!(has_aiosmtpd(), "the package is installed and no Python finds it; {how}");
    Ok(())
}

/// Sees to it that libfaketime is there, with which tests set a machine's clock; without it those say that they did nothing,
/// so that nobody must be root to run the others.
pub(crate) fn libfaketime() {
    let there = || {
        // Where those tests look.
        let places = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
        places.map(|entry| entry.path().join("faketime/libfaketimeMT.so.1")).any(|library| library.is_file())
    };
    if there() {
        return;
    }
    let what = "libfaketime is not on this machine: tests that set a clock are skipped";
    let how = "install it to have them; Debian and Ubuntu: apt-get install faketime";
    if let Err(error) = install(&["faketime"], what, how) {
        eprintln!("NOTICE: {error:#}");
    }
}

/// Sees to it that Alertmanager is there, a program of others that tests put behind the gateway; without it those say that they did
/// nothing.
pub(crate) fn alertmanager() {
    if program("prometheus-alertmanager").is_some() || program("alertmanager").is_some() {
        return;
    }
    let what = "Alertmanager is not on this machine: the test that puts it behind the gateway is skipped";
    let how = "install it to have that; Debian and Ubuntu: apt-get install prometheus-alertmanager";
    if let Err(error) = install(&["prometheus-alertmanager"], what, how) {
        eprintln!("NOTICE: {error:#}");
    }
}

/// Sees to it that a Kafka broker can be started; without it those tests that want one say that they did nothing.
pub(crate) fn kafka() {
    let there = || {
        if guichet_throwaway_kafka::missing().is_some() {
            let what = "Java or Maven is not on this machine: tests with a Kafka broker are skipped";
            let how =
                "install them to have them; Debian and Ubuntu: apt-get install default-jre-headless maven";
            install(&["default-jre-headless", "maven"], what, how)?;
        }
        guichet_throwaway_kafka::fetch()
    };
    if let Err(error) = there() {
        eprintln!("NOTICE: {error:#}");
    }
}

/// Sees to it that Schemathesis is there, in a Python environment of its own beside the build.
pub(crate) fn schemathesis() -> Result<()> {
    python(
        "schemathesis",
        "xtask/schemathesis.txt",
        "Schemathesis, which tries the gateway's own OpenAPI document",
    )
    .map(drop)
}

/// Sees to it that the Python SDK's environment is there, in which its own tests run, and the providers that the gateway's tests start;
/// gives its Python.
pub(crate) fn sdk_python() -> Result<PathBuf> {
    let what = "what the Python SDK needs, a server, and a framework to stand beside";
    python("sdk-python", "sdks/python/requirements.txt", what)
}

/// Sees to it that a Python environment beside the build has what this list of the repository names; gives its Python.
pub(crate) fn python(name: &str, listed: &str, what: &str) -> Result<PathBuf> {
    let place = cargo::build_folder()?.join(name);
    let wanted = cargo::root().join(listed);
    let list = std::fs::read_to_string(&wanted)?;
    let python = place.join("bin/python");
    // Written last: what was begun and not ended is begun anew.
    let whole = place.join("whole.txt");
    if std::fs::read_to_string(&whole).is_ok_and(|there| there == list) {
        return Ok(python);
    }
    eprintln!("Installing into {}: {what}.", place.display());
    let make = || {
        let mut python = Command::new("python3");
        python.args(["-m", "venv", "--clear"]).arg(&place).stdin(Stdio::null()).stdout(std::io::stderr());
        succeeds(&mut python)
    };
    if !make().unwrap_or(false) {
        let what = "no Python on this machine can make an environment (python3 -m venv)";
        let how = "install it and try again; Debian and Ubuntu: apt-get install python3-venv";
        install(&["python3-venv"], what, how)?;
        ensure!(make()?, "the package is installed and `python3 -m venv` still fails; {how}");
    }
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "-q", "--disable-pip-version-check", "-r"]).arg(&wanted);
    pip.stdin(Stdio::null()).stdout(std::io::stderr());
    ensure!(
        succeeds(&mut pip)?,
        "pip could not install what {listed} lists; its words are above. Without the network, let pip find a mirror \
         (PIP_INDEX_URL)"
    );
    std::fs::write(whole, list)?;
    Ok(python)
}

/// Sees to it that libFuzzer can be compiled, and tells what it installs.
pub(crate) fn cpp_compiler() -> Result<()> {
    let compiles = || {
        let mut asked = Command::new("c++");
        asked.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
        asked.status().is_ok_and(|status| status.success())
    };
    if compiles() {
        return Ok(());
    }
    let what = "no C++ compiler (c++) is on this machine, which libFuzzer is compiled with";
    let how = "install one and try again; Debian and Ubuntu: apt-get install g++";
    install(&["g++"], what, how)?;
    ensure!(compiles(), "the package is installed and c++ is still not found; {how}");
    Ok(())
}

/// Whether a Python that the tests try has it: Debian's own, else the one on the search path.
fn has_aiosmtpd() -> bool {
    ["/usr/bin/python3", "python3"].into_iter().any(|python| {
        let mut asked = Command::new(python);
        asked.args(["-c", "import aiosmtpd"]).stdout(Stdio::null()).stderr(Stdio::null());
        asked.status().is_ok_and(|status| status.success())
    })
}

/// Installs with apt, when that can be.
fn install(packages: &[&str], what: &str, how: &str) -> Result<()> {
    if !(is_root() && Path::new("/usr/bin/apt-get").is_file()) {
        bail!("{what}, and only root on Debian or Ubuntu can have them installed from here: {how}");
    }
    eprintln!("Installing {}: {what}.", packages.join(" and "));
    eprintln!("  No service of the system is needed; a server of our own runs for as long as it is needed.");
    for words in [&["update"][..], &[&["install", "-y", "--no-install-recommends"], packages].concat()] {
        let mut apt = Command::new("apt-get");
        apt.args(["-q"]).args(words).env("DEBIAN_FRONTEND", "noninteractive");
        // Programs are wanted, not services that begin to run.
        apt.env("RUNLEVEL", "1");
        apt.stdin(Stdio::null()).stdout(std::io::stderr());
        ensure!(succeeds(&mut apt)?, "apt-get {} failed: {what}; {how}", words.join(" "));
    }
    Ok(())
}

/// A program of PostgreSQL: of the newest version in Debian's place, else where `pg_config` says.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions
        .map(|entry| entry.path())
        .filter(|version| version.join("bin").join(name).is_file())
        .max_by_key(|version| {
            version.file_name().and_then(|name| name.to_str()).and_then(|n| n.parse::<u32>().ok())
        });
    if let Some(version) = newest {
        return Some(version.join("bin").join(name));
    }
    let output = Command::new("pg_config").arg("--bindir").output().ok()?;
    let path = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()).join(name);
    path.is_file().then_some(path)
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}
