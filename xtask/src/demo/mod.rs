//! `cargo xtask demo`: a shop's database with a real problem in it, and the gateway through which its people solve it.
//!
//! Everything is real and nothing stays: a PostgreSQL cluster of our own, sessions that block one another,
//! `guichetd` and `guichet` as they are shipped, all in one temporary folder that is removed at the end, also after
//! Ctrl-C.
//!
//! Begin reading at [`Demo::open`]; `traffic.rs` makes the problem, `script/` solves it.

mod database;
mod gateway;
mod people;
mod script;
mod traffic;
mod welcome;

use std::{fs, path::PathBuf, process::ExitCode, thread, time::Duration};

use anyhow::{Context as _, Result};

use self::{database::Database, gateway::Gateway, people::People, traffic::Traffic};
use crate::{
    cargo::{binary, build_binaries},
    interrupt, prerequisites,
};

pub(crate) use self::script::Summary;

/// What runs. Fields are dropped in this order: first who uses, then what is used.
struct Demo {
    traffic: Traffic,
    gateway: Gateway,
    people: People,
    database: Database,
    folder: PathBuf,
}

impl Demo {
    /// Builds, starts and fills everything. `extra_policies` are added to those of `demo/policy`.
    fn open(extra_policies: &[(&str, &str)]) -> Result<Self> {
        interrupt::listen()?;
        prerequisites::postgresql()?;
        build_binaries()?;
        interrupt::check()?;
        eprintln!("Starting a PostgreSQL of our own and filling the shop.");
        let database = Database::start()?;
        // The cluster's folder is the one folder of the demo: who removes the one removes it all.
        let folder = database.folder().join("demo");
        fs::create_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        eprintln!("Everything is in {} and goes when this ends.", database.folder().display());
        interrupt::check()?;
        let people = People::invite(&folder, &binary("guichetd")?)?;
        gateway::configure(&folder, &people, &database, extra_policies)?;
        eprintln!("Starting guichetd; its log is {}.", folder.join("guichetd.log").display());
        let gateway = Gateway::start(&folder)?;
        let traffic = Traffic::start(&database)?;
        Ok(Self { traffic, gateway, people, database, folder })
    }

    /// Stops and removes everything, and tells when something stays behind.
    fn close(self) -> Result<()> {
        let Self { traffic, gateway, people: _, database, folder: _ } = self;
        drop(traffic);
        gateway.stop()?;
        database.remove()
    }
}

/// Stays up until Ctrl-C.
pub(crate) fn stay_up() -> Result<ExitCode> {
    let mut demo = Demo::open(&[])?;
    println!("{}", welcome::prepare(&demo)?);
    while !interrupt::asked() {
        demo.gateway.check_alive()?;
        thread::sleep(Duration::from_millis(100));
    }
    eprintln!("\nStopping.");
    demo.close()?;
    eprintln!("Nothing is left behind.");
    Ok(ExitCode::SUCCESS)
}

/// Plays the story; succeeds when every step of it came true.
pub(crate) fn play_script() -> Result<ExitCode> {
    let summary = play()?;
    Ok(if summary.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Plays the story.
pub(crate) fn play() -> Result<Summary> {
    let mut demo = Demo::open(script::EXTRA_POLICIES)?;
    let summary = script::play(&mut demo);
    demo.close()?;
    summary
}
