//! Serving over HTTP, and ending well: what is under way is finished.

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use axum::body::Body;
use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use tokio::{net::TcpListener, sync::Semaphore, time::Instant};
use tower::ServiceExt as _;

use crate::{
    mounted::Mounted,
    prepared::Prepared,
    provider::{Mistakes, Provider},
    settings::Settings,
};

/// How long the end waits for what is under way.
pub(crate) const FINISH_WITHIN: Duration = Duration::from_secs(30);
/// How long a client may take to send the head of a request.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// Connections at once; one more waits to be accepted.
const CONNECTIONS: usize = 1_024;

pub(crate) async fn serve(provider: Provider, settings: Settings) -> Result<(), ServeError> {
    provider.mount(settings)?.serve().await
}

impl Mounted {
    /// Serves it alone, as [`Provider::serve`] does: for a program that holds on to what it serves, to
    /// [renew](Prepared::renew) it.
    ///
    /// # Errors
    /// An address that cannot be had, signals that cannot be waited for.
    pub async fn serve(self) -> Result<(), ServeError> {
        let address = self.listen();
        let listener = TcpListener::bind(address)
            .await
            .map_err(|error| ServeError::Listen { address: address.to_string(), source: error })?;
        let stop = stop_signal().map_err(ServeError::Signal)?;
        self.prepared().serve_until(listener, self.stopping_at(stop)).await;
        Ok(())
    }
}

impl Prepared {
    /// Serves on this listener until `stop` is ready, then accepts no more, and finishes what is under way,
    /// for at most 30 s.
    pub async fn serve_until(self, listener: TcpListener, stop: impl Future<Output = ()>) {
        let address = listener.local_addr().map(|address| address.to_string()).unwrap_or_default();
        tracing::info!(provider = self.name(), address, "serving");
        let connections = GracefulShutdown::new();
        self.accept(listener, stop, &connections).await;
        let end = Instant::now() + FINISH_WITHIN;
        tracing::info!(provider = self.name(), "finishing what is under way");
        self.desk().replay.stop();
        let cut = tokio::time::timeout_at(end, connections.shutdown()).await.is_err();
        let unfinished = self.drain(end.saturating_duration_since(Instant::now())).await;
        if cut || unfinished > 0 {
            tracing::warn!(provider = self.name(), unfinished, "stopped before everything was finished");
        }
    }

    async fn accept(
        &self,
        listener: TcpListener,
        stop: impl Future<Output = ()>,
        connections: &GracefulShutdown,
    ) {
        let mut http = auto::Builder::new(TokioExecutor::new());
        http.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIME);
        http.http2().timer(TokioTimer::new()).keep_alive_interval(Duration::from_secs(30));
        let router = self.router();
        let seats = Arc::new(Semaphore::new(CONNECTIONS));
        let mut stop = std::pin::pin!(stop);
        loop {
            let accepted = tokio::select! {
                () = &mut stop => return,
                accepted = async {
                    let seat = Arc::clone(&seats).acquire_owned().await;
                    (seat, listener.accept().await)
                } => accepted,
            };
            let (Ok(seat), Ok((socket, _))) = accepted else {
                // Out of file descriptors, most likely: those in use come back in a moment.
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let _ = socket.set_nodelay(true);
            let router = router.clone();
            let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
                let router = router.clone();
                async move {
                    match router.oneshot(request.map(Body::new)).await {
                        Ok(response) => Ok::<_, Infallible>(response),
                        Err(never) => match never {},
                    }
                }
            });
            let connection = http.serve_connection(TokioIo::new(socket), service).into_owned();
            let connection = connections.watch(connection);
            drop(tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a connection ended badly");
                }
                drop(seat);
            }));
        }
    }
}

/// Ready at SIGTERM or Ctrl-C.
#[cfg(unix)]
pub(crate) fn stop_signal() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Ready at Ctrl-C.
#[cfg(not(unix))]
pub(crate) fn stop_signal() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    Ok(async {
        let _ = tokio::signal::ctrl_c().await;
    })
}

/// Why a provider cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// It is declared wrongly.
    #[error(transparent)]
    Mistakes(#[from] Mistakes),
    /// The address cannot be had.
    #[error("cannot listen on {address}; set GUICHET_LISTEN to a free address")]
    Listen {
        /// The address.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// Signals cannot be waited for.
    #[error("cannot wait for the signal to stop")]
    Signal(#[source] io::Error),
}
