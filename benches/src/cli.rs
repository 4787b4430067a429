//! What a command line costs before it does anything: help, and one TAB, from what `guichet` remembers.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    figures::{Table, duration, median_of},
    gateway::{PASSWORD, Site, USER},
    server::{Server, cpu_of_ended_children},
    setting::{Setting, has, output},
};

/// Runs of each command, in five turns.
const RUNS: usize = 50;
const TURNS: usize = 5;

/// One command line.
struct Line {
    name: String,
    program: PathBuf,
    words: Vec<String>,
    variables: Vec<(&'static str, String)>,
    cpu: Duration,
    walls: Vec<Duration>,
    lines: usize,
}

impl Line {
    fn new(name: &str, program: impl Into<PathBuf>, words: &[&str]) -> Self {
        Self {
            name: name.to_owned(),
            program: program.into(),
            words: words.iter().map(|word| (*word).to_owned()).collect(),
            variables: Vec::new(),
            cpu: Duration::ZERO,
            walls: Vec::new(),
            lines: 0,
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.words).stdin(Stdio::null());
        for (name, value) in &self.variables {
            command.env(name, value);
        }
        command
    }

    /// Once, to see that it works and how much it says.
    fn check(&mut self) -> Result<()> {
        let output =
            self.command().output().with_context(|| format!("cannot start {}", self.program.display()))?;
        ensure!(
            output.status.success(),
            "`{}` failed: {}",
            self.name,
            String::from_utf8_lossy(&output.stderr)
        );
        self.lines = String::from_utf8_lossy(&output.stdout).lines().count();
        ensure!(self.lines > 0, "`{}` says nothing", self.name);
        Ok(())
    }

    fn run(&mut self, times: usize) -> Result<()> {
        let before = cpu_of_ended_children();
        for _ in 0..times {
            let began = Instant::now();
            let status = self.command().stdout(Stdio::null()).stderr(Stdio::null()).status()?;
            self.walls.push(began.elapsed());
            ensure!(status.success(), "`{}` failed", self.name);
        }
        self.cpu += cpu_of_ended_children().saturating_sub(before);
        Ok(())
    }
}

/// Measures.
pub(crate) fn measure(setting: &Setting) -> Result<String> {
    let guichet = setting.binary("guichet")?;
    let mut lines = Vec::new();
    for actions in [8, 1000] {
        let home = warm_home(setting, &guichet, actions)?;
        let mut ours = |name: &str, words: &[&str], completing: Option<&[&str]>| {
            let mut line = Line::new(&format!("**{name}**, {actions} actions"), &guichet, words);
            line.variables.push(("GUICHET_CONFIG_DIR", home.join("config").display().to_string()));
            line.variables.push(("XDG_CACHE_HOME", home.join("cache").display().to_string()));
            if let Some(typed) = completing {
                line.words = std::iter::once("--").chain(typed.iter().copied()).map(str::to_owned).collect();
                line.variables.push(("COMPLETE", "bash".to_owned()));
                line.variables.push(("_CLAP_IFS", "\n".to_owned()));
                line.variables.push(("_CLAP_COMPLETE_INDEX", (typed.len() - 1).to_string()));
                line.variables.push(("_CLAP_COMPLETE_COMP_TYPE", "9".to_owned()));
                line.variables.push(("_CLAP_COMPLETE_SPACE", "true".to_owned()));
            }
            lines.push(line);
        };
        ours("guichet --help", &["--help"], None);
        ours("guichet rds items read --help", &["rds", "items", "read", "--help"], None);
        ours("guichet rds ⇥", &[], Some(&["guichet", "rds", ""]));
    }
    for (name, words) in [
        ("kubectl", &["--help"][..]),
        ("gh", &["--help"]),
        ("gh", &["__complete", "pr", ""]),
        ("docker", &["--help"]),
        ("docker", &["__complete", "container", ""]),
        ("git", &["--help"]),
    ] {
        if has(name) {
            let told = match words {
                ["__complete", word, ..] => format!("{name} {word} ⇥"),
                words => format!("{name} {}", words.join(" ")),
            };
            lines.push(Line::new(&told, name, words));
        } else {
            eprintln!("  SKIPPED: `{name}` is not here");
        }
    }
    for line in &mut lines {
        line.check()?;
    }
    for turn in 0..TURNS {
        eprintln!("  turn {} of {TURNS}", turn + 1);
        for line in &mut lines {
            line.run(RUNS / TURNS)?;
        }
    }
    Ok(tell(&lines))
}

/// A home whose owner signed in to a gateway of so many actions, which is gone by now.
fn warm_home(setting: &Setting, guichet: &Path, actions: usize) -> Result<PathBuf> {
    let name = format!("cli-{actions}");
    let upstream = Server::role(setting, &["upstream", &actions.to_string()])?;
    let site = Site::new(setting, &name)?;
    site.configure(setting, &[("rds", &upstream.url)])?;
    let (mut gateway, token) = site.start(setting)?;
    gateway
        .wait_for(setting, "/v1/actions/rds.read-item", Some(&token), Instant::now())
        .with_context(|| site.log())?;
    let home = site.folder().to_owned();
    let mut child = Command::new(guichet)
        .args(["login", "--user", USER, "--password-stdin", "--gateway", &site.url])
        .env("GUICHET_CONFIG_DIR", home.join("config"))
        .env("XDG_CACHE_HOME", home.join("cache"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .context("cannot start guichet")?;
    child.stdin.take().context("no standard input")?.write_all(PASSWORD.as_bytes())?;
    ensure!(child.wait()?.success(), "guichet login failed");
    Ok(home)
}

fn tell(lines: &[Line]) -> String {
    let mut table = Table::new(&["", "CPU (user + system)", "wall clock, the middle", "lines it prints"]);
    let runs = u32::try_from(RUNS).unwrap_or(u32::MAX);
    for line in lines {
        table.row(&[
            line.name.clone(),
            duration(line.cpu / runs),
            duration(median_of(line.walls.iter().copied())),
            line.lines.to_string(),
        ]);
    }
    let versions: Vec<String> = [
        ("kubectl", &["version", "--client"][..]),
        ("gh", &["--version"]),
        ("docker", &["--version"]),
        ("git", &["--version"]),
    ]
    .into_iter()
    .filter(|(name, _)| has(name))
    .filter_map(|(name, words)| output(name, words).map(|version| format!("{name}: {version}")))
    .collect();
    format!(
        "## cli\n\n{RUNS} runs of each command in {TURNS} turns; CPU to 0.2 ms (the kernel tells it in hundredths of a second, over \
         all runs). ⇥ is one completion. guichet works from what it remembers; its gateway does not run. Here: {}.\n\n{}",
        versions.join("; "),
        table.into_text()
    )
}
