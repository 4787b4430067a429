//! A full and a read-only disk, on a tiny tmpfs of the test's own. Needs the right to mount.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

use guichet_testkit::skipped;
use serde_json::json;
use tempfile::TempDir;

use crate::{
    gateway::{Gateway, until},
    proof::proven,
};

/// A disk of some megabytes; unmounted when dropped.
pub(crate) struct Disk {
    folder: TempDir,
}

impl Disk {
    /// None where mounting is not permitted, which is told.
    fn small() -> Option<Self> {
        Self::of("size=6m,mode=0700")
    }

    /// The same, with these options of a tmpfs.
    pub(crate) fn of(options: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "guichet-test"])
            .arg(folder.path())
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self { folder }),
            other => {
                skipped(&format!("a tmpfs cannot be mounted ({other:?}); run as root"));
                None
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// As the first line of a configuration.
    fn as_data(&self) -> String {
        format!("data = \"{}\"", self.path().display())
    }

    /// To the last byte.
    pub(crate) fn fill(&self) -> Filler {
        let path = self.path().join("filler");
        let mut file = File::create(&path).unwrap();
        for size in [65_536, 4_096, 1] {
            let block = vec![b'x'; size];
            while file.write_all(&block).is_ok() {}
        }
        Filler(path)
    }

    fn remount(&self, how: &str) {
        let output =
            Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(self.path()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(self.path()).status();
        assert!(std::thread::panicking() || unmounted.is_ok_and(|status| status.success()), "still mounted");
    }
}

/// Takes all space until it is dropped.
pub(crate) struct Filler(PathBuf);

impl Drop for Filler {
    fn drop(&mut self) {
        fs::remove_file(&self.0).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_full_disk_nothing_is_done_nothing_is_lost_and_no_restart_is_needed() {
    let Some(disk) = Disk::small() else { return };
    let gateway = Gateway::started(&disk.as_data(), "").await;
    let (dana, omar) = (gateway.sign_in("dana").await, gateway.sign_in("omar").await);
    let before = dana.submitted("things.change-item", json!({"name": "before"})).await;
    dana.end_of(&before).await;
    let waiting = dana.submitted("things.destroy-item", json!({"name": "waiting"})).await;
    let running = dana.submitted("things.slow-change", json!({"name": "running", "milliseconds": 700})).await;
    until("the call", || async { (gateway.providers.calls.of(&running) == 1).then_some(()) }).await;

    let filler = disk.fill();
    let refused = dana.submit("things.change-item", json!({"name": "full"})).await;
    assert_eq!((refused.status.as_u16(), refused.code()), (503, "store-unavailable"), "{}", refused.body);
    assert!(refused.body["detail"].as_str().unwrap().contains("nothing was changed"), "{}", refused.body);
    assert!(refused.body["next"].as_str().unwrap().contains("nothing was done"), "{}", refused.body);
    let approve = format!("/v1/runs/{waiting}/approve");
    let unheard = omar.post(&approve, json!({})).await;
    assert_eq!((unheard.status.as_u16(), unheard.code()), (503, "store-unavailable"), "{}", unheard.body);
    assert_eq!(dana.get("/readyz").await.status, 503);
    assert_eq!(dana.state(&before).await, "succeeded", "what is there can be read");
    assert_eq!(dana.state(&waiting).await, "awaiting_approval");
    until("the effect", || async { (gateway.providers.effects.count("running") == 1).then_some(()) }).await;
    assert_eq!(dana.state(&running).await, "running", "its outcome cannot be written yet");
    drop(filler);

    let after = dana.submitted("things.change-item", json!({"name": "after"})).await;
    assert_eq!(dana.end_of(&after).await["state"], "succeeded", "without a restart");
    assert_eq!(omar.post(&approve, json!({})).await.status, 200);
    for run in [&waiting, &running] {
        let ended = dana.end_of(run).await;
        assert_eq!(ended["state"], "succeeded", "the outcome was kept until it could be written: {ended}");
    }
    assert_eq!(dana.get("/readyz").await.status, 200);
    let counts =
        ["before", "waiting", "running", "full", "after"].map(|item| gateway.providers.effects.count(item));
    assert_eq!(counts, [1, 1, 1, 0, 1]);
    assert_eq!(dana.all("/v1/runs").await.len(), 4, "what was refused left no run");
    proven(&dana, &[]).await;
    gateway.logged(&["disk is full", "free some space"]).await;
    drop(gateway);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_disk_that_is_full_or_read_only_it_does_not_start_and_says_why() {
    let Some(disk) = Disk::small() else { return };
    let mut gateway = Gateway::started(&disk.as_data(), "").await;
    let dana = gateway.sign_in("dana").await;
    let run = dana.submitted("things.change-item", json!({"name": "a"})).await;
    dana.end_of(&run).await;
    gateway.kill();

    disk.remount("ro");
    let (code, said) = gateway.refused();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&disk.path().display().to_string()), "{said}");
    assert!(said.to_lowercase().contains("read-only"), "{said}");
    disk.remount("rw");

    let filler = disk.fill();
    let (code, said) = gateway.refused();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("full") && said.contains("free some space"), "{said}");
    drop(filler);

    gateway.start().await;
    assert_eq!(dana.run(&run).await["state"], "succeeded");
    let again = dana.submitted("things.change-item", json!({"name": "b"})).await;
    assert_eq!(dana.end_of(&again).await["state"], "succeeded");
    proven(&dana, &[]).await;
    drop(gateway);
}
