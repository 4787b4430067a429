//! A provider that the kit starts, stops, and ends.

use std::{
    net::{Ipv4Addr, SocketAddr},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use tokio::{
    net::TcpListener,
    process::{Child, Command},
    sync::Mutex,
    time::Instant,
};

use crate::{CheckError, keys::KeyDesk, presence::LEASE_SECONDS};

/// How long it may take until it listens: it may be compiled first.
const START_TIME: Duration = Duration::from_mins(2);
/// How long it may take to end once it was asked to, before it is made to.
const END_TIME: Duration = Duration::from_secs(10);
/// How often it is looked for meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The running program, with all that it started: a command such as `go run` starts the provider and does not pass signals
/// on, so they are one process group. It is ended when this is dropped.
pub(crate) struct Process {
    pub(crate) url: String,
    address: SocketAddr,
    group: Option<u32>,
    child: Mutex<Child>,
}

impl Process {
    /// Starts it and waits until it listens.
    pub(crate) async fn start(words: &[String], desk: &KeyDesk) -> Result<Self, CheckError> {
        let Some((program, arguments)) = words.split_first() else {
            return Err(CheckError::Start("no command is given after `--`".to_owned()));
        };
        let address = free_address().await.map_err(|error| CheckError::Start(error.to_string()))?;
        let mut command = Command::new(program);
        for other in
            ["GUICHET_PUBLIC_KEYS", "GUICHET_ISSUER", "GUICHET_TOKEN_FILE", "GUICHET_URL", "GUICHET_INSECURE"]
        {
            let _ = command.env_remove(other);
        }
        #[cfg(unix)]
        let _ = command.process_group(0);
        let child = command
            .args(arguments)
            .env("GUICHET_LISTEN", address.to_string())
            .env("GUICHET_GATEWAY", desk.url())
            // In the place of that of whoever runs the kit, to whose gateway it belongs.
            .env("GUICHET_TOKEN", &desk.presence().token)
            .env("GUICHET_LEASE_SECONDS", LEASE_SECONDS.to_string())
            .stdin(Stdio::null())
            // What it says is for people; our own output is the report.
            .stdout(std::io::stderr())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| CheckError::Start(format!("`{program}`: {error}")))?;
        let (url, group) = (format!("http://{address}"), child.id());
        let mut started = Self { url, address, group, child: Mutex::new(child) };
        let until = Instant::now() + START_TIME;
        while !started.listens().await {
            if let Ok(Some(status)) = started.child.get_mut().try_wait() {
                return Err(CheckError::Start(format!(
                    "`{program}` ended ({status}) before it listened on {address}, which GUICHET_LISTEN told it; its words are \
                     above"
                )));
            }
            if Instant::now() > until {
                return Err(CheckError::Start(format!(
                    "`{program}` does not listen on {address} after 120 s; GUICHET_LISTEN told it to"
                )));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(started)
    }

    /// Asks it to stop, as a system does.
    pub(crate) async fn ask_to_stop(&self) -> bool {
        let Some(group) = self.group else { return false };
        let asked = Command::new("kill").args(["-TERM", "--", &format!("-{group}")]).status().await;
        asked.is_ok_and(|status| status.success())
    }

    /// Whether nobody listens at its address any more, now or within this time.
    pub(crate) async fn refuses(&self, within: Duration) -> bool {
        let until = Instant::now() + within;
        while self.listens().await {
            if Instant::now() >= until {
                return false;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        true
    }

    async fn listens(&self) -> bool {
        tokio::net::TcpStream::connect(self.address).await.is_ok()
    }

    /// How it ended, when it does within this time.
    pub(crate) async fn ended(&self, within: Duration) -> Option<ExitStatus> {
        let mut child = self.child.lock().await;
        tokio::time::timeout(within, child.wait()).await.ok()?.ok()
    }

    /// Ends it.
    pub(crate) async fn end(&self) {
        if self.is_over(Duration::ZERO).await {
            return;
        }
        let _ = self.ask_to_stop().await;
        if !self.is_over(END_TIME).await {
            self.kill();
            let _ = self.child.lock().await.kill().await;
        }
    }

    async fn is_over(&self, within: Duration) -> bool {
        self.ended(within).await.is_some() && self.refuses(within).await
    }

    /// Does not ask.
    fn kill(&self) {
        if let Some(group) = self.group {
            let mut kill = std::process::Command::new("kill");
            let _ = kill.args(["-KILL", "--", &format!("-{group}")]).stderr(Stdio::null()).status();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let runs = matches!(self.child.get_mut().try_wait(), Ok(None));
        if runs || std::net::TcpStream::connect(self.address).is_ok() {
            self.kill();
        }
    }
}

/// An address that was free a moment ago.
async fn free_address() -> std::io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?.local_addr()
}
