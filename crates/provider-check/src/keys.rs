//! What the kit serves: `/v1/keys`, keys of its own, replaced when a case asks for it, and how often it was asked; and the
//! routes of registering, beside them.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use guichet_contract::{Clock as _, SystemClock};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Request, Response, StatusCode, body::Incoming, header::AUTHORIZATION, service::service_fn};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use pasetors::{
    keys::{AsymmetricKeyPair, Generate as _},
    paserk::{FormatAsPaserk as _, Id},
    version4::{PublicToken, V4},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{
    CheckError,
    presence::{ELSEWHERE, Heard, Presence},
};

/// The largest body that is read, bytes.
const BODY_LIMIT: usize = 1 << 16;

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
    /// Nobody is given them at the moment.
    is_shut: AtomicBool,
    url: String,
    presence: Presence,
}

/// Keys that are served.
pub(crate) struct KeyDesk {
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
            is_shut: AtomicBool::new(false),
            url: format!("http://{address}"),
            presence: Presence::new(),
        });
        let task = tokio::spawn(serve(listener, Arc::clone(&served)));
        Ok(Self { served, current: Mutex::new(key), stranger: Key::new()?, task })
    }

    pub(crate) fn url(&self) -> String {
        self.served.url.clone()
    }

    /// What providers say of themselves.
    pub(crate) fn presence(&self) -> &Presence {
        &self.served.presence
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

    /// From now on nobody is given the keys, or all are again.
    pub(crate) fn shut(&self, is_shut: bool) {
        self.served.is_shut.store(is_shut, Ordering::SeqCst);
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
        let service = service_fn(move |request| answer(Arc::clone(&served), request));
        drop(tokio::spawn(async move {
            // Who hangs up before the end has asked all the same.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(socket), service)
                .await;
        }));
    }
}

async fn answer(served: Arc<Served>, request: Request<Incoming>) -> io::Result<Response<Full<Bytes>>> {
    let path = request.uri().path().to_owned();
    if path.starts_with("/v1/providers/") || path == ELSEWHERE {
        let method = request.method().clone();
        let authorization = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let authorization = authorization.unwrap_or_default().to_owned();
        let body = Limited::new(request.into_body(), BODY_LIMIT).collect().await;
        let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let body = serde_json::from_slice(&body).unwrap_or_default();
        let heard = Heard { at: SystemClock.now(), method, path, authorization, body };
        let hung_up = || io::Error::new(io::ErrorKind::ConnectionAborted, "as a case wants it");
        return served.presence.answer(heard, &served.url).ok_or_else(hung_up);
    }
    let (status, body) = if path == "/v1/keys" {
        let _ = served.asked.fetch_add(1, Ordering::SeqCst);
        *served.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(SystemClock.now());
        if served.is_shut.load(Ordering::SeqCst) {
            let detail = "the kit gives nobody its keys at the moment, as a case wants it";
            let body = json!({"status": 503, "title": "There are no keys now", "detail": detail});
            (StatusCode::SERVICE_UNAVAILABLE, body.to_string())
        } else {
            (StatusCode::OK, served.body.lock().unwrap_or_else(PoisonError::into_inner).clone())
        }
    } else {
        let detail = "the kit serves /v1/keys and /v1/providers alone";
        let body = json!({"status": 404, "title": "There is nothing here", "detail": detail});
        (StatusCode::NOT_FOUND, body.to_string())
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let kind = hyper::header::HeaderValue::from_static("application/json");
    let _ = response.headers_mut().insert(hyper::header::CONTENT_TYPE, kind);
    Ok(response)
}
