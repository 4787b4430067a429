//! The catalogue, live values of an input member, and the providers behind it.

use guichet_contract::{ActionId, Catalogue};
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

/// One value a member of an input can take now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OptionItem {
    /// What goes into the input.
    pub value: Value,
    /// What a person reads.
    #[serde(default)]
    pub label: String,
}

/// One provider as the gateway sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProviderStatus {
    /// Its name.
    pub name: String,
    /// Whether it serves.
    pub state: String,
    /// How many operations it offers.
    #[serde(default)]
    pub operations: Value,
    /// Since when it is in this state.
    #[serde(default)]
    pub since: Option<String>,
    /// What is wrong with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Value>,
    /// What its document could say better.
    #[serde(default)]
    pub warnings: Vec<Value>,
    /// Who registers it; none of one that is configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The instances that are there, of one that registers itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub instances: Vec<Value>,
}

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
    ) -> Result<Vec<OptionItem>, Error> {
        #[derive(Deserialize)]
        struct Items {
            items: Vec<OptionItem>,
        }
        let mut body = json!({"input": known});
        if let Some(search) = search {
            body["search"] = search.into();
        }
        let request = self.request(Method::POST, &["actions", action.as_str(), "options", member]);
        let response = self.send(request.json(&body)).await?;
        Ok(self.json::<Items>(response).await?.items)
    }

    /// `DELETE /v1/providers/{provider}`: the name of one that registered itself is nobody's again.
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
