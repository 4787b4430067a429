//! What stands between a gateway and a provider: a network that passes everything on, until it does not.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    io::{AsyncReadExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::CancellationToken;

/// A port that passes connections on to another. Closed when it is dropped.
pub struct Front {
    /// Where it answers.
    pub url: String,
    inside: Arc<Mutex<Inside>>,
    closed: CancellationToken,
}

#[derive(Default)]
struct Inside {
    swallows: bool,
    connections: CancellationToken,
}

impl Front {
    /// In front of this address, `http://127.0.0.1:PORT`.
    ///
    /// # Errors
    /// No port, no such address.
    pub async fn before(url: &str) -> anyhow::Result<Self> {
        let to: SocketAddr = url.trim_start_matches("http://").parse()?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let front = Self {
            url: format!("http://{}", listener.local_addr()?),
            inside: Arc::default(),
            closed: CancellationToken::new(),
        };
        let (inside, closed) = (Arc::clone(&front.inside), front.closed.clone());
        tokio::spawn(closed.run_until_cancelled_owned(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (swallows, cut) = {
                    let inside = inside.lock().unwrap_or_else(PoisonError::into_inner);
                    (inside.swallows, inside.connections.clone())
                };
                tokio::spawn(cut.run_until_cancelled_owned(pass_on(stream, to, swallows)));
            }
        }));
        Ok(front)
    }

    /// Cuts all connections. From now on, calls that come are taken, and reach nobody (`swallows`), or pass.
    pub fn cut(&self, swallows: bool) {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        inside.swallows = swallows;
        std::mem::take(&mut inside.connections).cancel();
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.cut(true);
        self.closed.cancel();
    }
}

async fn pass_on(mut stream: TcpStream, to: SocketAddr, swallows: bool) {
    if swallows {
        // The whole of a small request, so that its sender believes that it went out.
        let mut request = vec![0; 64 << 10];
        let _gone = stream.read(&mut request).await;
        return;
    }
    if let Ok(mut there) = TcpStream::connect(to).await {
        let _gone = copy_bidirectional(&mut stream, &mut there).await;
    }
}
