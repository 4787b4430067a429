//! A provider as a process of its own, in a folder of its own: this very program, told to run one test alone, which plays
//! the provider's part.

use std::{
    fs::File,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use guichet_provider_sdk::Settings;
use tempfile::TempDir;

use crate::gateway::Gateway;

/// The file that makes a folder one in which a part is played.
const STAGE: &str = "stage-of-a-provider";

/// What the part is played with. None where nobody asked for it: in an ordinary test run.
pub(crate) fn settings() -> Option<Settings> {
    Path::new(STAGE).exists().then(|| Settings::from_env().ok()).flatten()
}

/// The process, which may be dead at the moment, and what it works with.
pub(crate) struct ProviderProcess {
    process: Option<Child>,
    name: &'static str,
    part: &'static str,
    port: u16,
    keys: String,
    folder: TempDir,
}

impl ProviderProcess {
    /// The provider of this name, whose part is played by the test of this path.
    pub(crate) fn unborn(name: &'static str, part: &'static str) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = tempfile::tempdir().unwrap();
        File::create(folder.path().join(STAGE)).unwrap();
        Self { process: None, name, part, port, keys: String::new(), folder }
    }

    /// For the configuration.
    pub(crate) fn table(&self) -> String {
        let Self { name, port, .. } = self;
        format!("[[provider]]\nname = \"{name}\"\nurl = \"http://127.0.0.1:{port}\"\nstrict = true\n")
    }

    /// A file in the folder it works in.
    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// From its next start on it believes this gateway, which has the same keys after each start of its own.
    pub(crate) async fn believe(&mut self, gateway: &Gateway) {
        let keys = gateway.nobody().get("/v1/keys").await.body;
        let keys: Vec<&str> =
            keys["keys"].as_array().unwrap().iter().map(|key| key["public"].as_str().unwrap()).collect();
        self.keys = keys.join(",");
    }

    pub(crate) fn start(&mut self) {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", self.part])
            .env("GUICHET_LISTEN", format!("127.0.0.1:{}", self.port))
            .env("GUICHET_PUBLIC_KEYS", &self.keys)
            .current_dir(self.folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.process = Some(child);
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.process.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

impl Drop for ProviderProcess {
    fn drop(&mut self) {
        self.kill();
    }
}
