//! The conformance kit's own actions (`docs/conformance.md`): with them `guichet provider check` can try every case. The same
//! program in Python and Go is beside their SDKs; a fourth language begins with this one.
//!
//! ```text
//! guichet provider check -- cargo run -p guichet-examples --bin conformance_provider
//! ```

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use guichet_provider_sdk::{ActionError, Context, Plan, Principal, Provider, Settings, provider, with};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What was done, and how often: the kit asks for it.
#[derive(Clone, Default)]
struct Effects(Arc<Mutex<BTreeMap<String, u64>>>);

impl Effects {
    fn happened(&self, name: impl Into<String>) -> u64 {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(name.into()).or_default();
        *count += 1;
        *count
    }
    fn of(&self, name: &str) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).copied().unwrap_or_default()
    }
}

#[derive(Deserialize, Serialize, JsonSchema)]
struct Echo {
    word: String,
    #[schemars(range(min = 1, max = 10))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    times: Option<u8>,
    /// A number as it came: `2` is another than `2.0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ratio: Option<serde_json::Number>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    loud: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tags: Option<Vec<String>>,
}

#[derive(Serialize, JsonSchema)]
struct Heard {
    input: Echo,
    asked_by: Principal,
    environment: String,
}

async fn echo(context: Context, input: Echo) -> Result<Heard, ActionError> {
    Ok(Heard { input, asked_by: context.principal().clone(), environment: context.environment().to_owned() })
}

#[derive(Deserialize, JsonSchema)]
struct Named {
    name: String,
}

#[derive(Serialize, JsonSchema)]
struct Count {
    count: u64,
}

async fn count(effects: Effects, _: Context, named: Named) -> Result<Count, ActionError> {
    Ok(Count { count: effects.of(&named.name) })
}

#[derive(Deserialize, JsonSchema)]
struct Wait {
    #[schemars(range(max = 60_000))]
    milliseconds: u64,
}

async fn wait(_: Context, wait: Wait) -> Result<(), ActionError> {
    tokio::time::sleep(Duration::from_millis(wait.milliseconds)).await;
    Ok(())
}

#[derive(Deserialize, JsonSchema)]
struct Add {
    name: String,
    #[schemars(range(min = 1, max = 100))]
    amount: u32,
    /// Any text.
    #[serde(rename = "note")]
    _note: Option<String>,
    /// Any number.
    #[serde(rename = "ratio")]
    _ratio: Option<f64>,
    /// Anything at all.
    #[serde(rename = "details")]
    _details: Option<serde_json::Value>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Bound {
    name: String,
    amount: u32,
}

#[derive(Serialize, JsonSchema)]
struct Sum {
    added: u32,
    count: u64,
    run: Option<String>,
    approved_by: Vec<String>,
    planned: Option<Bound>,
}

fn may_be_added(name: &str) -> Result<(), ActionError> {
    if name.starts_with("refused") {
        return Err(ActionError::conflict(format!("`{name}` takes nothing")).next("choose another name"));
    }
    Ok(())
}

async fn plan_add(effects: Effects, _: Context, add: Add) -> Result<Plan, ActionError> {
    may_be_added(&add.name)?;
    Ok(Plan::new(format!("Add {} to {}", add.amount, add.name))
        .fact("amount", add.amount)
        .fact("name", add.name.clone())
        .moving_fact("count", effects.of(&add.name))
        .bound_to(serde_json::json!({"name": add.name, "amount": add.amount})))
}

async fn add(effects: Effects, context: Context, add: Add) -> Result<Sum, ActionError> {
    may_be_added(&add.name)?;
    if add.name.starts_with("slow") {
        tokio::time::sleep(Duration::from_millis(1_500)).await;
    }
    let count = effects.happened(&add.name);
    assert!(!add.name.starts_with("broken"), "it breaks off half-way, as the kit asks");
    Ok(Sum {
        added: add.amount,
        count,
        run: context.run().map(str::to_owned),
        approved_by: context.approved_by().to_vec(),
        planned: context.planned()?,
    })
}

#[derive(Deserialize, JsonSchema)]
struct Remove {
    name: String,
    #[serde(rename = "reason")]
    _reason: Option<String>,
}

async fn remove(effects: Effects, _: Context, remove: Remove) -> Result<(), ActionError> {
    effects.happened(remove.name);
    Ok(())
}

#[derive(Deserialize, JsonSchema)]
struct Tell {
    name: String,
    #[serde(default)]
    fail: bool,
    /// How long it takes.
    #[serde(default)]
    #[schemars(range(max = 60_000))]
    milliseconds: u64,
}

#[derive(Serialize, JsonSchema)]
struct Told {
    told: String,
}

async fn tell(effects: Effects, context: Context, tell: Tell) -> Result<Told, ActionError> {
    effects.happened(&tell.name);
    context.log(format!("telling {}", tell.name));
    context.progress(50.0, "half of it");
    context.note("half", 1);
    tokio::select! {
        () = tokio::time::sleep(Duration::from_millis(tell.milliseconds)) => {}
        () = context.cancelled() => return Err(ActionError::cancelled()),
    }
    if tell.fail {
        return Err(ActionError::conflict("it was asked to fail"));
    }
    Ok(Told { told: tell.name })
}

#[derive(Deserialize, JsonSchema)]
struct Build {
    name: String,
    /// The step of this name fails.
    #[serde(default)]
    breaks_at: String,
    /// What this step made cannot be undone.
    #[serde(default)]
    stays: String,
    /// Milliseconds between the second and the third step.
    #[serde(default)]
    pause: u64,
}

async fn build(effects: Effects, context: Context, build: Build) -> Result<Vec<String>, ActionError> {
    let mut made = Vec::new();
    for step in ["a", "b", "c"] {
        if step == "c" && build.pause > 0 {
            context.sleep("settle", Duration::from_millis(build.pause)).await?;
        }
        let (undone, stays, name) = (effects.clone(), build.stays == step, build.name.clone());
        context.undo(step, move || async move {
            if stays {
                return Err(ActionError::conflict(format!("{step} is in use")));
            }
            undone.happened(format!("{name}/undo {step}"));
            Ok(())
        })?;
        let result: String = context
            .step(step, || async {
                effects.happened(format!("{}/tried {step}", build.name));
                if build.breaks_at == step {
                    return Err(ActionError::refused(format!("{step} breaks")));
                }
                effects.happened(format!("{}/{step}", build.name));
                Ok(step.to_owned())
            })
            .await?;
        made.push(result);
    }
    Ok(made)
}

pub(crate) fn conformance() -> Provider {
    let effects = Effects::default();
    provider("conformance")
        .action("conformance-echo", echo)
        .route("GET", "/conformance/{word}/echo")
        .action("conformance-count", with(&effects, count))
        .read()
        .action("conformance-wait", wait)
        .read()
        .action("conformance-add", with(&effects, add))
        .plan(with(&effects, plan_add))
        .fact::<u32>("amount")
        .fact::<u64>("count")
        .fact::<String>("name")
        .action("conformance-remove", with(&effects, remove))
        .route("DELETE", "/conformance/{name}")
        .action("conformance-tell", with(&effects, tell))
        .long()
        .action("conformance-build", with(&effects, build))
        .resumable()
        .timeout("4h")
        .done()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    conformance().serve(Settings::from_env()?).await?;
    Ok(())
}
