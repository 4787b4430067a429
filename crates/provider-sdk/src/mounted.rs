//! A provider beside what a program serves already: its actions on the program's own port.
//!
//! ```no_run
//! # use guichet_provider_sdk::{ActionError, Context, NoInput, Settings, provider, team};
//! # async fn my_action(_: Context, _: NoInput) -> Result<(), ActionError> { Ok(()) }
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let guichet = provider("my-service")
//!     .action("my-action-name", my_action).approval(team("my-team"))
//!     .mount(Settings::from_env()?)?;
//! let app = axum::Router::new().nest("/guichet", guichet.router()); // and the routes that were there before
//! let listener = tokio::net::TcpListener::bind(guichet.listen()).await?;
//! axum::serve(listener, app).with_graceful_shutdown(guichet.stopping()?).await?;
//! guichet.finish().await;
//! # Ok(()) }
//! ```
//!
//! `GUICHET_URL` then ends in `/guichet`: it tells the gateway where the actions are.

use std::net::SocketAddr;

use axum::Router;

use crate::{
    prepared::Prepared,
    registration::Registration,
    serve::{FINISH_WITHIN, ServeError, stop_signal},
};

/// A provider that is served by the program it lives in.
#[derive(Clone)]
pub struct Mounted {
    prepared: Prepared,
    registration: Option<Registration>,
    listen: SocketAddr,
}

impl Mounted {
    pub(crate) fn new(
        prepared: Prepared,
        registration: Option<Registration>,
        listen: SocketAddr,
    ) -> Result<Self, ServeError> {
        prepared.check()?;
        Ok(Self { prepared, registration, listen })
    }

    /// Its actions and its document, to be nested anywhere.
    pub fn router(&self) -> Router {
        self.prepared.router()
    }

    /// What answers its calls.
    pub fn prepared(&self) -> Prepared {
        self.prepared.clone()
    }

    /// The address of the settings.
    pub fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// Registers as soon as it is awaited, waits for SIGTERM or Ctrl-C, takes leave of the gateway, and is ready when the
    /// server may stop taking connections.
    ///
    /// # Errors
    /// Signals that cannot be waited for.
    pub fn stopping(&self) -> Result<impl Future<Output = ()> + Send + 'static, ServeError> {
        let stop = stop_signal().map_err(ServeError::Signal)?;
        Ok(self.clone().stopping_at(stop))
    }

    /// The same with any other sign to stop.
    pub async fn stopping_at(self, stop: impl Future<Output = ()> + Send) {
        match &self.registration {
            Some(registration) => registration.keep(&self.prepared, stop).await,
            None => stop.await,
        }
    }

    /// Waits until the changes that are under way have ended, also those whose caller went away; 30 s at most. Answers how
    /// many have not.
    pub async fn finish(&self) -> usize {
        self.prepared.drain(FINISH_WITHIN).await
    }
}
