//! `GET /v1/keys`: the public keys of the tokens that providers get.

use std::sync::Arc;

use axum::{Json, extract::State, routing::get};
use http::Method;
use schemars::JsonSchema;
use serde::Serialize;

use crate::{api::Endpoint, state::Gateway};

/// The keys in force.
#[derive(Serialize, JsonSchema)]
pub struct Keys {
    /// The signing one first.
    keys: Vec<Key>,
}

/// One key.
#[derive(Serialize, JsonSchema)]
pub struct Key {
    /// PASERK id, `k4.pid.…`.
    kid: String,
    /// PASERK public key, `k4.public.…`.
    public: String,
}

pub(crate) fn endpoint() -> Endpoint {
    Endpoint::new(Method::GET, "/v1/keys", "read_keys", "Keys of the tokens that providers get", get(handle))
        .answers::<Keys>(200, "The keys in force")
        .open()
}

async fn handle(State(gateway): State<Arc<Gateway>>) -> Json<Keys> {
    let keys = gateway.info.provider_keys.iter();
    Json(Keys { keys: keys.map(|(kid, public)| Key { kid: kid.clone(), public: public.clone() }).collect() })
}
