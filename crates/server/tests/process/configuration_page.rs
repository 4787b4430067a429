//! `docs/configuration.md` tells every field, and its example is a configuration that passes the check.

use std::{collections::BTreeSet, fs, path::Path};

use guichet_server::Config;

use crate::gateway::{guichetd, output_of};

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    fs::read_to_string(path).unwrap()
}

/// The text of the first fenced block that begins so.
fn block(page: &str, fence: &str) -> String {
    let start = page.find(&format!("```{fence}\n")).unwrap_or_else(|| panic!("no block of {fence}"))
        + fence.len()
        + 4;
    page[start..start + page[start..].find("```").unwrap()].to_owned()
}

#[test]
fn the_example_is_complete_and_passes_the_check() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    let page = page();
    fs::create_dir(folder.path().join("policy")).unwrap();
    fs::create_dir(folder.path().join("registry")).unwrap();
    write("guichet.toml", &block(&page, "toml guichet.toml"));
    write("postgres.toml", &block(&page, "toml postgres.toml"));
    write("shop.password", "not-a-real-one\n");
    write("mail.password", "not-a-real-one\n");
    write("mail.key", "not-a-real-one\n");
    write("chat.secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n");
    write("policy/rules.cedar", &block(&page, "cedar"));
    write("registry/registry.yaml", &block(&page, "yaml"));
    let config = Config::load(&folder.path().join("guichet.toml")).unwrap();
    assert_eq!((config.users.len(), config.providers.len(), config.channels.len()), (2, 2, 3));
    let mut command = guichetd();
    command.args(["check", "--offline", "--config"]).arg(folder.path().join("guichet.toml"));
    let output = output_of(&mut command);
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("provider postgres: ") && !said.contains("warning"), "{said}");
}

/// What a table may hold, as its reader says it when it meets something else.
fn fields(message: &str) -> BTreeSet<String> {
    let expected = message.split_once("expected").unwrap_or_else(|| panic!("names no fields: {message}")).1;
    expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn every_field_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("guichet.toml");
    let mut all = BTreeSet::new();
    for table in [
        "",
        "[store]",
        "[approval]",
        "[limits]",
        "[telemetry]",
        "[ledger]",
        "[[user]]",
        "[[provider]]",
        "[registration]",
        "[credential.mail]",
        "[[notify]]",
    ] {
        fs::write(&file, format!("{table}\nno-such-field = 1\n")).unwrap();
        all.extend(fields(&Config::load(&file).unwrap_err()[0].message));
    }
    for table in ["", "[[instance]]", "[[instance]]\n[[instance.replica]]"] {
        let wrong = guichet_provider_postgres::Settings::from_toml(&format!("{table}\nno-such-field = 1\n"));
        all.extend(fields(&wrong.unwrap_err().to_string()));
    }
    for table in ["", "[limits]", "[secrets.TOKEN]"] {
        let text = format!("{table}\nno-such-field = 1\n");
        let wrong = guichet_provider_scripts::Settings::from_toml(&text, folder.path()).unwrap_err();
        all.extend(fields(&wrong.to_string()));
    }
    assert!(all.len() > 30, "{all:?}");
    let page = page();
    // `limits.memory_mib`, `secrets.NAME`: fields of tables within tables.
    let is_told = |field: &str| {
        let forms = [format!("`{field}`"), format!(".{field}`"), format!("`{field}.")];
        forms.iter().any(|form| page.contains(form))
    };
    let untold: Vec<_> = all.iter().filter(|field| !is_told(field)).collect();
    assert!(untold.is_empty(), "docs/configuration.md does not tell {untold:?}");
}
