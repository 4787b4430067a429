//! What holds a script: the chain of system programs that it is started through, and what of it this machine has.
//!
//! `setpriv` (dies with the provider) → `unshare` (processes of its own) → `prlimit` (limits) → `setpriv` (user, no privileges) →
//! `sh` (waits for it) → the script. All are part of util-linux but the shell.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use crate::{
    findings::Finding,
    run_folder::RunFolder,
    settings::{Limits, Settings, SettingsError},
};

/// Waits for the script and hands on its exit code. As the first process of its namespace it lives through the SIGTERM that ends
/// the script, and then until all that the script started has ended too, of which it tells those that left the group; the
/// script is never that process, because such a one ignores what it does not handle and would go on with its next line. The
/// script's words come as arguments, not as text of this program.
const FIRST: &str = "trap 'told=1' TERM INT HUP; \"$@\"; code=$?; if [ \"$told\" ]; then kill -s TERM -- -1 2>/dev/null; \
                     while kill -s 0 -- -1 2>/dev/null; do /bin/sleep 0.1; done; fi; exit $code";

/// Where the chain's programs are looked for.
const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How scripts are held on this machine.
#[derive(Debug, Clone)]
pub(crate) struct Sandbox {
    tools: Tools,
    /// User and group that scripts run as; none when it is the provider's own.
    pub(crate) user: Option<(u32, u32)>,
    limits: Limits,
    namespace: Namespace,
}

/// Which processes a script can see and leave behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Namespace {
    /// Its own, and `/proc` shows no others.
    Whole,
    /// Its own; `/proc` shows those of the machine.
    Processes,
    /// Those of the machine.
    None,
}

/// Where the chain's programs are: found once, in the system's folders, so that no setting and no script has a say in what runs
/// before the user is changed.
#[derive(Debug, Clone)]
struct Tools {
    setpriv: String,
    prlimit: String,
    unshare: Option<String>,
}

impl Tools {
    fn find() -> Result<Self, SettingsError> {
        let needed = |name: &str| {
            let found = tool(name).filter(|found| works(&[found.clone(), "--version".to_owned()]));
            found.ok_or_else(|| {
                SettingsError::Wrong(format!("scripts need the program `{name}`: install util-linux"))
            })
        };
        Ok(Self { setpriv: needed("setpriv")?, prlimit: needed("prlimit")?, unshare: tool("unshare") })
    }
}

fn tool(name: &str) -> Option<String> {
    SYSTEM_PATH.split(':').map(|folder| format!("{folder}/{name}")).find(|path| Path::new(path).is_file())
}

impl Sandbox {
    /// Looks what there is.
    ///
    /// # Errors
    /// Programs that are missing, a user that must be named or does not exist.
    pub(crate) fn probe(settings: &Settings) -> Result<Self, SettingsError> {
        let wrong = |why: String| Err(SettingsError::Wrong(why));
        if settings.kubernetes.is_some() {
            return wrong(
                "scripts with [kubernetes] are run by the program guichet-provider-scripts-kubernetes, not by this one: start that, and \
                 name its address as the provider's `url`; or take [kubernetes] away"
                    .to_owned(),
            );
        }
        let tools = Tools::find()?;
        let is_root = rustix::process::geteuid().is_root();
        let user = match (&settings.user, is_root) {
            (Some(name), true) => match (id_of("-u", name), id_of("-g", name)) {
                (Some(0), _) => return wrong("user: scripts do not run as root: name another".to_owned()),
                (Some(user), Some(group)) => Some((user, group)),
                _ => {
                    return wrong(format!(
                        "user: there is no user `{name}` on this machine: make it, or name another"
                    ));
                }
            },
            (None, true) => {
                return wrong(
                    "the provider runs as root, and scripts must not: name another in `user`".to_owned(),
                );
            }
            (Some(name), false) if id_of("-u", name) != Some(rustix::process::geteuid().as_raw()) => {
                return wrong(format!(
                    "user: the provider does not run as root, so scripts cannot run as `{name}`: leave it out"
                ));
            }
            (_, false) => None,
        };
        let sandbox = Self { tools, user, limits: settings.limits.clone(), namespace: Namespace::None };
        if !works(&sandbox.chain("/bin/true", &[])) {
            return wrong(
                "a script cannot be started within its limits: try higher ones in [limits]".to_owned(),
            );
        }
        // As each run will be: a copy in a folder of its own, where `work` says.
        let work = settings.work.clone().unwrap_or_else(std::env::temp_dir);
        let place = RunFolder::make(&work, user, "probe", b"#!/bin/sh\nexit 0\n");
        let place = place.map_err(|error| {
            let work = work.display();
            SettingsError::Wrong(format!(
                "no run can have a folder in {work}: {error}; make it, or name another in `work`"
            ))
        })?;
        let program = place.program.to_string_lossy();
        if !works(&sandbox.chain(&program, &[])) {
            return wrong(format!(
                "a script in {} cannot be executed: its file system must allow programs, and its user must reach it; name another folder in `work`",
                work.display()
            ));
        }
        for namespace in [Namespace::Whole, Namespace::Processes] {
            let tried = Self { namespace, ..sandbox.clone() };
            if tried.tools.unshare.is_some() && works(&tried.chain(&program, &[])) {
                return Ok(tried);
            }
        }
        Ok(sandbox)
    }

    /// Whether the kernel ends all that a script started together with it.
    pub(crate) fn has_namespace(&self) -> bool {
        self.namespace != Namespace::None
    }

    /// As on a machine whose kernel gives none.
    #[cfg(test)]
    pub(crate) fn without_namespace(self) -> Self {
        Self { namespace: Namespace::None, ..self }
    }

    /// All words of the command that runs `program` within this.
    pub(crate) fn chain(&self, program: &str, arguments: &[String]) -> Vec<String> {
        let mut chain: Vec<String> = Vec::new();
        let mut say = |words: &[&str]| chain.extend(words.iter().map(|word| (*word).to_owned()));
        let tools = &self.tools;
        say(&[&tools.setpriv, "--pdeathsig", "KILL", "--"]);
        if let (true, Some(unshare)) = (self.has_namespace(), &tools.unshare) {
            say(&[unshare]);
            if self.user.is_none() {
                say(&["--user", "--map-current-user"]);
            }
            say(&["--pid", "--fork", "--kill-child"]);
            if self.namespace == Namespace::Whole {
                say(&["--mount-proc"]);
            }
            say(&["--"]);
        }
        let limits = &self.limits;
        say(&[
            &tools.prlimit,
            &format!("--as={}", limits.memory_mib << 20),
            &format!("--nproc={}", limits.processes),
            &format!("--fsize={}", limits.file_mib << 20),
            "--nofile=1024",
            "--core=0",
            "--",
            &tools.setpriv,
        ]);
        if let Some((user, group)) = self.user {
            say(&["--reuid", &user.to_string(), "--regid", &group.to_string(), "--clear-groups"]);
            say(&["--inh-caps=-all", "--bounding-set=-all"]);
        }
        // Once more: a change of the user takes the first one away.
        say(&["--no-new-privs", "--pdeathsig", "KILL", "--"]);
        if self.has_namespace() {
            say(&["/bin/sh", "-c", FIRST, "guichet"]);
        }
        say(&[program]);
        chain.extend(arguments.iter().cloned());
        chain
    }

    /// What people should know of it.
    pub(crate) fn findings(&self, settings: &Settings) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut note = |why: &str| findings.push(Finding::note(&settings.folder, why));
        match self.namespace {
            Namespace::Whole => {}
            Namespace::Processes => {
                note("the kernel gives scripts no `/proc` of their own: they see the machine's processes");
            }
            Namespace::None => note(
                "the kernel gives scripts no process namespace: what a script hides from its own group is looked for by its environment \
                 when the run ends, and may outlive a provider that is killed",
            ),
        }
        if self.user.is_none() {
            note(
                "scripts run as the provider's own user, so they can read what it can: start it as root and name another in `user`",
            );
        }
        findings
    }
}

/// A command of the chain: nothing in its environment but the way to its programs.
pub(crate) fn command(chain: &[String]) -> Command {
    let (program, rest) =
        chain.split_first().map_or(("true", [].as_slice()), |(first, rest)| (first.as_str(), rest));
    let mut command = Command::new(program);
    let _ = command.args(rest).env_clear().env("PATH", SYSTEM_PATH);
    command
}

fn works(chain: &[String]) -> bool {
    let quiet = command(chain).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    quiet.is_ok_and(|status| status.success())
}

fn id_of(which: &str, name: &str) -> Option<u32> {
    let output =
        Command::new("id").args([which, "--", name]).env_clear().env("PATH", SYSTEM_PATH).output().ok()?;
    String::from_utf8_lossy(&output.stdout).trim().parse().ok().filter(|_| output.status.success())
}
