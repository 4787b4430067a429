//! Asking the policies: why, who can, who can approve, what others would change.

use std::{collections::BTreeMap, time::Duration};

use guichet_contract::{ActionId, Explanation, OfferedAction, Simulation, WhoCan, WhoCanApprove};
use reqwest::Method;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

use crate::{
    client::{Client, Page},
    error::Error,
};

/// What is asked about: an action with what of a call is known, or a run.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Subject {
    /// A run's full or short id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// An action's id, where no run is meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// The flat input; none while it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<Map<String, Value>>,
    /// What it would act on; as the input says when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// Why, as a requester would say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// As this user; the caller, or a run's requester, when absent.
    #[serde(rename = "as", skip_serializing_if = "Option::is_none")]
    pub as_user: Option<String>,
}

/// How long a simulation may take: it goes through every record of its days.
const SIMULATION: Duration = Duration::from_mins(10);

impl Client {
    /// `POST /v1/policy/explain`: which policies decide, and what would be needed.
    pub async fn explain_policy(&self, subject: &Subject) -> Result<Explanation, Error> {
        self.ask_policies("explain", subject).await
    }

    /// `POST /v1/policy/who-can`: everybody who can, for those who may audit.
    pub async fn who_can(&self, subject: &Subject) -> Result<WhoCan, Error> {
        self.ask_policies("who-can", subject).await
    }

    /// `POST /v1/policy/who-can-approve`: everybody who can say yes, for those who may audit.
    pub async fn who_can_approve(&self, subject: &Subject) -> Result<WhoCanApprove, Error> {
        self.ask_policies("who-can-approve", subject).await
    }

    /// `POST /v1/policy/simulate`: what these policy files, by name, would have answered in the last days (1–366).
    pub async fn simulate_policy(
        &self,
        policies: &BTreeMap<String, String>,
        days: u16,
    ) -> Result<Simulation, Error> {
        let request = self.request(Method::POST, &["policy", "simulate"]);
        let request = request.json(&json!({"policies": policies, "days": days}));
        let response = self.send_within(request, SIMULATION).await?;
        self.json(response).await
    }

    /// `GET /v1/actions`: all actions, and whether the caller may do them.
    pub async fn search_actions(&self, words: &str) -> Result<Vec<OfferedAction>, Error> {
        let mut request = self.request(Method::GET, &["actions"]);
        if !words.is_empty() {
            request = request.query(&[("search", words)]);
        }
        let response = self.send(request).await?;
        Ok(self.json::<Page<OfferedAction>>(response).await?.items)
    }

    /// `GET /v1/actions/{action}`: one action, and whether the caller may do it.
    pub async fn read_action(&self, action: &ActionId) -> Result<OfferedAction, Error> {
        let response = self.send(self.request(Method::GET, &["actions", action.as_str()])).await?;
        self.json(response).await
    }

    async fn ask_policies<T: DeserializeOwned>(&self, question: &str, subject: &Subject) -> Result<T, Error> {
        let request = self.request(Method::POST, &["policy", question]).json(subject);
        let response = self.send(request).await?;
        self.json(response).await
    }
}
