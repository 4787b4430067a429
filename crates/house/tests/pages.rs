//! Pages tell the truth about the tree: every path they cite exists, every problem code has its page.

use std::{
    collections::BTreeSet,
    path::{Component, Path, PathBuf},
};

use guichet_contract::code;
use guichet_house::{
    markdown::{Citation, citations},
    tree,
};

/// First components that make inline code a path of this repository. Listed, not read from the disk: a page that
/// cites a directory which is gone must fail too.
const TOP: &[&str] = &[
    ".cargo",
    ".ci",
    "benches",
    "crates",
    "decisions",
    "demo",
    "docs",
    "examples",
    "policies",
    "providers",
    "sdks",
    "walks",
    "xtask",
];

/// The path a citation means, relative to the root; none when it is not a path of this repository.
fn cited_path(page: &Path, citation: &Citation) -> Option<PathBuf> {
    let text = citation.text.split('#').next().unwrap_or_default();
    if citation.link {
        let outside = text.is_empty() || text.contains("://") || text.starts_with("mailto:");
        return (!outside).then(|| flatten(&page.parent().unwrap_or(Path::new("")).join(text)));
    }
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "._-/:".contains(c));
    // `crates/rules/src/lib.rs:12` cites a line of the file.
    let path = text.split(':').next().unwrap_or_default();
    let top = path.split('/').next().unwrap_or_default();
    let root_page = !path.contains('/') && Path::new(path).extension().is_some_and(|own| own == "md");
    (plain && (root_page || path.contains('/') && TOP.contains(&top))).then(|| PathBuf::from(path))
}

/// Resolves `..` by the text alone.
fn flatten(path: &Path) -> PathBuf {
    let mut flat = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                flat.pop();
            }
            Component::CurDir => {}
            other => flat.push(other),
        }
    }
    flat
}

#[test]
fn every_cited_path_exists() {
    let mut checked = 0;
    let mut dead = Vec::new();
    for page in tree::files_with("md").unwrap() {
        for citation in citations(&tree::read(&page).unwrap()) {
            let Some(path) = cited_path(&page, &citation) else { continue };
            checked += 1;
            // A page may name its neighbour without the directory.
            let beside = page.parent().unwrap_or(Path::new("")).join(&path);
            if !tree::exists(&path) && !tree::exists(&beside) {
                dead.push(format!(
                    "{}:{}: `{}` does not exist",
                    page.display(),
                    citation.line,
                    path.display()
                ));
            }
        }
    }
    assert!(dead.is_empty(), "{}", dead.join("\n"));
    assert!(checked > 30, "only {checked} paths were recognised: the reader of Markdown is broken");
}

#[test]
fn a_dead_path_would_be_seen() {
    let cite = |text: &str, link| Citation { line: 1, text: text.to_owned(), link };
    let page = Path::new("docs/errors/refused.md");
    for (citation, expected) in [
        (cite("crates/gone/src/lib.rs:12", false), Some("crates/gone/src/lib.rs")),
        (cite("MISSING.md", false), Some("MISSING.md")),
        (cite("../../walks/x.md#top", true), Some("walks/x.md")),
        (cite("own-run.md", true), Some("docs/errors/own-run.md")),
        (cite("/v1/runs/{run}", false), None),
        (cite("postgres/shop", false), None),
        (cite("https://example.org/a.md", true), None),
        (cite("cargo xtask demo", false), None),
    ] {
        assert_eq!(cited_path(page, &citation), expected.map(PathBuf::from), "{citation:?}");
    }
}

#[test]
fn every_problem_code_has_its_page_and_every_page_its_code() {
    let codes: BTreeSet<String> = code::ALL.iter().map(|(code, _, _)| (*code).to_owned()).collect();
    let pages: BTreeSet<String> = tree::files_with("md")
        .unwrap()
        .into_iter()
        .filter(|path| path.parent() == Some(Path::new("docs/errors")))
        .filter_map(|path| path.file_stem().map(|stem| stem.to_string_lossy().into_owned()))
        .collect();
    assert_eq!(codes, pages, "left: crates/contract/src/problem.rs; right: docs/errors/");
}

#[test]
fn every_error_page_has_the_title_and_the_status_of_its_code() {
    for (code, status, title) in code::ALL {
        let page = tree::read(Path::new(&format!("docs/errors/{code}.md"))).unwrap();
        assert!(
            page.starts_with(&format!("# {title}\n")),
            "docs/errors/{code}.md must open with `# {title}`"
        );
        assert!(
            page.contains(&format!("Code `{code}`, HTTP {status}.")),
            "docs/errors/{code}.md: code or status"
        );
        for part in ["## What happened", "## Why", "## What to do next", "## Example"] {
            assert!(page.contains(part), "docs/errors/{code}.md has no part `{part}`");
        }
    }
}
