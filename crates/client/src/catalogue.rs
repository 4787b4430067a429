//! The catalogue, live values of an input member, and the providers behind it.

use std::time::Duration;

use guichet_contract::{ActionId, Addition, Catalogue, Choice, ProviderStatus};
use reqwest::{Method, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{client::Client, error::Error};

/// A catalogue with the tag that tells whether it is still the same.
#[derive(Debug, Clone)]
pub struct CatalogueAnswer {
    /// As the gateway knows it now.
    pub catalogue: Catalogue,
    /// Its `ETag`, to be sent the next time.
    pub etag: Option<String>,
}

/// A service that shall be added as a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NewService {
    /// Where its OpenAPI document is.
    pub openapi: String,
    /// Where it answers; what its document says when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The name of a credential in the gateway's configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
    /// The text of an OpenAPI Overlay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overlay: Option<String>,
}

/// The gateway asks the service for its document first, perhaps twice.
const ADDED_WITHIN: Duration = Duration::from_secs(90);

impl Client {
    /// `GET /v1/catalogue`: all actions, or `None` when it is still the one with this tag.
    pub async fn catalogue(&self, etag: Option<&str>) -> Result<Option<CatalogueAnswer>, Error> {
        let mut request = self.request(Method::GET, &["catalogue"]);
        if let Some(etag) = etag {
            request = request.header(header::IF_NONE_MATCH, etag);
        }
        let response = self.send(request).await?;
        if response.status() == StatusCode::NOT_MODIFIED {
            return Ok(None);
        }
        let etag =
            response.headers().get(header::ETAG).and_then(|etag| etag.to_str().ok()).map(str::to_owned);
        let catalogue = self.json(response).await?;
        Ok(Some(CatalogueAnswer { catalogue, etag }))
    }

    /// `POST /v1/actions/{action}/options/{member}`: the values this member can take, given what is known.
    pub async fn list_options(
        &self,
        action: &ActionId,
        member: &str,
        known: &Value,
        search: Option<&str>,
    ) -> Result<Vec<Choice>, Error> {
        #[derive(Deserialize)]
        struct Items {
            items: Vec<Choice>,
        }
        let mut body = json!({"input": known});
        if let Some(search) = search {
            body["search"] = search.into();
        }
        let request = self.request(Method::POST, &["actions", action.as_str(), "options", member]);
        let response = self.send(request.json(&body)).await?;
        Ok(self.json::<Items>(response).await?.items)
    }

    /// `PUT /v1/providers/{provider}/service`: a service becomes a provider; with `dry_run` it is only looked what that would give.
    pub async fn add_provider(
        &self,
        provider: &str,
        service: &NewService,
        dry_run: bool,
    ) -> Result<Addition, Error> {
        let mut request = self.request(Method::PUT, &["providers", provider, "service"]).json(service);
        if dry_run {
            request = request.query(&[("dry_run", "true")]);
        }
        let response = self.send_within(request, ADDED_WITHIN).await?;
        self.json(response).await
    }

    /// `GET /v1/providers/{provider}`: one of them, and how it is.
    pub async fn read_provider(&self, provider: &str) -> Result<ProviderStatus, Error> {
        let response = self.send(self.request(Method::GET, &["providers", provider])).await?;
        self.json(response).await
    }

    /// `DELETE /v1/providers/{provider}`: the name of one that registered itself, or was added, is nobody's again.
    pub async fn remove_provider(&self, provider: &str) -> Result<(), Error> {
        self.send(self.request(Method::DELETE, &["providers", provider])).await.map(drop)
    }

    /// `GET /v1/providers`: who performs, and how they are.
    pub async fn list_providers(&self) -> Result<Vec<ProviderStatus>, Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Answer {
            Plain(Vec<ProviderStatus>),
            Page { items: Vec<ProviderStatus> },
        }
        let response = self.send(self.request(Method::GET, &["providers"])).await?;
        Ok(match self.json(response).await? {
            Answer::Plain(providers) | Answer::Page { items: providers } => providers,
        })
    }
}
