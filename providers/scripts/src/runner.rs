//! What performs a script: a process on this machine, or something else that can be put in its place.
//!
//! A process on this machine ends with the provider. What outlives it, as a job of a cluster does, is also [`Lasting`].

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use guichet_contract::Digest;
use serde_json::Value;

/// A program as it was read: what was hashed is what runs.
#[derive(Debug, Clone)]
pub struct Program {
    /// The name of its file.
    pub name: String,
    /// All of it.
    pub bytes: Arc<[u8]>,
    /// SHA-256 of these bytes.
    pub digest: Digest,
}

/// One time that a program is to run.
#[derive(Debug, Clone)]
pub struct Job {
    /// What runs.
    pub program: Program,
    /// The image of a container to run it in, as its header names it.
    pub image: Option<String>,
    /// The run it belongs to; none of a read, or of a plan.
    pub run: Option<String>,
    /// Its arguments, none of them read by a shell.
    pub arguments: Vec<String>,
    /// Its environment. A runner adds `PATH`, `LANG` and `HOME`, and nothing else.
    pub environment: Vec<(String, String)>,
    /// What it reads on standard input.
    pub input: Vec<u8>,
    /// How long it may take.
    pub time: Duration,
    /// What must not be seen in its output.
    pub hidden: Hidden,
}

/// What must not be seen in what a program says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hidden {
    /// What is replaced by `[redacted]` wherever it appears.
    pub texts: Vec<String>,
    /// The secrets among it, as they are handed over now. A program that was started with others may say those, which nobody
    /// here knows any more.
    pub secrets: Vec<String>,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HowEnded {
    /// By itself, with this exit code; 128 and a signal's number where a signal ended it.
    Exited(i32),
    /// It took too long and was ended.
    TimedOut,
    /// It was ended because somebody asked for that.
    Stopped,
}

/// A program that has run.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    /// How.
    pub how: HowEnded,
    /// The last line of its standard output, where that is a JSON object or list.
    pub result: Option<Value>,
    /// The first lines of its standard output but the result, up to 200.
    pub lines: Vec<String>,
    /// There were more of them, or longer ones, than are here.
    pub is_cut: bool,
    /// The last lines of its standard error, up to 5.
    pub complaints: Vec<String>,
}

/// Why it is not told how a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotRun {
    /// It was not begun, and nothing was done: why.
    NotBegun(String),
    /// It may have been done, and nobody can say: why.
    Unknown(String),
}

/// Hears each line of output.
pub type Tell<'a> = &'a (dyn Fn(&str) + Send + Sync);

/// Something that performs programs.
#[async_trait]
pub trait Runner: Send + Sync {
    /// Runs it to its end, and ends it when `stop` is ready, when its time is over, or when nobody waits for this any more. When
    /// this answers, nothing that was started for it runs any longer.
    ///
    /// # Errors
    /// It was not begun, or nobody can say how it ended.
    async fn run(&self, job: Job, tell: Tell<'_>, stop: BoxFuture<'_, ()>) -> Result<Ended, NotRun>;

    /// The same runner, when what it runs outlives this process.
    fn lasting(&self) -> Option<&dyn Lasting> {
        None
    }

    /// The image that a script runs in, which an approval is bound to; none where there are no images.
    fn image(&self, _named: Option<&str>) -> Option<String> {
        None
    }

    /// What keeps this runner from running such a program; empty when nothing does.
    fn mistakes(&self, _program: &Program, image: Option<&str>) -> Vec<String> {
        let told = || "image: scripts run as processes of this machine, without images; take it away, or run them on Kubernetes";
        image.map(|_| told().to_owned()).into_iter().collect()
    }

    /// How much longer than the program the gateway waits: until it is ended and that is told.
    fn margin(&self) -> Duration {
        Duration::from_secs(10)
    }
}

/// What is known of a program that was laid down.
#[derive(Debug, Clone, PartialEq)]
pub enum Memory {
    /// No such thing was ever seen, or it is gone.
    Nothing,
    /// It has not ended.
    UnderWay,
    /// It was never begun and never will be: why.
    NotBegun(String),
    /// It ended so.
    Ended(Ended),
}

/// What follows a program: for how long, and what is hidden in its output.
#[derive(Debug, Clone)]
pub struct Following {
    /// How long it may take from now on, at most.
    pub time: Duration,
    /// What must not be seen in its output.
    pub hidden: Hidden,
}

/// A runner whose programs outlive the process that asked for them, each known by its run.
#[async_trait]
pub trait Lasting: Send + Sync {
    /// Lays it down without starting it; twice for one run it is the same. Answers what it is, for [`Lasting::go_on`].
    ///
    /// # Errors
    /// Why it was not.
    async fn lay_down(&self, run: &str, job: &Job) -> Result<String, NotRun>;

    /// Starts what was laid down, or finds it started, and follows it to its end. Ends it when `stop` is ready or its time is over;
    /// when nobody waits for this any more, it goes on.
    ///
    /// # Errors
    /// It was not begun, or nobody can say how it ended.
    async fn go_on(
        &self,
        run: &str,
        laid: &str,
        following: Following,
        tell: Tell<'_>,
        stop: BoxFuture<'_, ()>,
    ) -> Result<Ended, NotRun>;

    /// What became of it, without starting it. What was laid down and not begun is taken back: it never will be.
    ///
    /// # Errors
    /// Nobody can be asked, or not all of it can be told now and may be later.
    async fn recall(&self, run: &str, hidden: &Hidden) -> Result<Memory, String>;

    /// Takes it away, if it is there, and answers when nothing of it runs any longer.
    ///
    /// # Errors
    /// It may still run.
    async fn remove(&self, run: &str) -> Result<(), NotRun>;
}
