//! A provider that counts its effects, so that a test can say that something was done once, or never.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use guichet_provider_sdk::{ActionError, Context, Plan, Provider, Within, provider, team};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What was done, and what the world looks like.
#[derive(Clone, Default)]
pub struct Effects {
    inside: Arc<Mutex<Inside>>,
}

#[derive(Default)]
struct Inside {
    done: Vec<String>,
    items: BTreeMap<String, u64>,
    /// Sizes that are not 100.
    sizes: BTreeMap<String, u64>,
    /// By key: how many are under way, and the most there ever were at once.
    under_way: BTreeMap<String, (usize, usize)>,
}

#[derive(Deserialize, JsonSchema)]
struct Item {
    /// Name of the item.
    name: String,
}

#[derive(Deserialize, JsonSchema)]
struct Slow {
    /// Name of the item.
    name: String,
    /// How long it takes, milliseconds.
    #[schemars(range(min = 0, max = 60_000))]
    milliseconds: u64,
}

#[derive(Deserialize, JsonSchema)]
struct InLine {
    /// What goes one at a time.
    key: String,
    /// Name of the item.
    name: String,
    /// How long it takes, milliseconds.
    #[schemars(range(min = 0, max = 60_000))]
    milliseconds: u64,
}

#[derive(Serialize, JsonSchema)]
struct Items {
    items: Vec<Row>,
}

#[derive(Serialize, JsonSchema)]
struct Row {
    name: String,
    version: u64,
}

#[derive(Serialize, JsonSchema)]
struct Done {
    done: String,
}

impl Effects {
    /// How often something was done to this item.
    pub fn count(&self, name: &str) -> usize {
        self.lock().done.iter().filter(|done| *done == name).count()
    }

    /// Everything that was done, in order.
    pub fn order(&self) -> Vec<String> {
        self.lock().done.clone()
    }

    /// How many `line-change` of this key were ever under way at once.
    pub fn most_at_once(&self, key: &str) -> usize {
        self.lock().under_way.get(key).map_or(0, |(_, most)| *most)
    }

    fn begin(&self, key: &str) {
        let mut inside = self.lock();
        let (now, most) = inside.under_way.entry(key.to_owned()).or_default();
        *now += 1;
        *most = (*most).max(*now);
    }

    fn end(&self, key: &str) {
        if let Some((now, _)) = self.lock().under_way.get_mut(key) {
            *now = now.saturating_sub(1);
        }
    }

    /// Changes the world behind the gateway's back: plans made before it drift.
    pub fn touch(&self, name: &str) {
        *self.lock().items.entry(name.to_owned()).or_default() += 1;
    }

    /// Gives an item a size; it has 100. Plans made before let it move by 10 %.
    pub fn resize(&self, name: &str, size: u64) {
        self.lock().sizes.insert(name.to_owned(), size);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn done(&self, name: String) -> Done {
        self.lock().done.push(name.clone());
        Done { done: name }
    }

    /// `things`: `list-items` (read), `change-item`, `slow-change`, `line-change` (one at a time for its `key`), `fail-item`, `destroy-item` (planned, approved by
    /// team `ops`, undone by `change-item`).
    pub fn provider(&self) -> Provider {
        let (list, change, slow, line, plan, destroy) =
            (self.clone(), self.clone(), self.clone(), self.clone(), self.clone(), self.clone());
        provider("things")
            .action("list-items", move |_: Context, _: guichet_provider_sdk::NoInput| {
                let effects = list.clone();
                async move {
                    let inside = effects.lock();
                    let items = inside
                        .items
                        .iter()
                        .map(|(name, version)| Row { name: name.clone(), version: *version });
                    Ok::<_, ActionError>(Items { items: items.collect() })
                }
            })
            .read()
            .command("things list")
            .action("change-item", move |_: Context, item: Item| {
                let effects = change.clone();
                async move { Ok::<_, ActionError>(effects.done(item.name)) }
            })
            .command("things change")
            .resource("things/{name}")
            .action("slow-change", move |_: Context, item: Slow| {
                let effects = slow.clone();
                async move {
                    tokio::time::sleep(Duration::from_millis(item.milliseconds)).await;
                    Ok::<_, ActionError>(effects.done(item.name))
                }
            })
            .command("things slow-change")
            .resource("things/{name}")
            .action("line-change", move |_: Context, item: InLine| {
                let effects = line.clone();
                async move {
                    effects.begin(&item.key);
                    tokio::time::sleep(Duration::from_millis(item.milliseconds)).await;
                    effects.end(&item.key);
                    Ok::<_, ActionError>(effects.done(item.name))
                }
            })
            .command("things line-change")
            .resource("things/{name}")
            .concurrency("{key}")
            .action("fail-item", |_: Context, item: Item| async move {
                Err::<Done, _>(
                    ActionError::refused(format!("{} is not to be touched", item.name)).next("touch another"),
                )
            })
            .command("things fail")
            .action("destroy-item", move |_: Context, item: Item| {
                let effects = destroy.clone();
                async move { Ok::<_, ActionError>(effects.done(item.name)) }
            })
            .destroy()
            .command("things destroy")
            .resource("things/{name}")
            .approval(team("ops"))
            .undo("change-item", [("name", "/input/name")])
            .plan(move |_: Context, item: Item| {
                let effects = plan.clone();
                async move {
                    let inside = effects.lock();
                    let version = inside.items.get(&item.name).copied().unwrap_or_default();
                    let size = inside.sizes.get(&item.name).copied().unwrap_or(100);
                    Ok::<_, ActionError>(
                        Plan::new(format!("Destroy item '{}'", item.name))
                            .fact("version", version)
                            .fact_within("size", size, Within::Percent(10.0)),
                    )
                }
            })
            .into()
    }
}
