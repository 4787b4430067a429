//! `kill -9` of a provider that is a process of its own, alone and together with the gateway: what it finished is not done
//! again, what it had not goes on, and so does undoing.

use std::{
    fs::{self, File},
    io::Write as _,
    path::Path,
    time::Duration,
};

use guichet_provider_sdk::{ActionError, Context, provider};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    gateway::{Gateway, until},
    person::Person,
    proof::{proven, told},
    provider_process::{self, ProviderProcess},
};

#[derive(Deserialize, Serialize, JsonSchema)]
struct Wall {
    /// How many courses it has.
    courses: u32,
}

/// Each course is laid, and taken away, when a file of its name says so: a story decides in the midst of what it kills.
async fn lay(context: Context, wall: Wall) -> Result<Value, ActionError> {
    for number in 1..=wall.courses {
        context.undo(format!("course {number}"), move || async move {
            told_to(&format!("take {number}")).await;
            note(&format!("took {number}"))
        })?;
        let word = format!("lay {number}");
        let course = || async {
            tokio::select! {
                () = told_to(&word) => note(&format!("laid {number}")),
                () = context.cancelled() => Err(ActionError::cancelled()),
            }
        };
        context.step(format!("course {number}"), course).await?;
    }
    Ok(json!({"courses": wall.courses}))
}

async fn told_to(what: &str) {
    while !Path::new(what).exists() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn note(what: &str) -> Result<(), ActionError> {
    let noted = File::options().create(true).append(true).open("done");
    noted
        .and_then(|mut file| writeln!(file, "{what}"))
        .map_err(|error| ActionError::failed(error.to_string()))
}

/// No story, but the process that the stories start.
#[tokio::test]
async fn the_mason_at_work() {
    let Some(settings) = provider_process::settings() else { return };
    let mason = provider("mason")
        .action("lay", lay)
        .resumable()
        .timeout("10m")
        .command("mason lay")
        .resource("things/wall")
        .done();
    mason.serve(settings).await.unwrap();
}

/// The mason's process, which is told what to do by files in its folder.
struct Mason(ProviderProcess);

impl Mason {
    fn unborn() -> Self {
        Self(ProviderProcess::unborn("mason", "provider_kills::the_mason_at_work"))
    }

    /// Starts it; it believes the gateway that answers now.
    async fn start(&mut self, gateway: &Gateway) {
        self.0.believe(gateway).await;
        self.0.start();
    }

    /// SIGKILL.
    fn kill(&mut self) {
        self.0.kill();
    }

    fn tell(&self, what: &str) {
        File::create(self.0.path(what)).unwrap();
    }

    fn done(&self) -> Vec<String> {
        let done = fs::read_to_string(self.0.path("done")).unwrap_or_default();
        done.lines().map(str::to_owned).collect()
    }
}

/// A gateway, a mason it knows, dana, and her run.
async fn at_work(courses: u32) -> (Gateway, Mason, Person, String) {
    let mut mason = Mason::unborn();
    let gateway = Gateway::started("", &mason.0.table()).await;
    mason.start(&gateway).await;
    let dana = gateway.sign_in("dana").await;
    let run = until("the mason to be known", || async {
        let answer = dana.submit("mason.lay", json!({"courses": courses})).await;
        (answer.status == 202).then(|| answer.id())
    })
    .await;
    (gateway, mason, dana, run)
}

/// Waits until this step of the run is durable.
async fn journaled(dana: &Person, run: &str, step: &str) {
    dana.hears(run, &[&format!("\"{step}\""), "\"done\""]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_provider_goes_on_after_its_last_step_also_when_the_gateway_dies_with_it() {
    let (mut gateway, mut mason, dana, run) = at_work(4).await;
    mason.tell("lay 1");
    journaled(&dana, &run, "course 1").await;
    // In the midst of the second course.
    mason.kill();
    assert_eq!(dana.state(&run).await, "running");
    mason.start(&gateway).await;
    mason.tell("lay 2");
    journaled(&dana, &run, "course 2").await;
    mason.kill();
    gateway.kill();
    gateway.start().await;
    mason.start(&gateway).await;
    mason.tell("lay 3");
    mason.tell("lay 4");
    let ended = dana.end_of(&run).await;
    assert_eq!(ended["state"], "succeeded", "{ended}");
    assert_eq!(ended["outcome"]["result"], json!({"courses": 4}));
    assert_eq!(mason.done(), ["laid 1", "laid 2", "laid 3", "laid 4"], "each once");
    let records = proven(&dana, &[]).await;
    assert_eq!((told(&records, &run, "execute_run"), told(&records, &run, "record_outcome")), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_killed_while_it_undoes_goes_on_undoing() {
    let (mut gateway, mut mason, dana, run) = at_work(3).await;
    mason.tell("lay 1");
    mason.tell("lay 2");
    journaled(&dana, &run, "course 2").await;
    let asked = dana.post(&format!("/v1/runs/{run}/cancel"), json!({"reason": "the wrong wall"})).await;
    assert_eq!(asked.status, 200, "{}", asked.body);
    mason.tell("take 3");
    mason.tell("take 2");
    journaled(&dana, &run, "undo course 2").await;
    mason.kill();
    gateway.kill();
    gateway.start().await;
    mason.start(&gateway).await;
    mason.tell("take 1");
    // Were it to go on laying, it would find that it may.
    mason.tell("lay 3");
    let ended = dana.end_of(&run).await;
    assert_eq!(ended["state"], "cancelled", "{ended}");
    assert_eq!(mason.done(), ["laid 1", "laid 2", "took 3", "took 2", "took 1"]);
    let records = proven(&dana, &[]).await;
    assert_eq!((told(&records, &run, "cancel_run"), told(&records, &run, "record_outcome")), (1, 1));
}
