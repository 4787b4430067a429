//! Schedules: make, look, decide, halt, remove.

use guichet_contract::{ActionId, Digest, Missed, Schedule};
use reqwest::Method;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::{
    client::{Client, Page},
    error::Error,
};

/// What is wanted, and when.
#[derive(Debug, Clone, Serialize)]
pub struct NewSchedule {
    /// What people call it.
    pub name: String,
    /// Which action.
    pub action: ActionId,
    /// The flat input.
    pub input: Map<String, Value>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// A calendar expression of five fields.
    pub expression: String,
    /// IANA time zone.
    pub zone: String,
    /// What becomes of times at which no gateway was there.
    pub missed: Missed,
    /// A date or a moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

impl Client {
    /// `POST /v1/schedules`. Sent twice it is made once: its name is taken then.
    pub async fn create_schedule(&self, new: &NewSchedule) -> Result<Schedule, Error> {
        let response = self.send(self.request(Method::POST, &["schedules"]).json(new)).await?;
        self.json(response).await
    }

    /// `GET /v1/schedules`: by name.
    pub async fn list_schedules(&self) -> Result<Page<Schedule>, Error> {
        let response = self.send(self.request(Method::GET, &["schedules"])).await?;
        self.json(response).await
    }

    /// `GET /v1/schedules/{schedule}`, by its name or its id.
    pub async fn read_schedule(&self, schedule: &str) -> Result<Schedule, Error> {
        let response = self.send(self.request(Method::GET, &["schedules", schedule])).await?;
        self.json(response).await
    }

    /// `POST /v1/schedules/{schedule}/approve`: yes, to exactly what has this binding.
    pub async fn approve_schedule(
        &self,
        schedule: &str,
        binding: &Digest,
        reason: Option<&str>,
    ) -> Result<Schedule, Error> {
        let mut body = json!({"binding": binding});
        if let Some(reason) = reason {
            body["reason"] = reason.into();
        }
        self.on_schedule(schedule, "approve", body).await
    }

    /// `POST /v1/schedules/{schedule}/reject`: no, and why.
    pub async fn reject_schedule(&self, schedule: &str, reason: &str) -> Result<Schedule, Error> {
        self.on_schedule(schedule, "reject", json!({"reason": reason})).await
    }

    /// `POST /v1/schedules/{schedule}/pause`: halts it.
    pub async fn pause_schedule(&self, schedule: &str, reason: Option<&str>) -> Result<Schedule, Error> {
        self.on_schedule(schedule, "pause", json!({"reason": reason})).await
    }

    /// `POST /v1/schedules/{schedule}/resume`: lets it go on.
    pub async fn resume_schedule(&self, schedule: &str, reason: Option<&str>) -> Result<Schedule, Error> {
        self.on_schedule(schedule, "resume", json!({"reason": reason})).await
    }

    /// `DELETE /v1/schedules/{schedule}`: removes it, and gives it as it was.
    pub async fn delete_schedule(&self, schedule: &str) -> Result<Schedule, Error> {
        let response = self.send(self.request(Method::DELETE, &["schedules", schedule])).await?;
        self.json(response).await
    }

    async fn on_schedule(&self, schedule: &str, verb: &str, body: Value) -> Result<Schedule, Error> {
        let request = self.request(Method::POST, &["schedules", schedule, verb]);
        let response = self.send(request.json(&body)).await?;
        self.json(response).await
    }
}
