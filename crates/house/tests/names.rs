//! File names, heads, sizes, marks of unfinished work, and paths of somebody's machine.

#![expect(clippy::unwrap_used, reason = "a test that cannot read the tree has failed")]

use std::path::{Path, PathBuf};

use guichet_house::tree;

/// Names that say nothing about what is inside.
const BANNED_NAMES: &[&str] =
    &["util", "utils", "helper", "helpers", "common", "misc", "manager", "base", "types"];

/// More than this is not read in one sitting.
const MOST_LINES: usize = 600;

/// Words of unfinished or switched-off work. Written in halves, so that this file does not accuse itself.
const UNFINISHED: &[&str] =
    &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("#[ign", "ore"), concat!("unimple", "mented!(")];

/// Beginnings of paths that exist on one machine only.
const MACHINE_PATHS: &[&str] =
    &[concat!("/ho", "me/"), concat!("/wo", "rk/"), concat!("/Us", "ers/"), concat!("/fa", "rm/")];

/// Extensions of files that people write.
const WRITTEN: &[&str] = &["rs", "md", "toml", "yaml", "yml", "json", "cedar", "sql", "sh", "snap", "run"];

fn sources() -> Vec<PathBuf> {
    tree::files_with("rs").unwrap()
}

#[track_caller]
fn none(wrong: &[String]) {
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn file_names_say_what_is_inside() {
    let mut wrong = Vec::new();
    for path in tree::files().unwrap() {
        for part in path.iter().map(|part| part.to_string_lossy()) {
            let stem = part.split('.').next().unwrap_or_default();
            if BANNED_NAMES.contains(&stem) {
                wrong.push(format!("{}: `{stem}` says nothing; name it after what it does", path.display()));
            }
        }
    }
    none(&wrong);
}

#[test]
fn every_source_opens_by_saying_what_it_is_for() {
    let in_src = |path: &&PathBuf| path.iter().any(|part| part == "src");
    let without: Vec<String> = sources()
        .iter()
        .filter(in_src)
        .filter(|path| !tree::read(path).unwrap().trim_start().starts_with("//!"))
        .map(|path| format!("{} does not open with `//!`", path.display()))
        .collect();
    none(&without);
}

#[test]
fn a_source_is_read_in_one_sitting() {
    let long: Vec<String> = sources()
        .iter()
        .map(|path| (path, tree::read(path).unwrap().lines().count()))
        .filter(|(_, lines)| *lines > MOST_LINES)
        .map(|(path, lines)| format!("{} has {lines} lines; at most {MOST_LINES}", path.display()))
        .collect();
    none(&long);
}

#[test]
fn nothing_is_left_unfinished_or_switched_off() {
    let mut wrong = Vec::new();
    for path in sources() {
        for (index, line) in tree::read(&path).unwrap().lines().enumerate() {
            for mark in UNFINISHED.iter().filter(|mark| line.contains(**mark)) {
                wrong.push(format!("{}:{}: {mark}", path.display(), index + 1));
            }
        }
    }
    none(&wrong);
}

#[test]
fn no_file_knows_somebodys_machine() {
    let written = |path: &&PathBuf| {
        path.starts_with(".ci")
            || path.extension().is_some_and(|own| WRITTEN.contains(&own.to_string_lossy().as_ref()))
    };
    let mut wrong = Vec::new();
    for path in tree::files().unwrap().iter().filter(written) {
        for (index, line) in tree::read(path).unwrap().lines().enumerate() {
            for start in MACHINE_PATHS {
                if mentions_path(line, start) {
                    wrong.push(format!("{}:{}: a path under {start}", path.display(), index + 1));
                }
            }
        }
    }
    none(&wrong);
}

/// Whether `start` begins a path in this line: `…/framework/x` and a URL's path do not count.
fn mentions_path(line: &str, start: &str) -> bool {
    line.match_indices(start).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || "}._-".contains(c))
    })
}

#[test]
fn a_machine_path_would_be_seen() {
    let start = MACHINE_PATHS[0];
    assert!(mentions_path(&format!("cd {start}ada/guichet"), start));
    assert!(mentions_path(&format!("\"{start}ada\""), start));
    assert!(!mentions_path(&format!("https://example.org{start}ada"), start));
}

#[test]
fn the_tree_is_really_read() {
    assert!(sources().contains(&Path::new("crates/house/tests/names.rs").to_path_buf()));
    assert!(tree::files().unwrap().contains(&Path::new(".ci/run").to_path_buf()));
}
