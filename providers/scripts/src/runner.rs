//! What performs a script: a process on this machine, or something else that can be put in its place.

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
    /// Its arguments, none of them read by a shell.
    pub arguments: Vec<String>,
    /// Its environment. A runner adds `PATH`, `LANG` and `HOME`, and nothing else.
    pub environment: Vec<(String, String)>,
    /// What it reads on standard input.
    pub input: Vec<u8>,
    /// How long it may take.
    pub time: Duration,
    /// What is replaced by `[redacted]` wherever it appears in the output.
    pub hidden: Vec<String>,
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

/// Hears each line of output.
pub type Tell<'a> = &'a (dyn Fn(&str) + Send + Sync);

/// Something that performs programs.
#[async_trait]
pub trait Runner: Send + Sync {
    /// Runs it to its end, and ends it when `stop` is ready, when its time is over, or when nobody waits for this any more. When
    /// this answers, nothing that was started for it runs any longer.
    ///
    /// # Errors
    /// Why it was not begun; then nothing was done.
    async fn run(&self, job: Job, tell: Tell<'_>, stop: BoxFuture<'_, ()>) -> Result<Ended, String>;
}
