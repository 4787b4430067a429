//! A Kubernetes control plane of one's own, for tests: etcd, kube-apiserver, kube-controller-manager and kube-scheduler, in a
//! temporary folder, on ports that the system picks, on loopback only, and gone when its [`ControlPlane`] is dropped or its
//! process dies.
//!
//! It is the real thing, built from Kubernetes' own Go modules beside our build once ([`fetch`]). It has no nodes: no kubelet and no
//! containers, which need more rights than a test has. Not for data that anyone wants to keep.
//!
//! Begin reading at [`ControlPlane::start`].

mod distribution;
mod papers;

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use guichet_throwaway_janitor::Janitor;

use crate::papers::Papers;

pub use crate::{
    distribution::{fetch, missing},
    papers::Paper,
};

/// Who may do everything.
pub const ADMIN: &str = "admin";
/// Who may do what the rules of the cluster say, which are none at first.
pub const PROVIDER: &str = "provider";
/// How long the programs may take to answer, on a machine that is busy.
const STARTS_WITHIN: Duration = Duration::from_mins(3);

/// A running control plane. Dropping it ends it and removes its folder.
#[derive(Debug)]
pub struct ControlPlane {
    dir: PathBuf,
    program: PathBuf,
    ports: Ports,
    papers: Papers,
    api_server: Option<Child>,
    others: Vec<Child>,
    janitor: Janitor,
}

#[derive(Debug, Clone, Copy)]
struct Ports {
    api: u16,
    etcd: u16,
    peer: u16,
}

impl ControlPlane {
    /// All of it, ready for calls. Takes some ten seconds.
    ///
    /// # Errors
    /// It is not built and cannot be; no port; what the programs wrote is in the words.
    pub fn start() -> Result<Self> {
        let program = fetch()?;
        let dir = tempfile::Builder::new().prefix("throwaway-kubernetes-").tempdir()?.keep();
        let janitor = Janitor::hire(&dir, &[])?;
        let papers = Papers::write(&dir)?;
        fs::write(
            dir.join("tokens.csv"),
            format!("{ADMIN},{ADMIN},1,\"system:masters\"\n{PROVIDER},{PROVIDER},2\n"),
        )?;
        let ports = Ports::free()?;
        let mut plane = Self { dir, program, ports, papers, api_server: None, others: Vec::new(), janitor };
        let etcd = plane.etcd()?;
        plane.others.push(etcd);
        plane.start_api_server()?;
        for name in ["kube-controller-manager", "kube-scheduler"] {
            let child = plane.controller(name)?;
            plane.others.push(child);
        }
        Ok(plane)
    }

    /// A kubeconfig for whoever shows this token: [`ADMIN`] or [`PROVIDER`].
    pub fn kubeconfig(&self, token: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: it\ncontexts: [{{name: it, context: {{cluster: it, user: it}}}}]\n\
             clusters:\n- name: it\n  cluster:\n    server: https://127.0.0.1:{port}\n    certificate-authority: {authority}\n\
             users:\n- name: it\n  user: {{token: {token}}}\n",
            port = self.ports.api,
            authority = self.dir.join("authority.pem").display(),
        )
    }

    /// What a kubelet shows to the API server, which asks it for logs.
    pub fn kubelet_paper(&self) -> &Paper {
        &self.papers.kubelet
    }

    /// The certificate of who has signed all of them, as PEM.
    pub fn authority(&self) -> &str {
        &self.papers.authority
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What one of its programs wrote to its log so far.
    pub fn log(&self, name: &str) -> String {
        fs::read_to_string(self.dir.join(format!("{name}.log"))).unwrap_or_default()
    }

    /// Ends the API server with SIGKILL; what it wrote stays in etcd.
    ///
    /// # Errors
    /// The process cannot be ended.
    pub fn kill_api_server(&mut self) -> Result<()> {
        if let Some(mut process) = self.api_server.take() {
            process.kill().context("the API server cannot be killed")?;
            let _ = process.wait().context("the API server cannot be waited for")?;
            self.janitor.forget(process.id())?;
        }
        Ok(())
    }

    /// Starts it on the same port after [`ControlPlane::kill_api_server`], and waits until it is ready.
    ///
    /// # Errors
    /// It does not get ready; its log says why.
    pub fn start_api_server(&mut self) -> Result<()> {
        ensure!(self.api_server.is_none(), "the API server runs already");
        let at = |name: &str| self.dir.join(name).display().to_string();
        let mut command = self.command("kube-apiserver");
        command.args([
            format!("--etcd-servers=http://127.0.0.1:{}", self.ports.etcd),
            format!("--secure-port={}", self.ports.api),
            format!("--tls-cert-file={}", at("server.pem")),
            format!("--tls-private-key-file={}", at("server.key")),
            format!("--client-ca-file={}", at("authority.pem")),
            format!("--token-auth-file={}", at("tokens.csv")),
            format!("--service-account-signing-key-file={}", at("accounts.key")),
            format!("--service-account-key-file={}", at("accounts.pem")),
            format!("--kubelet-certificate-authority={}", at("authority.pem")),
            format!("--kubelet-client-certificate={}", at("caller.pem")),
            format!("--kubelet-client-key={}", at("caller.key")),
        ]);
        command.args([
            "--service-account-issuer=https://throwaway.invalid",
            "--authorization-mode=RBAC",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--endpoint-reconciler-type=none",
            "--kubelet-preferred-address-types=InternalIP",
            "--shutdown-delay-duration=0s",
        ]);
        let child = self.spawn("kube-apiserver", &command)?;
        self.api_server = Some(child);
        self.until_ready()
    }

    fn etcd(&mut self) -> Result<Child> {
        let mut command = self.command("etcd");
        let (client, peer) = (self.ports.etcd, self.ports.peer);
        command.args([
            format!("--data-dir={}", self.dir.join("etcd").display()),
            format!("--listen-client-urls=http://127.0.0.1:{client}"),
            format!("--advertise-client-urls=http://127.0.0.1:{client}"),
            format!("--listen-peer-urls=http://127.0.0.1:{peer}"),
            format!("--initial-advertise-peer-urls=http://127.0.0.1:{peer}"),
            format!("--initial-cluster=default=http://127.0.0.1:{peer}"),
            "--unsafe-no-fsync=true".to_owned(),
        ]);
        self.spawn("etcd", &command)
    }

    fn controller(&mut self, name: &str) -> Result<Child> {
        let kubeconfig = self.dir.join("admin.kubeconfig");
        fs::write(&kubeconfig, self.kubeconfig(ADMIN))?;
        let mut command = self.command(name);
        command.arg(format!("--kubeconfig={}", kubeconfig.display()));
        command.args([
            "--leader-elect=false",
            "--secure-port=0",
            "--kube-api-qps=200",
            "--kube-api-burst=400",
        ]);
        if name == "kube-controller-manager" {
            command.args([
                "--controllers=job-controller,garbage-collector-controller,ttl-after-finished-controller,\
                 serviceaccount-controller,namespace-controller,pod-garbage-collector-controller",
            ]);
        }
        self.spawn(name, &command)
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(name).current_dir(&self.dir).stdin(Stdio::null());
        // Two processors are shared with whoever tests.
        command.env("GOMAXPROCS", "2");
        command
    }

    fn spawn(&mut self, name: &str, command: &Command) -> Result<Child> {
        let log =
            fs::OpenOptions::new().create(true).append(true).open(self.dir.join(format!("{name}.log")))?;
        let outputs = (log.try_clone()?.into(), log.into());
        self.janitor.start(command, outputs).with_context(|| format!("cannot start {name}"))
    }

    fn until_ready(&mut self) -> Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < STARTS_WITHIN {
            if let Some(child) = &mut self.api_server
                && let Some(status) = child.try_wait()?
            {
                bail!("the API server ended with {status}: {}", last_lines(&self.log("kube-apiserver")));
            }
            if self.is_ready() {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(100));
        }
        bail!("the API server is not ready in time: {}", last_lines(&self.log("kube-apiserver")))
    }

    /// Asked by curl, so that this room needs no TLS of its own.
    fn is_ready(&self) -> bool {
        let port = self.ports.api;
        if TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), Duration::from_secs(1))
            .is_err()
        {
            return false;
        }
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--fail", "--max-time", "5", "--cacert"]).arg(self.dir.join("authority.pem"));
        curl.args(["--header", &format!("Authorization: Bearer {ADMIN}")]);
        curl.arg(format!("https://127.0.0.1:{port}/readyz")).stdin(Stdio::null());
        curl.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        drop(self.kill_api_server());
        for child in &mut self.others {
            let _ = child.kill();
            if child.wait().is_ok() {
                drop(self.janitor.forget(child.id()));
            }
        }
        // The janitor, dropped next, removes the folder.
    }
}

fn last_lines(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines.get(lines.len().saturating_sub(15)..).unwrap_or_default().join("\n")
}

impl Ports {
    fn free() -> Result<Self> {
        // All held at once, or the system would hand out one twice.
        let held: Result<Vec<TcpListener>, _> =
            (0..3).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect();
        let ports: Result<Vec<u16>, _> =
            held?.iter().map(|held| held.local_addr().map(|address| address.port())).collect();
        let [api, etcd, peer] = ports?[..] else { bail!("three ports were asked for") };
        Ok(Self { api, etcd, peer })
    }
}
