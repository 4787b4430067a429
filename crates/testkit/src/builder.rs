//! A provider whose action takes long and goes on after any of its processes died. What each step did outlives them.

use std::{
    io::ErrorKind,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::Context as _;
use guichet_provider_sdk::{ActionError, Context, KeyRing, Keys, Provider, provider, with};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::{net::TcpListener, runtime::Runtime};

use crate::bench::Bench;

/// The world in which things are built.
#[derive(Clone, Default)]
pub struct Builder {
    done: Arc<Mutex<Vec<String>>>,
    attempts: Arc<Mutex<usize>>,
    /// Whom its processes believe.
    pub keys: Arc<KeyRing>,
}

#[derive(Deserialize, Serialize, JsonSchema)]
struct Build {
    /// Name of what is built.
    name: String,
    /// How many steps it takes.
    #[schemars(range(min = 1, max = 20))]
    steps: u32,
    /// How long each takes, milliseconds.
    #[serde(default)]
    #[schemars(range(max = 60_000))]
    step_milliseconds: u64,
    /// How long it sleeps after the first step, milliseconds.
    #[serde(default)]
    #[schemars(range(max = 86_400_000))]
    sleep_milliseconds: u64,
    /// The step that fails, from 1.
    #[serde(default)]
    breaks_at: u32,
}

impl Builder {
    /// What was done, in order: `NAME 1`, `undo NAME 1`.
    pub fn done(&self) -> Vec<String> {
        lock(&self.done).clone()
    }

    /// How often a handler was begun.
    pub fn attempts(&self) -> usize {
        *lock(&self.attempts)
    }

    /// `builder`: `build` (resumable, 10 minutes), `paint` (long, not resumable), `knock` (idempotent, 20 s).
    pub fn provider(&self) -> Provider {
        provider("builder")
            .action("build", with(self, build))
            .resumable()
            .timeout("10m")
            .command("builder build")
            .resource("things/{name}")
            .action("paint", with(self, build))
            .long()
            .timeout("10m")
            .command("builder paint")
            .resource("things/{name}")
            .action("knock", with(self, build))
            .idempotent()
            .timeout("20s")
            .command("builder knock")
            .resource("things/{name}")
            .done()
    }

    /// Its processes believe this gateway from now on.
    ///
    /// # Errors
    /// The gateway does not tell its keys.
    pub async fn believe(&self, bench: &Bench) -> anyhow::Result<()> {
        let published = bench.nobody()?.get("/v1/keys").await?.body;
        let keys = published["keys"].as_array().context("no keys")?;
        self.keys.replace(keys.iter().filter_map(|key| key["public"].as_str()))?;
        Ok(())
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn build(builder: Builder, context: Context, build: Build) -> Result<Value, ActionError> {
    *lock(&builder.attempts) += 1;
    for number in 1..=build.steps {
        let what = format!("{} {number}", build.name);
        let (world, undone) = (builder.clone(), what.clone());
        context.undo(format!("step {number}"), move || async move {
            lock(&world.done).push(format!("undo {undone}"));
            Ok(())
        })?;
        let work = || async {
            tokio::time::sleep(Duration::from_millis(build.step_milliseconds)).await;
            if build.breaks_at == number {
                return Err(ActionError::conflict(format!("{what} breaks")));
            }
            lock(&builder.done).push(what.clone());
            Ok(number)
        };
        let _: u32 = context.step(format!("step {number}"), work).await?;
        context.progress(f64::from(number) / f64::from(build.steps) * 100.0, &what);
        if number == 1 && build.sleep_milliseconds > 0 {
            context.sleep("settle", Duration::from_millis(build.sleep_milliseconds)).await?;
        }
    }
    Ok(json!({"built": build.name}))
}

/// A provider with threads, sockets and memory of its own, all of which are gone when it is killed.
pub struct Mortal {
    runtime: Option<Runtime>,
    address: SocketAddr,
}

impl Mortal {
    /// Born at a free port.
    ///
    /// # Errors
    /// No port, no threads.
    pub async fn born(provider: Provider, keys: &Arc<KeyRing>) -> anyhow::Result<Self> {
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        Self::born_at(nowhere, provider, keys).await
    }

    async fn born_at(address: SocketAddr, provider: Provider, keys: &Arc<KeyRing>) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let keys = Keys::shared(Arc::clone(keys));
        let listening = runtime.spawn(async move {
            // The threads of the one that died close its port behind its back.
            let mut tries = 0;
            let listener = loop {
                match TcpListener::bind(address).await {
                    Err(error) if error.kind() == ErrorKind::AddrInUse && tries < 200 => {
                        tries += 1;
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                    bound => break bound?,
                }
            };
            let address = listener.local_addr()?;
            let router = provider.router(keys);
            drop(tokio::spawn(async move { axum::serve(listener, router).await }));
            Ok::<_, std::io::Error>(address)
        });
        let address = listening.await??;
        Ok(Self { runtime: Some(runtime), address })
    }

    /// Where it answers.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// As `kill -9` does it.
    pub fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    /// Another process at the same port.
    ///
    /// # Errors
    /// The port is taken.
    pub async fn born_again(
        &mut self,
        provider: impl Fn() -> Provider,
        keys: &Arc<KeyRing>,
    ) -> anyhow::Result<()> {
        self.kill();
        let mut tries = 0;
        loop {
            match Self::born_at(self.address, provider(), keys).await {
                Ok(mut other) => {
                    self.runtime = other.runtime.take();
                    return Ok(());
                }
                Err(error) if tries == 50 => return Err(error),
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
            tries += 1;
        }
    }
}

impl Drop for Mortal {
    fn drop(&mut self) {
        self.kill();
    }
}
