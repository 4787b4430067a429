//! The audit trail: read, proven, and caught when somebody changes it.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, ensure};

use super::{refusing::REFUSAL, story::Story};

pub(super) fn list_runs(story: &mut Story<'_>) -> Result<()> {
    let list = story.run("dana", &["runs", "list"])?.exits(0)?;
    for state in ["succeeded", "rejected", "cancelled", "expired", "voided"] {
        ensure!(list.text().contains(state), "no run is {state}");
    }
    let run = story.run_id("blocker")?.to_owned();
    story.forget_cards();
    story.run("dana", &["runs", "show", &run])?.exits(0)?.says("omar")?.says("succeeded")?;
    Ok(())
}

pub(super) fn list_records(story: &mut Story<'_>) -> Result<()> {
    let run = story.full_id("blocker")?;
    let list = story.run("omar", &["audit", "list", "--run", &run])?.exits(0)?;
    for verb in ["submit run", "approve run", "execute run", "record outcome"] {
        ensure!(list.text().contains(verb), "the record `{verb}` is missing");
    }
    story
        .run("omar", &["audit", "list", "--verdict", "refused", "--limit", "5"])?
        .exits(0)?
        .says("approve run")?;
    Ok(())
}

pub(super) fn verify(story: &mut Story<'_>) -> Result<()> {
    let said = story.run("omar", &["audit", "verify"])?.exits(0)?.says("verified")?;
    let key = said.text().lines().find_map(|line| line.split_once("taken on trust: "));
    let key = key.context("the key of the ledger is not shown at the first meeting")?.1.trim().to_owned();
    story.ledger_key = key;
    Ok(())
}

pub(super) fn verify_offline(story: &mut Story<'_>) -> Result<()> {
    let home = story.demo.people.get("omar")?.home.clone();
    story.keep("omar", &["audit", "checkpoint"], &home.join("checkpoint"))?;
    story.keep("omar", &["audit", "export"], &home.join("records.ndjson"))?;
    story.run("omar", &offline("records.ndjson", &story.ledger_key))?.exits(0)?.says("verified")?;
    Ok(())
}

pub(super) fn tamper_with_copy(story: &mut Story<'_>) -> Result<()> {
    let home = story.demo.people.get("omar")?.home.clone();
    let changed = change_one_letter(&fs::read(home.join("records.ndjson"))?);
    fs::write(home.join("changed.ndjson"), changed.context("the refusal is not in the export")?)?;
    println!("  (records.ndjson is copied to changed.ndjson with one letter of rita's reason changed)");
    story.run("omar", &offline("changed.ndjson", &story.ledger_key))?.exits(1)?.says("does not verify")?;
    Ok(())
}

pub(super) fn tamper_with_database(story: &mut Story<'_>) -> Result<()> {
    let run = story.full_id("reporting")?;
    let records = story.look("omar", &["audit", "list", "--run", &run, "--verb", "reject_run"])?;
    let index = records["items"][0]["index"].as_u64().context("the refusal is not in the audit trail")?;
    story.demo.gateway.stop_now()?;
    let changed = change_files(&story.demo.folder.join("data"))?;
    println!(
        "  (guichetd is stopped, one letter of rita's reason is changed in {changed}, guichetd is started)"
    );
    story.demo.gateway.start_again(&story.demo.people)?;
    let said = story.run("omar", &["audit", "verify", "--tiles"])?.exits(1)?.says("does not verify")?;
    ensure!(names_entry(said.text(), index), "it does not say that entry {index} was changed");
    Ok(())
}

fn offline<'a>(file: &'a str, key: &'a str) -> [&'a str; 8] {
    ["audit", "verify", "--file", file, "--checkpoint", "checkpoint", "--key", key]
}

/// The refusal with one letter changed, wherever it stands; none when it stands nowhere.
fn change_one_letter(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut changed = bytes.to_vec();
    let mut found = false;
    for at in 0..bytes.len().saturating_sub(REFUSAL.len() - 1) {
        if bytes[at..].starts_with(REFUSAL.as_bytes()) {
            // "at noon" becomes "at moon".
            let letter = at + REFUSAL.len() - "noon".len();
            changed[letter] = b'm';
            found = true;
        }
    }
    found.then_some(changed)
}

/// Changes the letter in the database's file, as somebody would who can write to the disk. Gives the file's name.
fn change_files(data: &Path) -> Result<String> {
    for entry in fs::read_dir(data)? {
        let path = entry?.path();
        if !path.is_file() {
            continue;
        }
        let bytes = fs::read(&path)?;
        if !bytes.starts_with(b"SQLite format 3\0") {
            continue;
        }
        if let Some(changed) = change_one_letter(&bytes) {
            fs::write(&path, changed)?;
            return Ok(path.file_name().unwrap_or_default().to_string_lossy().into_owned());
        }
    }
    anyhow::bail!("no database in {} holds the refusal", data.display())
}

/// Whether this number stands there as a word.
fn names_entry(text: &str, index: u64) -> bool {
    text.split(|c: char| !c.is_ascii_digit()).any(|word| word == index.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_letter_is_changed_and_only_where_it_is_meant() {
        let text = format!("a {REFUSAL}, b");
        let changed = String::from_utf8(change_one_letter(text.as_bytes()).unwrap()).unwrap();
        assert_eq!(changed, text.replace("noon", "moon"));
        assert_eq!(change_one_letter(b"nothing"), None);
        assert!(names_entry("entry 17 was changed", 17) && !names_entry("entry 117", 17));
    }
}
