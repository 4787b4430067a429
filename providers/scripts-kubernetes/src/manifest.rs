//! What is laid down in the cluster for one run: a Job that is suspended at first, and a Secret that belongs to it.
//!
//! The Job's pod cannot be changed any more once it is there. Program, input and environment are in the Secret; the digest that
//! the program must have is in the Job. Of the values nothing is in the Job but the arguments, which never are sensitive.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use guichet_provider_scripts::{
    Job as Work,
    settings::{Limits, Settings},
};
use k8s_openapi::api::{batch::v1::Job, core::v1::Secret};
use serde_json::{Map, Value, json};

use crate::{
    settings::Kubernetes,
    start_line::{GIVEN, HOME, OWN, START, literal},
};

/// Name of the container.
pub(crate) const CONTAINER: &str = "script";
/// Seconds between SIGTERM and SIGKILL.
pub(crate) const GRACE_SECONDS: i64 = 5;
/// Bytes of all that a Secret can hold, with some room for names.
pub(crate) const SECRET_MOST: usize = 1_000_000;
/// The annotation that says that a Job was begun: it is written together with that, and never taken away.
pub(crate) const BEGUN: &str = "guichet/begun";
/// The annotation that says up to where its log was told, as `log.rs` writes it.
pub(crate) const TOLD: &str = "guichet/told";
/// The annotation by which it is seen whether the secrets are those that it was begun with, as `seal.rs` makes it.
pub(crate) const SEAL: &str = "guichet/secrets";
/// The labels of all Jobs of scripts.
pub(crate) const LABELS: &str = "app.kubernetes.io/managed-by=guichet,app.kubernetes.io/component=script";
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
const OURS: &str = "guichet";
const COMPONENT: &str = "app.kubernetes.io/component";
const SCRIPT: &str = "script";
/// How long the Job of a look is kept when it has ended, seconds: until what it says is read.
const LOOK_KEPT_SECONDS: u64 = 120;
const RUN: &str = "guichet/run";
const SHA256: &str = "guichet/sha256";

/// What of the settings goes into each Job.
#[derive(Debug, Clone)]
pub(crate) struct Ground {
    pub(crate) kubernetes: Kubernetes,
    pub(crate) limits: Limits,
    pub(crate) path: Option<String>,
}

impl Ground {
    pub(crate) fn new(kubernetes: Kubernetes, settings: &Settings) -> Self {
        Self { kubernetes, limits: settings.limits.clone(), path: settings.path.clone() }
    }

    /// The image that a script runs in.
    pub(crate) fn image(&self, named: Option<&str>) -> Option<String> {
        named.map(str::to_owned).or_else(|| self.kubernetes.image.clone())
    }
}

/// The name of the Job of a run, and of its Secret.
pub(crate) fn name_of(run: &str) -> String {
    format!("guichet-{}", run.to_ascii_lowercase())
}

/// SHA-256 of a program, as hexadecimal digits.
fn hexadecimal(work: &Work) -> String {
    let digest = work.program.digest.to_string();
    digest.strip_prefix("sha256:").unwrap_or(&digest).to_owned()
}

/// Whether this Job was made for this run, or for a look, and for this program.
pub(crate) fn is_of(job: &Job, work: &Work) -> bool {
    let annotations = job.metadata.annotations.as_ref();
    let said = |name: &str| annotations.and_then(|all| all.get(name)).map(String::as_str);
    said(RUN) == work.run.as_deref() && said(SHA256) == Some(&hexadecimal(work))
}

/// The Job: of a run suspended, of a look begun from the start. Nobody calls again for a look, so it must come to its end, and go,
/// also when who made it was killed. `seal` is what `seal.rs` makes of the secrets.
///
/// # Errors
/// There is no image, or what is no Job.
pub(crate) fn job(ground: &Ground, work: &Work, name: &str, seal: Option<&str>) -> Result<Job, String> {
    let Ground { kubernetes, limits, path } = ground;
    let image = ground.image(work.image.as_deref()).ok_or(NO_IMAGE)?;
    let digest = hexadecimal(work);
    let labels = json!({MANAGED_BY: OURS, COMPONENT: SCRIPT});
    let mut annotations = json!({"guichet/script": work.program.name, SHA256: digest});
    match &work.run {
        Some(run) => annotations[RUN] = json!(run),
        None => annotations[BEGUN] = json!("true"),
    }
    if let Some(seal) = seal {
        annotations[SEAL] = json!(seal);
    }
    let mut words: Vec<String> = vec![digest, work.program.name.clone()];
    words.extend(work.arguments.iter().cloned());
    let words: Vec<String> = words.iter().map(|word| literal(word)).collect();
    let seconds = work.time.as_secs().max(1);
    let kept = if work.run.is_some() { u64::from(kubernetes.keep_hours) * 3_600 } else { LOOK_KEPT_SECONDS };
    let space = format!("{}Mi", limits.file_mib);
    let resources = json!({"cpu": kubernetes.cpu, "memory": format!("{}Mi", limits.memory_mib)});
    let pod = json!({
        "restartPolicy": "Never",
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "serviceAccountName": kubernetes.service_account.as_deref().unwrap_or("default"),
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "nodeSelector": kubernetes.node_selector,
        "imagePullSecrets": kubernetes.image_pull_secrets.iter().map(|name| json!({"name": name})).collect::<Vec<_>>(),
        "securityContext": {
            "runAsNonRoot": true,
            "runAsUser": kubernetes.user,
            "runAsGroup": kubernetes.user,
            "fsGroup": kubernetes.user,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [{
            "name": CONTAINER,
            "image": image,
            "command": ["/bin/sh", "-c", literal(START), "guichet"],
            "args": words,
            "env": environment(work, path.as_deref(), name),
            "resources": {"requests": resources, "limits": resources},
            "securityContext": {
                "allowPrivilegeEscalation": false,
                "readOnlyRootFilesystem": true,
                "capabilities": {"drop": ["ALL"]},
            },
            "volumeMounts": [
                {"name": "given", "mountPath": GIVEN, "readOnly": true},
                {"name": "own", "mountPath": OWN},
                {"name": "tmp", "mountPath": "/tmp"},
            ],
        }],
        "volumes": [
            {"name": "given", "secret": {
                "secretName": name,
                "defaultMode": 0o444,
                "items": [{"key": "program", "path": "program"}, {"key": "input", "path": "input"}],
            }},
            {"name": "own", "emptyDir": {"sizeLimit": space}},
            {"name": "tmp", "emptyDir": {"sizeLimit": space}},
        ],
    });
    let whole = json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": labels, "annotations": annotations},
        "spec": {
            "suspend": work.run.is_some(),
            "completions": 1,
            "parallelism": 1,
            "backoffLimit": 0,
            "podReplacementPolicy": "Failed",
            "activeDeadlineSeconds": seconds,
            "ttlSecondsAfterFinished": kept,
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    });
    serde_json::from_value(whole).map_err(|error| format!("the Job cannot be written: {error}"))
}

/// What to do where no image is named.
pub(crate) const NO_IMAGE: &str =
    "no image is named that it could run in: say `image` in its header, or in [kubernetes]";

/// Each variable by the name of its place in the Secret, so that none can be added there; and what every runner adds.
fn environment(work: &Work, path: Option<&str>, secret: &str) -> Vec<Value> {
    let from =
        |name: &String| json!({"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": name}}});
    let mut environment: Vec<Value> = work.environment.iter().map(|(name, _)| from(name)).collect();
    for (name, value) in [("PATH", path), ("LANG", Some("C.UTF-8")), ("HOME", Some(HOME))] {
        if let Some(value) = value {
            environment.push(json!({"name": name, "value": literal(value)}));
        }
    }
    environment
}

/// What the Job is given: program, input, environment. It goes with the Job at the latest.
///
/// # Errors
/// It is more than a Secret can hold.
pub(crate) fn secret(work: &Work, owner: &Job) -> Result<Secret, String> {
    let (name, uid) = (owner.metadata.name.clone(), owner.metadata.uid.clone());
    let mut data = Map::new();
    let mut size = 0;
    let mut put = |key: &str, value: &[u8]| {
        size += key.len() + value.len();
        data.insert(key.to_owned(), json!(STANDARD.encode(value)));
    };
    put("program", &work.program.bytes);
    put("input", &work.input);
    for (key, value) in &work.environment {
        put(key, value.as_bytes());
    }
    if size > SECRET_MOST {
        return Err(format!(
            "script, input and secrets have {size} bytes, and Kubernetes hands over {SECRET_MOST} at most: put what is large elsewhere"
        ));
    }
    let whole = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            "labels": {"app.kubernetes.io/managed-by": "guichet"},
            "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": uid}],
        },
        "immutable": true,
        "type": "guichet/run",
        "data": data,
    });
    serde_json::from_value(whole).map_err(|error| format!("the Secret cannot be written: {error}"))
}

#[cfg(test)]
mod tests {
    use std::{path::Path, time::Duration};

    use guichet_contract::Digest;
    use guichet_provider_scripts::{Hidden, Program};

    use super::*;

    fn ground(text: &str) -> Ground {
        let text = format!("folder = '.'\n[kubernetes]\nnamespace = 'scripts'\n{text}");
        let settings = Settings::from_toml(&text, Path::new(".")).unwrap();
        Ground::new(Kubernetes::of(&settings, Path::new(".")).unwrap(), &settings)
    }

    fn work(program: &[u8]) -> Work {
        let program =
            Program { name: "a.sh".to_owned(), digest: Digest::of_bytes(program), bytes: program.into() };
        Work {
            program,
            image: None,
            run: Some("0199-A".to_owned()),
            arguments: vec!["$(TOKEN) $x".to_owned()],
            environment: vec![("TOKEN".to_owned(), "s3cret".to_owned())],
            input: b"{\"pin\": \"4711\"}".to_vec(),
            time: Duration::from_secs(90),
            hidden: Hidden::default(),
        }
    }

    #[test]
    fn one_job_is_tried_once_and_shows_no_value() {
        let (ground, work) =
            (ground("image = 'tools@sha256:1'\nservice_account = 'scripts'"), work(b"#!/bin/sh\n"));
        let job = job(&ground, &work, &name_of("0199-A"), Some("sealed")).unwrap();
        let another = Work { run: Some("0199-B".to_owned()), ..work.clone() };
        assert!(is_of(&job, &work) && !is_of(&job, &another));
        let told = serde_json::to_value(&job).unwrap();
        let (spec, text) = (&told["spec"], told.to_string());
        assert_eq!((&told["metadata"]["name"], &spec["suspend"]), (&json!("guichet-0199-a"), &json!(true)));
        for (name, value) in
            [("backoffLimit", 0), ("completions", 1), ("parallelism", 1), ("activeDeadlineSeconds", 90)]
        {
            assert_eq!(spec[name], value, "{name}");
        }
        let pod = &spec["template"]["spec"];
        assert_eq!(
            (&pod["restartPolicy"], &pod["automountServiceAccountToken"]),
            (&json!("Never"), &json!(false))
        );
        assert_eq!(pod["containers"][0]["args"][2], "$$(TOKEN) $$x");
        assert!(!text.contains("s3cret") && !text.contains("4711"), "{text}");
        let from = &pod["containers"][0]["env"][0]["valueFrom"]["secretKeyRef"];
        assert_eq!((&from["name"], &from["key"]), (&json!("guichet-0199-a"), &json!("TOKEN")));
        let own = &pod["containers"][0]["securityContext"];
        assert_eq!(
            (&own["allowPrivilegeEscalation"], &own["readOnlyRootFilesystem"]),
            (&json!(false), &json!(true))
        );
    }

    #[test]
    fn a_look_ends_and_goes_by_itself_and_is_found_again() {
        let ground = ground("image = 'tools'");
        let work = Work { run: None, ..work(b"#!/bin/sh\n") };
        let look = job(&ground, &work, "guichet-look-1", None).unwrap();
        assert!(is_of(&look, &work), "its making may be tried twice");
        assert!(!is_of(&look, &Work { run: Some("0199-A".to_owned()), ..work.clone() }));
        let spec = look.spec.clone().unwrap();
        assert_eq!((spec.suspend, spec.active_deadline_seconds), (Some(false), Some(90)));
        assert_eq!(spec.ttl_seconds_after_finished, Some(120));
        assert_eq!(crate::standing::of(&look, None), crate::standing::Standing::Waiting(None), "it is begun");
    }

    #[test]
    fn what_does_not_fit_is_told() {
        assert!(job(&ground(""), &work(b"#!"), "x", None).unwrap_err().contains("no image"));
        let large = vec![b'x'; SECRET_MOST];
        assert!(secret(&work(&large), &Job::default()).unwrap_err().contains("put what is large elsewhere"));
        let secret = secret(&work(b"#!/bin/sh\n"), &Job::default()).unwrap();
        assert_eq!(secret.data.unwrap()["TOKEN"].0, b"s3cret");
        assert_eq!(secret.immutable, Some(true));
    }
}
