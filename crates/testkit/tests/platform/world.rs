//! The people and rules of these stories.

use guichet_testkit::{Bench, Effects, Setup, bench::Person, patience::until};

pub(crate) const POLICY: &str = r#"
@id("everybody-reads")
permit (principal in Team::"everybody", action in Action::"read", resource);
@id("developers-act")
permit (principal in Team::"developers", action in [Action::"change", Action::"destroy"], resource);
@id("approvers-approve")
permit (principal in Team::"everybody", action == Action::"approve", resource);
@id("everybody-looks")
permit (principal in Team::"developers", action == Action::"view_run", resource);
@id("auditors-audit")
permit (principal in Team::"developers", action == Action::"audit", resource);
@id("developers-look-after-deliveries")
permit (principal in Team::"developers", action in [Action::"read_deliveries", Action::"replay_delivery", Action::"ping_channel"], resource);
@id("frozen-item") @description("item 'frozen' is frozen until the audit is over") @next("ask team ops when it ends")
forbid (principal, action in Action::"change", resource == Resource::"things/frozen");
"#;

pub(crate) const REGISTRY: &str = "
teams:
  - {name: everybody, members: [eve]}
  - {name: developers, members: [dana, dan], parents: [everybody]}
  - {name: ops, members: [omar, olga, dana], parents: [everybody]}
resources:
  - {pattern: 'things/**', owner: ops}
";

pub(crate) fn setup(effects: &Effects) -> Setup {
    ["dana", "dan", "omar", "olga", "eve"]
        .into_iter()
        .fold(Setup::new(), Setup::person)
        .policy("rules.cedar", POLICY)
        .registry(REGISTRY)
        .provider("things", effects.provider())
}

#[expect(clippy::unwrap_used, reason = "a story that cannot begin has failed")]
pub(crate) async fn start() -> (Bench, Effects) {
    let effects = Effects::default();
    let bench = setup(&effects).start().await.unwrap();
    (bench, effects)
}

/// Writes a file of the gateway's settings, and waits until the gateway has read it.
#[expect(clippy::unwrap_used, reason = "a story that cannot go on has failed")]
pub(crate) async fn reloaded(bench: &Bench, watcher: &Person, file: &str, text: &str) {
    let reloads = async || {
        let answer = watcher.get("/v1/records?verb=reload_settings&limit=500").await.unwrap();
        answer.body["items"].as_array().unwrap().len()
    };
    let before = reloads().await;
    std::fs::write(bench.folder().join(file), text).unwrap();
    until(&format!("{file} to be read"), || async { (reloads().await > before).then_some(()) }).await;
}
