//! The kit's side of `/v1/keys`: keys of its own, served over HTTP, replaced when a case asks for it, and how often it was
//! asked.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use guichet_contract::{Clock as _, SystemClock};
use http_body_util::Full;
use hyper::{Response, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use pasetors::{
    keys::{AsymmetricKeyPair, Generate as _},
    paserk::{FormatAsPaserk as _, Id},
    version4::{PublicToken, V4},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::CheckError;

/// A pair of keys, and what both are called.
pub(crate) struct Key {
    pair: AsymmetricKeyPair<V4>,
    pub(crate) kid: String,
    public: String,
}

impl Key {
    pub(crate) fn new() -> Result<Self, CheckError> {
        let pair =
            AsymmetricKeyPair::<V4>::generate().map_err(|error| CheckError::NoKey(error.to_string()))?;
        let (mut kid, mut public) = (String::new(), String::new());
        let no_text = |error: std::fmt::Error| CheckError::NoKey(error.to_string());
        Id::from(&pair.public).fmt(&mut kid).map_err(no_text)?;
        pair.public.fmt(&mut public).map_err(no_text)?;
        Ok(Self { pair, kid, public })
    }

    /// A token with these claims, under the name of this key or of another.
    pub(crate) fn sign(&self, claims: &Value, kid: Option<&str>) -> String {
        let footer = kid.map(|kid| json!({"kid": kid}).to_string());
        PublicToken::sign(
            &self.pair.secret,
            claims.to_string().as_bytes(),
            footer.as_ref().map(String::as_bytes),
            None,
        )
        .unwrap_or_default()
    }
}

/// Who asked for the keys, and what is served.
struct Served {
    body: Mutex<String>,
    asked: AtomicUsize,
    last: Mutex<Option<Timestamp>>,
}

/// Keys that are served.
pub(crate) struct KeyDesk {
    address: SocketAddr,
    served: Arc<Served>,
    current: Mutex<Arc<Key>>,
    /// One that is never served.
    pub(crate) stranger: Key,
    task: JoinHandle<()>,
}

impl Drop for KeyDesk {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl KeyDesk {
    pub(crate) async fn open(address: SocketAddr) -> Result<Self, CheckError> {
        let wrong = |error| CheckError::Keys(address, error);
        let listener = TcpListener::bind(address).await.map_err(wrong)?;
        let address = listener.local_addr().map_err(wrong)?;
        let key = Arc::new(Key::new()?);
        let served = Arc::new(Served {
            body: Mutex::new(published(&[&key])),
            asked: AtomicUsize::new(0),
            last: Mutex::new(None),
        });
        let task = tokio::spawn(serve(listener, Arc::clone(&served)));
        Ok(Self { address, served, current: Mutex::new(key), stranger: Key::new()?, task })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The key that signs.
    pub(crate) fn current(&self) -> Arc<Key> {
        Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A new key signs from now on; the one before is still served.
    pub(crate) fn turn(&self) -> Result<(), CheckError> {
        let new = Arc::new(Key::new()?);
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        *self.served.body.lock().unwrap_or_else(PoisonError::into_inner) = published(&[&current, &new]);
        *current = new;
        Ok(())
    }

    /// How often the keys were asked for.
    pub(crate) fn asked(&self) -> usize {
        self.served.asked.load(Ordering::SeqCst)
    }

    /// When they were last.
    pub(crate) fn last_asked(&self) -> Option<Timestamp> {
        *self.served.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An id nobody had.
pub(crate) fn fresh_id() -> String {
    SystemClock.new_uuid().to_string()
}

fn published(keys: &[&Key]) -> String {
    let keys: Vec<Value> = keys.iter().map(|key| json!({"kid": key.kid, "public": key.public})).collect();
    json!({"keys": keys}).to_string()
}

async fn serve(listener: TcpListener, served: Arc<Served>) {
    loop {
        let Ok((socket, _)) = listener.accept().await else { continue };
        let served = Arc::clone(&served);
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let found = request.uri().path() == "/v1/keys";
            let body = if found {
                let _ = served.asked.fetch_add(1, Ordering::SeqCst);
                *served.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(SystemClock.now());
                served.body.lock().unwrap_or_else(PoisonError::into_inner).clone()
            } else {
                json!({"status": 404, "title": "There is nothing here", "detail": "the kit serves /v1/keys alone"})
                    .to_string()
            };
            async move {
                let mut response = Response::new(Full::new(Bytes::from(body)));
                if !found {
                    *response.status_mut() = hyper::StatusCode::NOT_FOUND;
                }
                let kind = hyper::header::HeaderValue::from_static("application/json");
                let _ = response.headers_mut().insert(hyper::header::CONTENT_TYPE, kind);
                Ok::<_, Infallible>(response)
            }
        });
        drop(tokio::spawn(async move {
            // Who hangs up before the end has asked all the same.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(socket), service)
                .await;
        }));
    }
}
