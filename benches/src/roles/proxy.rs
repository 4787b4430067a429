//! A reverse proxy of hyper and nothing else: no log, no identity, no policy. What the libraries cost that the
//! gateway is built of, and so the most it could ever do.

use anyhow::Result;
use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty, combinators::BoxBody};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};

/// Serves, passing everything on to `to`.
pub(super) async fn serve(to: &str) -> Result<()> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Client<_, Incoming> = Client::builder(TokioExecutor::new()).build(connector);
    let to: Uri = to.parse()?;
    super::serve(move |request| pass_on(client.clone(), to.clone(), request)).await
}

async fn pass_on(
    client: Client<HttpConnector, Incoming>,
    to: Uri,
    mut request: Request<Incoming>,
) -> Response<BoxBody<Bytes, hyper::Error>> {
    let mut parts = to.into_parts();
    parts.path_and_query = request.uri().path_and_query().cloned();
    // The client writes the host of whom it calls.
    request.headers_mut().remove(header::HOST);
    let answer = match Uri::from_parts(parts) {
        Ok(uri) => {
            *request.uri_mut() = uri;
            client.request(request).await.ok()
        }
        Err(_) => None,
    };
    answer.map_or_else(bad_gateway, |response| response.map(BodyExt::boxed))
}

fn bad_gateway() -> Response<BoxBody<Bytes, hyper::Error>> {
    let mut response = Response::new(Empty::new().map_err(|never| match never {}).boxed());
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response
}
