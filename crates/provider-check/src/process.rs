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
/// How often it is looked for meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The running program. It is ended when this is dropped.
pub(crate) struct Process {
    pub(crate) url: String,
    id: Option<u32>,
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
        let mut child = command
            .args(arguments)
            .env("GUICHET_LISTEN", address.to_string())
            .env("GUICHET_GATEWAY", desk.url())
            .env("GUICHET_TOKEN", &desk.presence().token)
            .env("GUICHET_LEASE_SECONDS", LEASE_SECONDS.to_string())
            .stdin(Stdio::null())
            // What it says is for people; our own output is the report.
            .stdout(std::io::stderr())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| CheckError::Start(format!("`{program}`: {error}")))?;
        let until = Instant::now() + START_TIME;
        while tokio::net::TcpStream::connect(address).await.is_err() {
            if let Ok(Some(status)) = child.try_wait() {
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
        Ok(Self { url: format!("http://{address}"), id: child.id(), child: Mutex::new(child) })
    }

    /// Asks it to stop, as a system does.
    pub(crate) async fn ask_to_stop(&self) -> bool {
        let Some(id) = self.id else { return false };
        let asked = Command::new("kill").args(["-TERM", &id.to_string()]).status().await;
        asked.is_ok_and(|status| status.success())
    }

    /// How it ended, when it does within this time.
    pub(crate) async fn ended(&self, within: Duration) -> Option<ExitStatus> {
        let mut child = self.child.lock().await;
        tokio::time::timeout(within, child.wait()).await.ok()?.ok()
    }

    /// Ends it.
    pub(crate) async fn end(&self) {
        if self.ended(Duration::ZERO).await.is_some() {
            return;
        }
        let _ = self.ask_to_stop().await;
        if self.ended(Duration::from_secs(10)).await.is_none() {
            let _ = self.child.lock().await.kill().await;
        }
    }
}

/// An address that was free a moment ago.
async fn free_address() -> std::io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?.local_addr()
}
