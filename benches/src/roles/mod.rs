//! The servers of our own that stand beside the gateway, each played by this program in a process of its own.

pub(crate) mod provider;
mod proxy;
mod upstream;

use std::{convert::Infallible, io::Write as _};

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use http::{Request, Response};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// Plays a role until it is ended.
pub(crate) fn play(role: &str, rest: &[&str]) -> Result<()> {
    if let ("document", [file]) = (role, rest) {
        return crate::openapi::read(file);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match (role, rest) {
            ("upstream", [operations]) => {
                upstream::serve(operations.parse().context("a number of operations")?).await
            }
            ("proxy", [to]) => proxy::serve(to).await,
            ("provider", [gateway]) => provider::serve(gateway, "bench").await,
            ("provider", [gateway, name]) => provider::serve(gateway, name).await,
            _ => bail!("no role `{role}` with {} words", rest.len()),
        }
    })
}

/// What is asked for everywhere: about 200 bytes.
pub(crate) const ITEM: &str = r#"{"id":7,"name":"a thing of the shop","state":"available","owner":"checkout","labels":["red","round","light"],"created_at":"2026-01-01T00:00:00Z","price":{"amount":"12.50","currency":"EUR"},"stock":1200}"#;

/// A port of the system's choice, told on the first line.
async fn listen() -> Result<TcpListener> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("http://{}", listener.local_addr()?);
    std::io::stdout().flush()?;
    Ok(listener)
}

/// HTTP/1.1 with nothing around it.
async fn serve<B, F, Fut>(answer: F) -> Result<()>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: std::error::Error + Send + Sync,
    F: Fn(Request<Incoming>) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Response<B>> + Send + 'static,
{
    let listener = listen().await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let answer = answer.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let answered = answer(request);
                async move { Ok::<_, Infallible>(answered.await) }
            });
            // Whoever goes away in the middle is no concern of a measurement's neighbour.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}
