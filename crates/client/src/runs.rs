//! Runs: plan, submit, look, withdraw, decide.

use std::time::Duration;

use guichet_contract::{ActionId, Approval, Approvals, Digest, Plan, Review, Run, RunState};
use reqwest::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    client::{Client, Page},
    error::Error,
};

/// What a run would do and what it would wait for. Nothing was changed by asking.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Planned {
    /// The provider's words; absent when the action has no plan.
    #[serde(default)]
    pub plan: Option<Plan>,
    /// Whether it would start at once.
    pub decision: PlannedDecision,
    /// What people would have to lift.
    #[serde(default)]
    pub approvals: Vec<Approval>,
    /// What it would act on.
    #[serde(default)]
    pub resource: Option<String>,
    /// Who owns that.
    #[serde(default)]
    pub owner: Option<String>,
}

/// Whether a run would start at once. (A refusal is an error.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlannedDecision {
    /// At once.
    Allowed,
    /// Once people have said yes.
    NeedsApproval,
}

/// An attempt to perform an action.
#[derive(Debug, Clone)]
pub struct Submission<'a> {
    /// Which action.
    pub action: &'a ActionId,
    /// The flat input.
    pub input: &'a Value,
    /// Why, in the requester's words.
    pub reason: Option<&'a str>,
    /// The same key twice is one run, however often it is sent.
    pub idempotency_key: Option<&'a str>,
    /// Go on without the approvals that are needed, in an emergency.
    pub break_glass: bool,
    /// How long the answer may take; the usual time-out when `None`. A read answers only when it is done.
    pub within: Option<Duration>,
}

/// What became of a submission.
#[derive(Debug, Clone)]
pub enum Submitted {
    /// A read was performed.
    Result(Value),
    /// A change has become a run.
    Run(Box<Run>),
}

/// A run that broke the glass, and its review.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reviewed {
    /// The review.
    pub review: Review,
    /// Whether it is open longer than it should be.
    pub overdue: bool,
    /// The run.
    pub run: Run,
}

/// Which runs to list.
#[derive(Debug, Clone, Default, Serialize)]
pub struct RunFilter {
    /// Only these states, comma-separated on the wire.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "by_commas")]
    pub state: Vec<RunState>,
    /// Only of this action.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Only by this principal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requested_by: Option<String>,
    /// At most so many, 1–500.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u16>,
    /// Where to go on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

fn by_commas<S: serde::Serializer>(states: &[RunState], serializer: S) -> Result<S::Ok, S::Error> {
    let words: Vec<&str> = states.iter().map(|state| state.as_str()).collect();
    serializer.serialize_str(&words.join(","))
}

impl Client {
    /// `POST /v1/actions/{action}/plan`: what a run would do. Changes nothing.
    pub async fn plan_run(
        &self,
        action: &ActionId,
        input: &Value,
        reason: Option<&str>,
    ) -> Result<Planned, Error> {
        let request = self.request(Method::POST, &["actions", action.as_str(), "plan"]);
        let response = self.send(request.json(&with_reason(json!({"input": input}), reason))).await?;
        self.json(response).await
    }

    /// `POST /v1/actions/{action}/runs`: attempts the action.
    pub async fn submit_run(&self, submission: Submission<'_>) -> Result<Submitted, Error> {
        #[derive(Deserialize)]
        struct ReadAnswer {
            result: Value,
        }
        let mut body = with_reason(json!({"input": submission.input}), submission.reason);
        if submission.break_glass {
            body["break_glass"] = true.into();
        }
        let mut request =
            self.request(Method::POST, &["actions", submission.action.as_str(), "runs"]).json(&body);
        if let Some(key) = submission.idempotency_key {
            request = request.header("idempotency-key", key);
        }
        let within = submission.within.unwrap_or(self.timeouts().request);
        let response = self.send_within(request, within).await?;
        if response.status() == StatusCode::ACCEPTED {
            return Ok(Submitted::Run(Box::new(self.json(response).await?)));
        }
        // 200 is a read's result, or the first run of a repeated key: a run has an id, a wrapped result has none.
        let answer: Value = self.json(response).await?;
        if answer.get("id").is_some() && answer.get("binding").is_some() {
            let run = serde_json::from_value(answer);
            return run.map(Submitted::Run).map_err(|error| self.protocol(error.to_string(), None));
        }
        serde_json::from_value::<ReadAnswer>(answer)
            .map(|answer| Submitted::Result(answer.result))
            .map_err(|error| self.protocol(error.to_string(), None))
    }

    /// `GET /v1/runs/{run}`; `run` is the whole id or its last eight digits.
    pub async fn get_run(&self, run: &str) -> Result<Run, Error> {
        let response = self.send(self.request(Method::GET, &["runs", run])).await?;
        self.json(response).await
    }

    /// `GET /v1/runs`: the newest first.
    pub async fn list_runs(&self, filter: &RunFilter) -> Result<Page<Run>, Error> {
        let response = self.send(self.request(Method::GET, &["runs"]).query(filter)).await?;
        self.json(response).await
    }

    /// `POST /v1/runs/{run}/cancel`: withdraws it.
    pub async fn cancel_run(&self, run: &str, reason: Option<&str>) -> Result<Run, Error> {
        self.decide(run, "cancel", with_reason(json!({}), reason)).await
    }

    /// `POST /v1/runs/{run}/comments`: asks about it, or answers.
    pub async fn comment_run(&self, run: &str, text: &str) -> Result<Run, Error> {
        self.decide(run, "comments", json!({"text": text})).await
    }

    /// `POST /v1/runs/{run}/undo`: submits the inverse that its action declares. The same key twice is one run.
    pub async fn undo_run(&self, run: &str, reason: Option<&str>, key: &str) -> Result<Run, Error> {
        let request = self.request(Method::POST, &["runs", run, "undo"]).header("idempotency-key", key);
        let response = self.send(request.json(&with_reason(json!({}), reason))).await?;
        self.json(response).await
    }

    /// `GET /v1/reviews`: open ones, the most urgent first.
    pub async fn list_reviews(&self, only_overdue: bool) -> Result<Vec<Reviewed>, Error> {
        let request = self.request(Method::GET, &["reviews"]).query(&[("overdue", only_overdue)]);
        let page: Page<Reviewed> = self.json(self.send(request).await?).await?;
        Ok(page.items)
    }

    /// `GET /v1/runs/{run}/review`.
    pub async fn read_review(&self, run: &str) -> Result<Reviewed, Error> {
        let response = self.send(self.request(Method::GET, &["runs", run, "review"])).await?;
        self.json(response).await
    }

    /// `POST /v1/runs/{run}/review/close`: somebody else looked, and says what they found.
    pub async fn close_review(&self, run: &str, words: &str) -> Result<Reviewed, Error> {
        let request = self.request(Method::POST, &["runs", run, "review", "close"]);
        let response = self.send(request.json(&json!({"words": words}))).await?;
        self.json(response).await
    }

    /// `POST /v1/runs/{run}/approve`: yes, to exactly what has this binding.
    pub async fn approve_run(
        &self,
        run: &str,
        binding: Option<&Digest>,
        reason: Option<&str>,
    ) -> Result<Run, Error> {
        let mut body = json!({});
        if let Some(binding) = binding {
            body["binding"] = binding.as_str().into();
        }
        self.decide(run, "approve", with_reason(body, reason)).await
    }

    /// `POST /v1/runs/{run}/reject`: no, and why.
    pub async fn reject_run(&self, run: &str, reason: &str) -> Result<Run, Error> {
        self.decide(run, "reject", json!({"reason": reason})).await
    }

    async fn decide(&self, run: &str, verb: &str, body: Value) -> Result<Run, Error> {
        let response = self.send(self.request(Method::POST, &["runs", run, verb]).json(&body)).await?;
        self.json(response).await
    }

    /// `GET /v1/approvals`: runs and schedules that wait for people; with `mine`, for me.
    pub async fn list_approvals(
        &self,
        mine: bool,
        limit: Option<u16>,
        cursor: Option<&str>,
    ) -> Result<Approvals, Error> {
        let mut request = self.request(Method::GET, &["approvals"]);
        if mine {
            request = request.query(&[("mine", "true")]);
        }
        if let Some(limit) = limit {
            request = request.query(&[("limit", limit)]);
        }
        if let Some(cursor) = cursor {
            request = request.query(&[("cursor", cursor)]);
        }
        let response = self.send(request).await?;
        self.json(response).await
    }
}

fn with_reason(mut body: Value, reason: Option<&str>) -> Value {
    if let Some(reason) = reason {
        body["reason"] = reason.into();
    }
    body
}
