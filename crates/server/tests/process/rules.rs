//! The people and rules of these stories.

pub(crate) const PASSWORD: &str = "correct horse battery";

pub(crate) const PEOPLE: [&str; 3] = ["dana", "omar", "eve"];

pub(crate) const POLICY: &str = r#"@id("everybody-reads")
permit (principal in Team::"everybody", action in Action::"read", resource);
@id("developers-act")
permit (principal in Team::"developers", action in [Action::"change", Action::"destroy"], resource);
@id("everybody-decides")
permit (principal in Team::"everybody", action == Action::"approve", resource);
@id("developers-look")
permit (principal in Team::"developers", action in [Action::"view_run", Action::"audit"], resource);
@id("short-lived") @approval("this one is asked for in a hurry") @by("team:ops") @expires("1s")
forbid (principal, action in Action::"destroy", resource == Resource::"things/short");
@id("developers-look-after-deliveries")
permit (principal in Team::"developers", action in [Action::"read_deliveries", Action::"replay_delivery", Action::"ping_channel"], resource);
"#;

pub(crate) const REGISTRY: &str = "teams:
  - {name: everybody, members: [eve]}
  - {name: developers, members: [dana], parents: [everybody]}
  - {name: ops, members: [omar], parents: [everybody]}
resources:
  - {pattern: 'things/**', owner: ops}
";
