//! NOT an API server: answers that a test has written down, for what a real one does only when it is broken in the right moment.
//!
//! What a healthy one does is told by `tests/kubernetes`, with a real one.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use kube::client::Body;
use serde_json::{Value, json};

use crate::{cluster::Cluster, manifest::BEGUN};

/// One question.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    method: String,
    path: String,
    pub(crate) query: String,
    pub(crate) body: Value,
}

/// What is answered.
#[derive(Debug)]
pub(crate) enum Answer {
    /// A status and a body.
    Is(u16, String),
    /// Nothing at all.
    Silence,
}

impl Asked {
    /// What is asked for, and how: `("DELETE", "jobs")`. A pod's log is `log`.
    pub(crate) fn what(&self) -> (&str, &str) {
        let parts: Vec<&str> = self.path.split('/').collect();
        let kinds = ["log", "jobs", "pods", "secrets", "events"];
        let kind = kinds.iter().find(|kind| parts.contains(kind)).copied().unwrap_or_default();
        (&self.method, kind)
    }

    /// Of one thing: alone, in a list, or a watch that ends at once.
    pub(crate) fn shows(&self, thing: &Value) -> Answer {
        self.shows_all(std::slice::from_ref(thing))
    }

    /// Of these things.
    pub(crate) fn shows_all(&self, things: &[Value]) -> Answer {
        let (_, kind) = self.what();
        if self.query.contains("watch=") {
            return Answer::Is(200, String::new());
        }
        if self.path.ends_with(kind) && self.method == "GET" {
            let list = json!({"metadata": {"resourceVersion": "1"}, "items": things});
            return Answer::Is(200, list.to_string());
        }
        things.first().map_or_else(gone, |thing| Answer::Is(200, thing.to_string()))
    }
}

/// It is done, and there is no more to say.
pub(crate) fn done() -> Answer {
    Answer::Is(200, json!({"kind": "Status", "status": "Success", "code": 200}).to_string())
}

/// A refusal.
pub(crate) fn refused(code: u16, reason: &str) -> Answer {
    let told =
        json!({"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": "so it is"});
    Answer::Is(code, told.to_string())
}

/// Somebody changed it in between.
pub(crate) fn conflict() -> Answer {
    refused(409, "Conflict")
}

/// There is no such thing.
pub(crate) fn gone() -> Answer {
    refused(404, "NotFound")
}

/// A Job `x`.
pub(crate) fn job(annotations: &Value, conditions: &Value) -> Value {
    json!({
        "metadata": {"name": "x", "uid": "1", "resourceVersion": "1", "annotations": annotations},
        "status": {"conditions": conditions},
    })
}

/// The same, begun.
pub(crate) fn begun(conditions: &Value) -> Value {
    job(&json!({BEGUN: "true"}), conditions)
}

/// Its pod, whose container stands so.
pub(crate) fn pod(state: &Value) -> Value {
    let own = json!({"name": "script", "state": state, "ready": false, "restartCount": 0, "image": "", "imageID": ""});
    json!({"metadata": {"name": "x-1", "uid": "2"}, "status": {"containerStatuses": [own]}})
}

/// A container that has run and ended so.
pub(crate) fn ended(code: i32) -> Value {
    json!({"terminated": {"exitCode": code, "containerID": "containerd://1", "finishedAt": "2026-01-01T00:00:09Z"}})
}

/// A server that answers as it is told to.
pub(crate) struct Scripted {
    answer: Arc<dyn Fn(&Asked) -> Answer + Send + Sync>,
    heard: Arc<Mutex<Vec<Asked>>>,
}

impl Scripted {
    pub(crate) fn new(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        Self { answer: Arc::new(answer), heard: Arc::default() }
    }

    /// Its namespace `scripts`.
    pub(crate) fn cluster(&self) -> Cluster {
        let (answer, heard) = (Arc::clone(&self.answer), Arc::clone(&self.heard));
        let service = tower::service_fn(move |request: Request<Body>| {
            let (answer, heard) = (Arc::clone(&answer), Arc::clone(&heard));
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
                let asked = Asked {
                    method: head.method.to_string(),
                    path: head.uri.path().to_owned(),
                    query: head.uri.query().unwrap_or_default().to_owned(),
                    body: serde_json::from_slice(&body).unwrap_or_default(),
                };
                let answered = answer(&asked);
                heard.lock().unwrap().push(asked);
                let Answer::Is(status, text) = answered else {
                    return Err(std::io::Error::other("nobody answers"));
                };
                let response = Response::builder().status(status).body(Full::new(Bytes::from(text)));
                response.map_err(std::io::Error::other)
            }
        });
        Cluster::of(kube::Client::new(service, "scripts"), "scripts")
    }

    /// How often this was asked.
    pub(crate) fn times(&self, what: (&str, &str)) -> usize {
        self.heard.lock().unwrap().iter().filter(|asked| asked.what() == what).count()
    }
}
