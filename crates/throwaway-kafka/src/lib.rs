//! An Apache Kafka broker of one's own, for tests and the bench: a single node that is its own controller, in a temporary
//! folder, on ports that the system picks, on loopback only, and gone when its [`Broker`] is dropped or its process dies.
//!
//! It is the real thing, copied from Maven Central beside the build once ([`fetch`]); a machine without Java says so
//! ([`missing`]). Not for data that anyone wants to keep.
//!
//! Begin reading at [`Broker::start`].

mod distribution;

use std::{
    fmt::Write as _,
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use guichet_throwaway_janitor::Janitor;

pub use crate::distribution::{fetch, missing};

/// Who may sign in at the listeners that ask for it.
pub const USER: &str = "guichet";
/// Their password; the broker listens on loopback and lives for minutes.
pub const PASSWORD: &str = "throwaway";
/// How often other ports are tried when someone took the first.
const TRIES: u8 = 3;
/// How long a broker may take to answer, on a machine that is busy.
const STARTS_WITHIN: Duration = Duration::from_mins(2);

/// What a broker is given.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// Certificate chain and key (PKCS #8) of its TLS listener, as PEM; without them it has none.
    pub tls: Option<(String, String)>,
    /// Most that its heap may have, MiB; 0 for 400.
    pub heap_mib: u32,
    /// The port on 127.0.0.1 by which it has its clients call it back, where that is not its own: a proxy's.
    pub advertised: Option<u16>,
    /// Further lines of `server.properties`.
    pub properties: String,
}

/// A running broker. Dropping it ends it and removes its folder.
#[derive(Debug)]
pub struct Broker {
    dir: PathBuf,
    jars: PathBuf,
    heap_mib: u32,
    ports: Ports,
    process: Option<Child>,
    janitor: Janitor,
}

#[derive(Debug, Clone, Copy)]
struct Ports {
    plain: u16,
    sasl: u16,
    tls: u16,
    controller: u16,
}

impl Broker {
    /// A broker with a listener for everybody, and one that asks for [`USER`] and [`PASSWORD`] (PLAIN, SCRAM). Takes some
    /// seconds.
    ///
    /// # Errors
    /// No Java, no classes, no port; what the broker wrote is in the words.
    pub fn start() -> Result<Self> {
        Self::start_with(&Setup::default())
    }

    /// The same, with what is given.
    ///
    /// # Errors
    /// As [`Broker::start`].
    pub fn start_with(setup: &Setup) -> Result<Self> {
        let jars = fetch()?;
        let dir = tempfile::Builder::new().prefix("throwaway-kafka-").tempdir()?.keep();
        let janitor = Janitor::hire(&dir, &[])?;
        let heap_mib = if setup.heap_mib == 0 { 400 } else { setup.heap_mib };
        let ports = Ports::free()?;
        let mut broker = Self { dir, jars, heap_mib, ports, process: None, janitor };
        broker.configure(setup)?;
        broker.format()?;
        let mut last = anyhow::anyhow!("no port was tried");
        for _ in 0..TRIES {
            match broker.start_again() {
                Ok(()) => return Ok(broker),
                Err(error) => last = error.context(broker.log()),
            }
            broker.kill()?;
            broker.ports = Ports::free()?;
            broker.configure(setup)?;
        }
        Err(last.context("Kafka does not start"))
    }

    /// `127.0.0.1:port` of the listener that asks for nothing.
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.ports.plain)
    }

    /// `127.0.0.1:port` of the listener that asks who is there, without TLS.
    pub fn bootstrap_sasl(&self) -> String {
        format!("127.0.0.1:{}", self.ports.sasl)
    }

    /// `localhost:port` of the listener with TLS that asks who is there, when a certificate was given.
    pub fn bootstrap_tls(&self) -> String {
        format!("localhost:{}", self.ports.tls)
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What it has written to its log so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    /// Resident memory of the broker, KiB; 0 when that cannot be told.
    pub fn resident_kib(&self) -> u64 {
        let Some(process) = &self.process else { return 0 };
        let status = fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    }

    /// Ends it with SIGKILL; its folder stays until the drop.
    ///
    /// # Errors
    /// The process cannot be ended.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            process.kill().context("the broker cannot be killed")?;
            let _ = process.wait().context("the broker cannot be waited for")?;
            self.janitor.forget(process.id())?;
        }
        Ok(())
    }

    /// Stops its threads where they are: it takes connections and answers nobody. [`Broker::thaw`] lets it go on.
    ///
    /// # Errors
    /// It does not run.
    pub fn freeze(&self) -> Result<()> {
        self.signal("-STOP")
    }

    /// Lets it go on after [`Broker::freeze`].
    ///
    /// # Errors
    /// It does not run.
    pub fn thaw(&self) -> Result<()> {
        self.signal("-CONT")
    }

    /// Starts it on the same ports after [`Broker::kill`], with all that it had written.
    ///
    /// # Errors
    /// It does not answer; its log says why.
    pub fn start_again(&mut self) -> Result<()> {
        ensure!(self.process.is_none(), "the broker runs already");
        let log = fs::File::create(self.dir.join("log")).context("cannot write the broker's log")?;
        let mut java = self.java();
        java.arg("kafka.Kafka").arg(self.dir.join("server.properties"));
        self.process = Some(self.janitor.start(&java, (log.try_clone()?.into(), log.into()))?);
        self.until_it_answers()
    }

    fn signal(&self, signal: &str) -> Result<()> {
        let process = self.process.as_ref().context("the broker does not run")?;
        let status = Command::new("kill").args([signal, &process.id().to_string()]).status()?;
        ensure!(status.success(), "the broker cannot be sent {signal}");
        Ok(())
    }

    /// The ports are opened only when the node is registered and its state is read, one after the other.
    fn until_it_answers(&mut self) -> Result<()> {
        let begun = Instant::now();
        let answers = |port: u16| {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok()
        };
        loop {
            if answers(self.ports.plain) && answers(self.ports.sasl) {
                return Ok(());
            }
            let process = self.process.as_mut().context("the broker does not run")?;
            if let Some(status) = process.try_wait()? {
                self.janitor.forget(process.id())?;
                self.process = None;
                bail!("java ended with {status}");
            }
            ensure!(begun.elapsed() < STARTS_WITHIN, "it does not answer");
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn java(&self) -> Command {
        let mut java = Command::new("java");
        java.arg(format!("-Xmx{}m", self.heap_mib));
        // It lives for minutes, beside a build: quick to start, few threads.
        java.args(["-Xms64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"]);
        java.args(["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Djava.awt.headless=true"]);
        java.arg("-cp").arg(self.jars.join("*")).current_dir(&self.dir);
        java
    }

    fn configure(&self, setup: &Setup) -> Result<()> {
        let Ports { plain, sasl, tls, controller } = self.ports;
        let mut listeners = format!("PLAIN://127.0.0.1:{plain},SASL://127.0.0.1:{sasl}");
        let mut security = "PLAIN:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_PLAINTEXT".to_owned();
        let login =
            |module: &str, user: &str| format!("org.apache.kafka.common.security.{module} required{user};\n");
        let plain_login = login("plain.PlainLoginModule", &format!(" user_{USER}=\"{PASSWORD}\""));
        let scram_login = login("scram.ScramLoginModule", "");
        let mut more = String::new();
        let mut ask = |listener: &str| {
            let _ = write!(
                more,
                "listener.name.{listener}.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512\n\
                 listener.name.{listener}.plain.sasl.jaas.config={plain_login}\
                 listener.name.{listener}.scram-sha-256.sasl.jaas.config={scram_login}\
                 listener.name.{listener}.scram-sha-512.sasl.jaas.config={scram_login}",
            );
        };
        ask("sasl");
        if let Some((chain, key)) = &setup.tls {
            let _ = write!(listeners, ",TLS://127.0.0.1:{tls}");
            security.push_str(",TLS:SASL_SSL");
            ask("tls");
            fs::write(self.dir.join("server.pem"), format!("{key}\n{chain}"))?;
            let _ = writeln!(
                more,
                "listener.name.tls.ssl.keystore.type=PEM\nlistener.name.tls.ssl.keystore.location={}",
                self.dir.join("server.pem").display()
            );
        }
        let mut advertised = listeners.replace("TLS://127.0.0.1", "TLS://localhost");
        if let Some(port) = setup.advertised {
            advertised = advertised
                .replace(&format!("PLAIN://127.0.0.1:{plain}"), &format!("PLAIN://127.0.0.1:{port}"));
        }
        let properties = format!(
            "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:{controller}\n\
             listeners={listeners},CONTROLLER://127.0.0.1:{controller}\nadvertised.listeners={advertised}\n\
             listener.security.protocol.map={security}\ncontroller.listener.names=CONTROLLER\n\
             inter.broker.listener.name=PLAIN\nlog.dirs={data}\n{more}\
             offsets.topic.replication.factor=1\noffsets.topic.num.partitions=4\n\
             transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n\
             transaction.state.log.num.partitions=1\nshare.coordinator.state.topic.replication.factor=1\n\
             share.coordinator.state.topic.min.isr=1\nshare.coordinator.state.topic.num.partitions=1\n\
             group.initial.rebalance.delay.ms=0\nauto.create.topics.enable=false\ndelete.topic.enable=true\n\
             num.network.threads=2\nnum.io.threads=2\nbackground.threads=2\nlog.cleaner.enable=false\n\
             log.index.size.max.bytes=65536\nfile.delete.delay.ms=100\n{given}\n",
            data = self.dir.join("data").display(),
            given = setup.properties,
        );
        fs::write(self.dir.join("server.properties"), properties).context("cannot write the settings")
    }

    fn format(&self) -> Result<()> {
        let mut format = self.java();
        format.args(["kafka.tools.StorageTool", "format", "--cluster-id", "Z3VpY2hldC10aHJvd2F3YQ"]);
        format.arg("--config").arg(self.dir.join("server.properties"));
        for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
            format.arg("--add-scram").arg(format!("{mechanism}=[name={USER},password={PASSWORD}]"));
        }
        let output = format.stdin(Stdio::null()).output().context("cannot run java")?;
        ensure!(
            output.status.success(),
            "Kafka's folder cannot be prepared: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // The janitor, dropped next, removes the folder.
        drop(self.kill());
    }
}

impl Ports {
    fn free() -> Result<Self> {
        // All held at once, or the system would hand out one twice.
        let held: Result<Vec<TcpListener>, _> =
            (0..4).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect();
        let ports: Result<Vec<u16>, _> =
            held?.iter().map(|held| held.local_addr().map(|address| address.port())).collect();
        let [plain, sasl, tls, controller] = ports?[..] else { bail!("four ports were asked for") };
        Ok(Self { plain, sasl, tls, controller })
    }
}
