//! Teams, owners, rotas: read or refused with a place, and what was read can be asked.
#![no_main]

use guichet_rules::Registry;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match Registry::parse(&[("r.yaml".to_owned(), text.to_owned())]) {
        Ok(registry) => {
            let now = jiff::Timestamp::UNIX_EPOCH;
            for team in registry.teams() {
                assert!(!registry.with_parents([&team.name]).is_empty(), "a team is within itself");
                for member in &team.members {
                    assert!(registry.teams_of(member).contains(&team.name));
                    let _ = registry.calendar().on_call(member, now);
                }
            }
            let _ = (
                registry.owner_of("things/a/b"),
                registry.owner_of(""),
                registry.calendar().is_office_hours(now),
            );
        }
        Err(faults) => assert!(!faults.is_empty(), "refused without a word"),
    }
});
