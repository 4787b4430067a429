//! Signing in and out, and personal tokens.

use guichet_contract::Principal;
use jiff::Timestamp;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    client::{Client, Page},
    error::Error,
    secret::Secret,
};

/// A session that was just opened. The token is shown this once.
#[derive(Debug, Clone, Deserialize)]
pub struct NewSession {
    /// What later calls carry.
    pub token: Secret,
    /// Its id, for revoking it.
    pub token_id: String,
    /// When it ends by itself.
    pub expires_at: Timestamp,
    /// Who signed in.
    pub principal: Principal,
    /// What this gateway serves.
    pub environment: String,
}

/// Who the token stands for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Identity {
    /// Who.
    pub principal: Principal,
    /// What this gateway serves.
    pub environment: String,
    /// Id of the token that was presented, where the credential is one of the gateway's.
    #[serde(default)]
    pub token_id: Option<String>,
    /// When it ends.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
    /// `session`, `personal` …
    #[serde(default)]
    pub token_kind: Option<String>,
    /// What the token is limited to; everything its owner may do when empty.
    #[serde(default)]
    pub scopes: Vec<String>,
}

/// A personal token that was just made. Its text is shown this once.
#[derive(Debug, Clone, Deserialize)]
pub struct NewToken {
    /// Its id, for revoking it.
    pub id: String,
    /// What calls carry.
    pub token: Secret,
    /// Its name, for people.
    pub name: String,
    /// What it is limited to; everything its owner may do when empty.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// When it ends.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
}

/// A token, without its text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenInfo {
    /// Its id, for revoking it.
    pub id: String,
    /// Its name, for people.
    #[serde(default)]
    pub name: Option<String>,
    /// What it is limited to.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// When it was made.
    #[serde(default)]
    pub created_at: Option<Timestamp>,
    /// When it ends.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
    /// When it was last presented.
    #[serde(default)]
    pub last_used_at: Option<Timestamp>,
}

impl Client {
    /// `POST /v1/session`: opens a session.
    pub async fn sign_in(&self, user: &str, password: &Secret) -> Result<NewSession, Error> {
        let body = json!({"user": user, "password": password.reveal()});
        let response = self.send(self.request(Method::POST, &["session"]).json(&body)).await?;
        self.json(response).await
    }

    /// `GET /v1/session`: who the token stands for.
    pub async fn who_am_i(&self) -> Result<Identity, Error> {
        let response = self.send(self.request(Method::GET, &["session"])).await?;
        self.json(response).await
    }

    /// `DELETE /v1/session`: ends the session the token belongs to.
    pub async fn sign_out(&self) -> Result<(), Error> {
        self.send(self.request(Method::DELETE, &["session"])).await.map(drop)
    }

    /// `POST /v1/tokens`: makes a personal token that ends after so many seconds.
    pub async fn create_token(
        &self,
        name: &str,
        expires_in_seconds: u64,
        scopes: &[String],
    ) -> Result<NewToken, Error> {
        let body = json!({"name": name, "expires_in_seconds": expires_in_seconds, "scopes": scopes});
        let response = self.send(self.request(Method::POST, &["tokens"]).json(&body)).await?;
        self.json(response).await
    }

    /// `GET /v1/tokens`: one's own tokens.
    pub async fn list_tokens(&self) -> Result<Page<TokenInfo>, Error> {
        let response = self.send(self.request(Method::GET, &["tokens"])).await?;
        self.json(response).await
    }

    /// `DELETE /v1/tokens/{id}`: the token opens nothing any more.
    pub async fn revoke_token(&self, id: &str) -> Result<(), Error> {
        self.send(self.request(Method::DELETE, &["tokens", id])).await.map(drop)
    }
}
