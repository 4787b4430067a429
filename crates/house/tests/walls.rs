//! Who may use whom: the table in `ARCHITECTURE.md` against `cargo metadata`, and outside crates against the rooms.

#![expect(clippy::expect_used, reason = "a test that cannot ask cargo has failed")]

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::Command,
};

use cargo_metadata::{CargoOpt, DependencyKind, Metadata, MetadataCommand, PackageId};
use guichet_house::{
    rooms::{MayUse, read_table},
    tree,
};

/// How far a ban reaches.
#[derive(Clone, Copy, PartialEq)]
enum Reach {
    /// The room must not name it as a dependency.
    Direct,
    /// Nothing the room uses may bring it either.
    Through,
}

/// Outside crates a room must not know. Normal dependencies only: a test may use what it likes.
const BANS: &[(&str, Reach, &[&str])] = &[
    (
        "contract",
        Reach::Through,
        &["tokio", "hyper", "axum", "reqwest", "rusqlite", "tokio-postgres", "cedar-policy"],
    ),
    ("lifecycle", Reach::Through, &["tokio", "hyper", "axum", "reqwest", "rusqlite", "cedar-policy"]),
    ("rules", Reach::Through, &["tokio", "hyper", "axum", "reqwest", "rusqlite"]),
    ("ledger", Reach::Through, &["tokio", "hyper", "axum", "reqwest", "rusqlite", "cedar-policy"]),
    ("store", Reach::Through, &["hyper", "axum", "reqwest", "cedar-policy"]),
    ("identity", Reach::Direct, &["axum", "hyper", "rusqlite", "cedar-policy"]),
    ("admission", Reach::Direct, &["axum", "hyper", "reqwest", "rusqlite", "cedar-policy", "tokio-postgres"]),
    (
        "operations",
        Reach::Direct,
        &["axum", "hyper", "reqwest", "rusqlite", "cedar-policy", "tokio-postgres"],
    ),
    ("jobs", Reach::Through, &["axum", "hyper", "reqwest", "cedar-policy"]),
    ("dispatch", Reach::Direct, &["rusqlite", "cedar-policy", "reqwest"]),
    ("gateway", Reach::Direct, &["rusqlite", "cedar-policy", "tokio-postgres", "reqwest"]),
    ("notify", Reach::Direct, &["axum", "rusqlite", "cedar-policy", "tokio-postgres"]),
    ("client", Reach::Through, &["axum", "rusqlite", "cedar-policy", "tokio-postgres"]),
    ("cli", Reach::Through, &["axum", "rusqlite", "cedar-policy", "tokio-postgres"]),
    ("provider-sdk", Reach::Through, &["rusqlite", "cedar-policy"]),
    ("provider-check", Reach::Through, &["axum", "rusqlite", "cedar-policy"]),
    ("providers/postgres", Reach::Through, &["rusqlite", "cedar-policy"]),
    ("providers/kafka", Reach::Through, &["rusqlite", "cedar-policy", "tokio-postgres"]),
    ("providers/scripts", Reach::Through, &["rusqlite", "cedar-policy"]),
    ("providers/scripts", Reach::Through, &["kube", "k8s-openapi"]),
    ("server", Reach::Through, &["kube", "k8s-openapi"]),
    ("providers/scripts-kubernetes", Reach::Through, &["rusqlite", "cedar-policy", "tokio-postgres"]),
    ("throwaway-postgres", Reach::Through, &["tokio", "tokio-postgres", "rusqlite"]),
    ("throwaway-kafka", Reach::Through, &["tokio", "krafka", "rusqlite"]),
    ("throwaway-kubernetes", Reach::Through, &["tokio", "kube", "rusqlite"]),
    ("xtask", Reach::Through, &["tokio", "axum", "reqwest", "rusqlite", "cedar-policy"]),
];

fn metadata() -> Metadata {
    // The host alone, and what is fetched already: asking for every platform would download crates nobody builds.
    MetadataCommand::new()
        .manifest_path(tree::root().join("Cargo.toml"))
        .features(CargoOpt::AllFeatures)
        .other_options(["--offline".to_owned(), "--filter-platform".to_owned(), host()])
        .exec()
        .expect("cargo metadata reads the workspace")
}

/// The triple this test runs on, as rustc names it.
fn host() -> String {
    let output = Command::new("rustc").arg("-vV").output().expect("rustc runs");
    let text = String::from_utf8(output.stdout).expect("rustc speaks UTF-8");
    text.lines().find_map(|line| line.strip_prefix("host: ")).expect("rustc names its host").to_owned()
}

/// Each package of the workspace by its room.
fn rooms(metadata: &Metadata) -> BTreeMap<String, PackageId> {
    let root = &metadata.workspace_root;
    let room = |manifest: &Path| {
        let directory = manifest.parent()?.strip_prefix(root).ok()?.to_str()?.to_owned();
        Some(directory.strip_prefix("crates/").map_or(directory.clone(), str::to_owned))
    };
    metadata
        .workspace_packages()
        .into_iter()
        .map(|package| {
            (room(package.manifest_path.as_std_path()).expect("it lies in the root"), package.id.clone())
        })
        .collect()
}

/// Packages that a package uses to do its work, not to test or build itself.
fn normal_dependencies<'a>(metadata: &'a Metadata, package: &PackageId) -> Vec<&'a PackageId> {
    let nodes = &metadata.resolve.as_ref().expect("cargo resolves").nodes;
    let node = nodes.iter().find(|node| node.id == *package).expect("every package has a node");
    node.deps
        .iter()
        .filter(|dependency| dependency.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal))
        .map(|dependency| &dependency.pkg)
        .collect()
}

#[test]
fn rooms_use_only_what_the_table_allows() {
    let metadata = metadata();
    let rooms = rooms(&metadata);
    let room_of: BTreeMap<&PackageId, &String> =
        rooms.iter().map(|(room, package)| (package, room)).collect();
    let table = read_table(&tree::read(Path::new("ARCHITECTURE.md")).unwrap());
    assert!(!table.is_empty(), "ARCHITECTURE.md has no table `| crate | one line | may use | … |`");

    let mut wrong = Vec::new();
    for (room, package) in &rooms {
        let Some(MayUse::Only(allowed)) = table.get(room) else { continue };
        for used in normal_dependencies(&metadata, package).iter().filter_map(|id| room_of.get(*id)) {
            if !allowed.contains(*used) {
                wrong.push(format!("{room} uses {used}; the table in ARCHITECTURE.md does not allow it"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_table_and_the_workspace_name_the_same_rooms() {
    let built: BTreeSet<String> = rooms(&metadata()).into_keys().collect();
    let table = read_table(&tree::read(Path::new("ARCHITECTURE.md")).unwrap());
    let drawn: BTreeSet<String> = table.keys().cloned().collect();
    assert_eq!(built, drawn, "left: crates of the workspace; right: rows of the table in ARCHITECTURE.md");

    for (room, may_use) in &table {
        if let MayUse::Only(names) = may_use {
            let unknown: Vec<&String> = names.difference(&drawn).collect();
            assert!(unknown.is_empty(), "the row of {room} allows {unknown:?}, and there is no such room");
        }
    }
}

#[test]
fn rooms_do_not_know_what_is_none_of_their_business() {
    let metadata = metadata();
    let rooms = rooms(&metadata);
    let name_of: BTreeMap<&PackageId, &str> =
        metadata.packages.iter().map(|package| (&package.id, package.name.as_str())).collect();
    let mut wrong = Vec::new();
    for (room, reach, banned) in BANS {
        let package =
            rooms.get(*room).unwrap_or_else(|| panic!("BANS names {room}, and there is no such room"));
        // Walks in breadth; `via` remembers who brought it, for the message.
        let mut via = BTreeMap::from([(package, (*room).to_owned())]);
        let mut open = vec![package];
        while let Some(next) = open.pop() {
            for used in normal_dependencies(&metadata, next) {
                let path = format!("{} → {}", via[next], name_of[used]);
                if banned.contains(&name_of[used]) {
                    wrong.push(format!("{room} must not know {}: {path}", name_of[used]));
                }
                if *reach == Reach::Through && via.insert(used, path).is_none() {
                    open.push(used);
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Two cryptography providers make rustls panic when the first connection is made, not when it is built.
/// `cargo tree` is asked because the metadata also lists optional dependencies that no feature turns on.
#[test]
fn ring_is_nowhere_in_the_graph() {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--workspace", "--invert", "ring", "--edges", "normal,build"])
        .current_dir(tree::root())
        .output()
        .expect("cargo tree runs");
    let told = String::from_utf8_lossy(&output.stderr);
    let absent = told.contains("nothing to print") || told.contains("did not match any packages");
    assert!(
        output.stdout.is_empty() && absent,
        "ring is used, or cargo tree failed:\n{}{told}",
        String::from_utf8_lossy(&output.stdout)
    );
}
