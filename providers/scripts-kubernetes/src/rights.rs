//! What the cluster lets this provider do, asked of the cluster itself: before somebody's run finds out.

use std::{path::PathBuf, sync::Arc, time::Duration};

use guichet_contract::Digest;
use guichet_provider_scripts::{Finding, Hidden, Job as Work, Program, Settings};
use k8s_openapi::api::authorization::v1::SelfSubjectAccessReview;
use kube::{Api, api::PostParams};
use serde_json::json;
use tokio::time::timeout;

use crate::{
    cluster::{Cluster, words},
    manifest::{self, Ground},
    settings::Kubernetes,
};

/// All that it needs: group, what, part of it, verb.
const NEEDED: &[(&str, &str, &str, &str)] = &[
    ("batch", "jobs", "", "create"),
    ("batch", "jobs", "", "get"),
    ("batch", "jobs", "", "list"),
    ("batch", "jobs", "", "watch"),
    ("batch", "jobs", "", "patch"),
    ("batch", "jobs", "", "delete"),
    ("", "secrets", "", "create"),
    ("", "secrets", "", "delete"),
    ("", "pods", "", "list"),
    ("", "pods", "", "watch"),
    ("", "pods", "log", "get"),
    ("", "events", "", "list"),
];
/// How long the cluster may take for one answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is missing: rights, a namespace, a cluster that answers; and what is only odd.
pub async fn findings(cluster: &Cluster, kubernetes: &Kubernetes, settings: &Settings) -> Vec<Finding> {
    let at = || PathBuf::from("[kubernetes]");
    let mut findings = Vec::new();
    let reviews: Api<SelfSubjectAccessReview> = Api::all(cluster.client.clone());
    for (group, what, part, verb) in NEEDED {
        let question = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {
                "namespace": cluster.namespace, "group": group, "resource": what, "subresource": part, "verb": verb,
            }},
        });
        let Ok(question) = serde_json::from_value(question) else { continue };
        let asked = timeout(PATIENCE, reviews.create(&PostParams::default(), &question)).await;
        let why = match asked {
            Ok(Ok(answer)) if answer.status.as_ref().is_some_and(|status| status.allowed) => continue,
            Ok(Ok(_)) => {
                let what = if part.is_empty() { (*what).to_owned() } else { format!("{what}/{part}") };
                format!(
                    "this provider may not {verb} {what} in the namespace {}: give it the rights of walks/run-scripts-on-kubernetes.md",
                    cluster.namespace
                )
            }
            Ok(Err(error)) => {
                findings.push(Finding::fault(at(), None, words(&error)));
                return findings;
            }
            Err(_) => {
                findings.push(Finding::fault(at(), None, "the cluster does not answer within 10 s"));
                return findings;
            }
        };
        findings.push(Finding::fault(at(), None, why));
    }
    if findings.is_empty()
        && let Some(why) = refused(cluster, kubernetes, settings).await
    {
        findings.push(Finding::fault(at(), None, why));
    }
    if kubernetes.image.as_ref().is_some_and(|image| !image.contains("@sha256:")) {
        let why = "the image is named by a tag, which can be moved: name it by its digest (NAME@sha256:…), then what was approved is all that runs";
        findings.push(Finding::note(at(), why));
    }
    findings.push(Finding::note(
        at(),
        "limits.processes is not held here: how many processes a pod may have is a setting of its node",
    ));
    findings
}

/// Why a Job like those of scripts would not be taken, tried without making it.
async fn refused(cluster: &Cluster, kubernetes: &Kubernetes, settings: &Settings) -> Option<String> {
    let bytes: Arc<[u8]> = Arc::from(b"#!/bin/sh\n".as_slice());
    let work = Work {
        program: Program { name: "check".to_owned(), digest: Digest::of_bytes(&bytes), bytes },
        image: Some(kubernetes.image.clone().unwrap_or_else(|| "check".to_owned())),
        run: None,
        arguments: Vec::new(),
        environment: Vec::new(),
        input: Vec::new(),
        time: Duration::from_secs(1),
        hidden: Hidden::default(),
    };
    let job = match manifest::job(&Ground::new(kubernetes.clone(), settings), &work, "guichet-check", None) {
        Ok(job) => job,
        Err(why) => return Some(why),
    };
    let tried = PostParams { dry_run: true, ..PostParams::default() };
    match timeout(PATIENCE, cluster.jobs.create(&tried, &job)).await {
        Ok(Ok(_)) => None,
        Ok(Err(error)) => Some(format!("a Job as those of scripts is not taken: {}", words(&error))),
        Err(_) => Some("the cluster does not answer within 10 s".to_owned()),
    }
}
