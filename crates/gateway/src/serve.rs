//! The accept loop: how many connections, how long a head may take, and how it all ends.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use hyper::server::conn::{http1, http2};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::graceful::{GracefulShutdown, Watcher},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time,
};
use tokio_util::sync::CancellationToken;

use crate::{itinerary::Itinerary, lanes::Lanes};

/// Limits of connections.
#[derive(Debug, Clone)]
pub struct ServeSettings {
    /// Connections at once; further ones wait in the system's queue.
    pub connections: usize,
    /// How long a request's head may take, the first one from the connection's beginning.
    pub head: Duration,
    /// How long a stopping gateway waits for requests under way.
    pub drain: Duration,
}

impl Default for ServeSettings {
    fn default() -> Self {
        Self { connections: 10_000, head: Duration::from_secs(10), drain: Duration::from_secs(20) }
    }
}

/// The largest head, bytes, and the most headers.
const HEAD_BYTES: usize = 64 * 1024;
const HEADERS: usize = 100;

/// Serves until `stop`, then lets requests under way finish.
pub async fn serve(
    listener: TcpListener,
    itinerary: Itinerary,
    settings: ServeSettings,
    stop: CancellationToken,
) {
    let lanes = match Lanes::start() {
        Ok(lanes) => lanes,
        Err(error) => {
            tracing::error!(%error, "no threads to serve connections on");
            return;
        }
    };
    let connections = Arc::new(Semaphore::new(settings.connections));
    let graceful = GracefulShutdown::new();
    loop {
        let place = tokio::select! {
            () = stop.cancelled() => break,
            place = Arc::clone(&connections).acquire_owned() => place,
        };
        let Ok(place) = place else { break };
        let (stream, peer) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, most likely: a pause lets some connections end.
                    tracing::warn!(%error, "a connection could not be accepted");
                    time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        // Registered anew with the lane's own poll.
        let stream = match stream.into_std() {
            Ok(stream) => stream,
            Err(error) => {
                tracing::debug!(%error, "a connection ended before it was served");
                continue;
            }
        };
        let (itinerary, watcher, head, stop) =
            (itinerary.clone(), graceful.watcher(), settings.head, stop.clone());
        let Some(lane) = lanes.next() else { break };
        lane.spawn(async move {
            if let Err(error) = connection(stream, peer, &itinerary, watcher, head, &stop).await {
                tracing::debug!(%error, "a connection ended badly");
            }
            drop(place);
        });
    }
    drop(listener);
    if time::timeout(settings.drain, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests were still under way when the time to drain was over");
    }
}

async fn connection(
    stream: std::net::TcpStream,
    peer: SocketAddr,
    itinerary: &Itinerary,
    watcher: Watcher,
    head: Duration,
    stop: &CancellationToken,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let stream = TcpStream::from_std(stream)?;
    stream.set_nodelay(true)?;
    let version = tokio::select! {
        () = stop.cancelled() => return Ok(()),
        version = time::timeout(head, version_of(&stream)) => version,
    };
    // Silent from the beginning: nothing was asked, so nothing is answered.
    let Ok(version) = version else { return Ok(()) };
    let (io, service) = (TokioIo::new(stream), itinerary.of_peer(peer.ip()));
    match version? {
        Version::Http1 => {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(head)
                .max_headers(HEADERS)
                .max_buf_size(HEAD_BYTES)
                .serve_connection(io, service);
            watcher.watch(connection).await?;
        }
        Version::Http2 => {
            let connection = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .max_concurrent_streams(200)
                .max_header_list_size(u32::try_from(HEAD_BYTES)?)
                .keep_alive_interval(Duration::from_secs(30))
                .serve_connection(io, service);
            watcher.watch(connection).await?;
        }
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    Http1,
    Http2,
}

/// HTTP/2 with prior knowledge begins with `PRI * HTTP/2.0` (RFC 9113, section 3.4), and no method of HTTP/1 begins with
/// `PRI `.
async fn version_of(stream: &TcpStream) -> io::Result<Version> {
    const PREFACE: &[u8] = b"PRI ";
    let mut begun = [0; PREFACE.len()];
    loop {
        let length = stream.peek(&mut begun).await?;
        if length == 0 || !PREFACE.starts_with(&begun[..length]) {
            return Ok(Version::Http1);
        }
        if length == PREFACE.len() {
            return Ok(Version::Http2);
        }
        // What was peeked at stays, so the stream is ready at once: the rest is waited for by the clock.
        time::sleep(Duration::from_millis(5)).await;
    }
}
