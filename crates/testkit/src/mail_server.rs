//! A real SMTP server for tests: aiosmtpd in a process of its own, on a port the system picks, gone with its owner. There is
//! nobody of the name `gone`, `later` is to be tried another time, and of `hangs` it never says anything.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use anyhow::{Context as _, anyhow};
use serde_json::{Value, json};

const PROGRAM: &str = include_str!("mail_server.py");

/// What the server shall be like.
#[derive(Debug, Clone, Copy, Default)]
pub struct MailServerSetup<'a> {
    /// `none`, `starttls` or `tls`; empty is `none`.
    pub tls: &'a str,
    /// PEM files: certificate and key, when there is TLS.
    pub certificate: Option<(&'a Path, &'a Path)>,
    /// Everybody must sign in with it.
    pub password: Option<&'a str>,
    /// So many mails are turned away at first, with a 451.
    pub refuse_first: u32,
}

/// A server that is running.
pub struct MailServer {
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
    process: Child,
    taken: Arc<Mutex<Vec<Value>>>,
}

impl MailServer {
    /// Starts it.
    ///
    /// # Errors
    /// No Python with aiosmtpd on this machine.
    pub fn start(setup: MailServerSetup<'_>) -> anyhow::Result<Self> {
        let (certificate, key) = setup.certificate.unzip();
        let tls = if setup.tls.is_empty() { "none" } else { setup.tls };
        let settings = json!({
            "tls": tls, "certificate": certificate, "key": key, "password": setup.password,
            "refuse_first": setup.refuse_first,
        });
        let mut process = Command::new(python()?)
            .args(["-c", PROGRAM, &settings.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // It tells of every connection that is cut, at length.
            .stderr(Stdio::null())
            .spawn()
            .context("the mail server cannot be started")?;
        let out = process.stdout.take().ok_or_else(|| anyhow!("the mail server cannot be heard"))?;
        let mut lines = BufReader::new(out).lines();
        let first = lines.next().ok_or_else(|| anyhow!("the mail server said nothing"))??;
        let told: Value = serde_json::from_str(&first)?;
        let port = told["port"].as_u64().and_then(|port| u16::try_from(port).ok());
        let taken: Arc<Mutex<Vec<Value>>> = Arc::default();
        let keep = Arc::clone(&taken);
        thread::spawn(move || {
            for mail in lines.map_while(Result::ok) {
                if let Ok(mail) = serde_json::from_str(&mail) {
                    keep.lock().unwrap_or_else(PoisonError::into_inner).push(mail);
                }
            }
        });
        Ok(Self { port: port.ok_or_else(|| anyhow!("no port in {first}"))?, process, taken })
    }

    /// All mails it took: `from`, `to`, `headers` (by lower-case name), `text`, `tls`, `user`.
    pub fn mails(&self) -> Vec<Value> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The mails to this address.
    pub fn mails_to(&self, address: &str) -> Vec<Value> {
        self.mails().into_iter().filter(|mail| mail["to"][0] == address).collect()
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.process.kill();
        let _ended = self.process.wait();
    }
}

/// Debian's own Python, where `python3-aiosmtpd` goes, else the one on the search path.
fn python() -> anyhow::Result<&'static str> {
    ["/usr/bin/python3", "python3"]
        .into_iter()
        .find(|python| {
            let asked = Command::new(python).args(["-c", "import aiosmtpd"]).stderr(Stdio::null()).status();
            asked.is_ok_and(|status| status.success())
        })
        .ok_or_else(|| {
            anyhow!(
                "no Python here has aiosmtpd, the mail server of these tests; install it (Debian: apt-get install \
                 python3-aiosmtpd; elsewhere: pip install aiosmtpd)"
            )
        })
}
