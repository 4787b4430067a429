//! Programs as processes of this machine: started from a private copy of what was hashed, ended with all they started.

use std::{
    io,
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::mpsc,
    time::Duration,
};

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::{
    io::AsyncWriteExt as _,
    process::{Child, Command},
    runtime::Handle,
    sync::oneshot,
    time::{sleep, timeout},
};

use crate::{
    output::{Output, Stream},
    run_folder::{self, RunFolder, living_in},
    runner::{Ended, HowEnded, Job, NotRun, Runner, Tell},
    sandbox::{self, Sandbox},
    settings::{Settings, SettingsError},
};

/// `PATH` of scripts where the settings name none.
const USUAL_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How long a script may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(5);
/// How long output is waited for when the script has ended.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Between two looks whether what was told to end has ended.
const LOOK: Duration = Duration::from_millis(50);
/// How often what escaped is looked for, at most: what starts processes faster than they are found is beyond us.
const SWEEPS: usize = 20;

/// The runner of this machine.
pub(crate) struct LocalRunner {
    sandbox: Sandbox,
    path: String,
    work: PathBuf,
    output_lines: usize,
    starts: mpsc::Sender<Start>,
}

type Start = Box<dyn FnOnce() + Send>;

impl LocalRunner {
    /// With what this machine has.
    ///
    /// # Errors
    /// What is missing on it.
    pub(crate) fn new(settings: &Settings, sandbox: Sandbox) -> Result<Self, SettingsError> {
        let (starts, asked) = mpsc::channel::<Start>();
        let work = settings.work.clone().unwrap_or_else(std::env::temp_dir);
        let swept = work.clone();
        // The kernel ends a script when the thread that started it ends, so it must be one that lives as long as this. And while
        // it writes a program it starts none, so that no child holds the file open for writing when it is executed.
        std::thread::Builder::new()
            .name("script-starter".to_owned())
            .spawn(move || {
                run_folder::sweep(&swept);
                for start in asked {
                    start();
                }
            })
            .map_err(|error| SettingsError::Wrong(format!("no thread can be started: {error}")))?;
        Ok(Self {
            sandbox,
            path: settings.path.clone().unwrap_or_else(|| USUAL_PATH.to_owned()),
            work,
            output_lines: settings.limits.output_lines,
            starts,
        })
    }

    async fn start(&self, job: &Job) -> Result<Running, String> {
        let (answer, started) = oneshot::channel();
        let (runtime, sandbox) = (Handle::current(), self.sandbox.clone());
        let (job, path, work) = (job.clone(), self.path.clone(), self.work.clone());
        let start = move || {
            if answer.is_closed() {
                // Nobody waits for it any more.
                return;
            }
            let _inside = runtime.enter();
            let _ = answer.send(start(&job, &sandbox, &path, &work));
        };
        let gone = || "the thread that starts scripts is gone: restart the provider".to_owned();
        self.starts.send(Box::new(start)).map_err(|_| gone())?;
        let started = started.await.map_err(|_| gone())?;
        started.map_err(|error| {
            format!("the script could not be started in {}: {error}; nothing was done", self.work.display())
        })
    }
}

fn start(job: &Job, sandbox: &Sandbox, path: &str, work: &Path) -> io::Result<Running> {
    let folder = RunFolder::make(work, sandbox.user, &job.program.name, &job.program.bytes)?;
    let chain = sandbox.chain(&folder.program.to_string_lossy(), &job.arguments);
    let mut command = sandbox::command(&chain);
    let _ = command
        .envs(job.environment.iter().map(|(name, value)| (name, value)))
        .env("PATH", path)
        .env("LANG", "C.UTF-8")
        .env("HOME", &folder.home)
        .current_dir(&folder.home)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    let child = Command::from(command).spawn()?;
    let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    Ok(Running { child, group, folder, sweeps: !sandbox.has_namespace() })
}

/// A script that runs. Dropped, it is killed.
struct Running {
    child: Child,
    /// The process group; none when the first process was waited for, and the number may be another's.
    group: Option<Pid>,
    /// Whoever has its home in their environment belongs to this run.
    folder: RunFolder,
    sweeps: bool,
}

impl Running {
    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            let _ = kill_process_group(group, signal);
        }
    }

    async fn ended(&mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait().await?;
        self.group = None;
        Ok(status)
    }

    /// SIGTERM to all that it started, SIGKILL when the time of grace is over. Answers how the script itself ended, when it
    /// did so in time.
    async fn stop(&mut self) -> Option<ExitStatus> {
        self.signal(Signal::TERM);
        let mut status = None;
        let ends = async {
            status = self.ended().await.ok();
            if self.sweeps {
                // In a namespace its first process does this.
                self.tell_the_rest(Signal::TERM);
                while !self.rest().is_empty() {
                    sleep(LOOK).await;
                }
            }
        };
        if timeout(GRACE, ends).await.is_err() {
            self.signal(Signal::KILL);
            let _ = self.ended().await;
        }
        status
    }

    /// What it started, wherever it went; to be asked where there is no namespace.
    fn rest(&self) -> Vec<Pid> {
        living_in(&self.folder.home)
    }

    fn tell_the_rest(&self, signal: Signal) {
        for process in self.rest() {
            let _ = kill_process(process, signal);
        }
    }

    /// Kills what left the group, where there is no namespace that does it.
    fn sweep(&self) {
        if !self.sweeps {
            return;
        }
        for _ in 0..SWEEPS {
            if self.rest().is_empty() {
                return;
            }
            self.tell_the_rest(Signal::KILL);
            std::thread::sleep(Duration::from_millis(5));
        }
        let home = self.folder.home.display();
        tracing::error!("a script left processes that could not be killed; look for {home}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        self.sweep();
    }
}

#[async_trait]
impl Runner for LocalRunner {
    async fn run(&self, job: Job, tell: Tell<'_>, stop: BoxFuture<'_, ()>) -> Result<Ended, NotRun> {
        let mut running = self.start(&job).await.map_err(NotRun::NotBegun)?;
        let output = Output::new(tell, &job.hidden.texts, self.output_lines);
        let pipes = (running.child.stdin.take(), running.child.stdout.take(), running.child.stderr.take());
        let (Some(mut stdin), Some(stdout), Some(stderr)) = pipes else {
            return Err(NotRun::NotBegun("the script has no pipes".to_owned()));
        };
        let feed = async move {
            // A script that does not read its input closes it.
            let _ = stdin.write_all(&job.input).await;
        };
        let words = async {
            tokio::join!(feed, output.read(stdout, Stream::Out), output.read(stderr, Stream::Error));
        };
        let mut words = std::pin::pin!(words);
        let mut all_said = false;
        let how = {
            let life = live(&mut running, job.time, stop, tell);
            let mut life = std::pin::pin!(life);
            loop {
                tokio::select! {
                    how = &mut life => break how,
                    () = &mut words, if !all_said => all_said = true,
                }
            }
        };
        running.sweep();
        if !all_said {
            let _ = timeout(LAST_WORDS, words).await;
        }
        Ok(output.end(how.map_err(NotRun::Unknown)?))
    }
}

async fn live(
    running: &mut Running,
    time: Duration,
    stop: BoxFuture<'_, ()>,
    tell: Tell<'_>,
) -> Result<HowEnded, String> {
    let how = tokio::select! {
        biased;
        status = running.ended() => {
            let status = status.map_err(|error| format!("the script could not be waited for: {error}"))?;
            return Ok(HowEnded::Exited(code_of(status)));
        }
        () = stop => HowEnded::Stopped,
        () = tokio::time::sleep(time) => HowEnded::TimedOut,
    };
    // Its exit code is its own word on what it did when it was told to stop.
    match running.stop().await {
        Some(status) => tell(&format!("(told to stop, the script ended with exit code {})", code_of(status))),
        None => tell(&format!(
            "(told to stop, the script did not end within {} s and was killed)",
            GRACE.as_secs()
        )),
    }
    Ok(how)
}

fn code_of(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(-1)
}

#[cfg(test)]
mod tests {
    use std::{fs, sync::Mutex};

    use futures_util::FutureExt as _;
    use guichet_contract::Digest;

    use super::*;
    use crate::runner::{Hidden, Program};

    fn job(text: &str) -> Job {
        let program = Program {
            name: "x.sh".to_owned(),
            digest: Digest::of_bytes(text.as_bytes()),
            bytes: text.as_bytes().into(),
        };
        Job {
            program,
            arguments: Vec::new(),
            image: None,
            run: None,
            environment: Vec::new(),
            input: Vec::new(),
            time: Duration::from_mins(1),
            hidden: Hidden::default(),
        }
    }

    fn runner() -> LocalRunner {
        let is_root = rustix::process::geteuid().is_root();
        let user = if is_root { "user = 'nobody'" } else { "" };
        let settings = Settings::from_toml(&format!("folder = '.'\n{user}"), Path::new(".")).unwrap();
        let sandbox = Sandbox::probe(&settings).unwrap().without_namespace();
        LocalRunner::new(&settings, sandbox).unwrap()
    }

    fn is_alive(word: &str) -> bool {
        let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
        let mut words = processes.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
        words.any(|words| words.split(|byte| *byte == 0).any(|own| own == word.as_bytes()))
    }

    #[tokio::test]
    async fn what_left_its_group_is_found_where_there_is_no_namespace() {
        let told = Mutex::new(Vec::new());
        let (say, mut said) = tokio::sync::watch::channel(false);
        let tell = |line: &str| {
            told.lock().unwrap().push(line.to_owned());
            say.send_replace(true);
        };
        let text = "#!/bin/bash\nsetsid sleep 88613 &\ndisown\nsleep 0.3\necho here\nsleep 188613\necho on\n";
        let stop = async { said.wait_for(|said| *said).await.map_or((), drop) };
        let ended = runner().run(job(text), &tell, stop.boxed()).await.unwrap();
        assert_eq!(ended.how, HowEnded::Stopped);
        assert!(!is_alive("88613") && !is_alive("188613"));
        assert_eq!(ended.lines, ["here"]);
    }

    #[tokio::test]
    async fn a_provider_that_starts_removes_what_one_that_was_killed_left() {
        let work = tempfile::tempdir().unwrap();
        let left = work.path().join("guichet-left");
        fs::create_dir_all(left.join("home")).unwrap();
        fs::write(left.join("owner.lock"), "").unwrap();
        let text = format!("folder = '.'\nuser = 'nobody'\nwork = '{}'", work.path().display());
        let settings = Settings::from_toml(&text, Path::new(".")).unwrap();
        let sandbox = runner().sandbox;
        let _runner = LocalRunner::new(&settings, sandbox).unwrap();
        let gone = async {
            while left.exists() {
                sleep(LOOK).await;
            }
        };
        timeout(Duration::from_mins(1), gone).await.unwrap();
    }

    #[tokio::test]
    async fn nobody_waits_and_it_is_gone() {
        let tell = |_: &str| ();
        let text = "#!/bin/bash\nsetsid sleep 98613 &\nsleep 198613\n";
        let runner = runner();
        let run = runner.run(job(text), &tell, std::future::pending().boxed());
        assert!(timeout(Duration::from_secs(2), run).await.is_err());
        assert!(!is_alive("98613") && !is_alive("198613"));
    }
}
