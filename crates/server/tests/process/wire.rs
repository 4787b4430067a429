//! A network between two processes, of the tests' own: it delays, throttles, falls silent without closing anything, closes
//! one way only, cuts and refuses, whenever a story says so.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use guichet_testkit::Dice;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, watch},
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

/// What is read at once.
const BLOCK: usize = 16 << 10;
/// Blocks that may be under way on a slow wire.
const UNDER_WAY: usize = 256;

/// What becomes of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weather {
    /// They pass.
    Fair,
    /// Each block takes so long, and up to so much longer. They stay in order.
    Slow { milliseconds: u64, jitter: u64 },
    /// So many a second.
    Thin { bytes: u64 },
    /// Nothing is read or written, and nothing is closed. Who connects is taken, and hears nothing. What was sent meanwhile
    /// arrives when the weather changes.
    Silent,
    /// As `Fair` for what stands; who connects is closed at once.
    Refusing,
}

/// Which way bytes go, seen from whoever connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    There,
    Back,
}

/// One generation of connections.
#[derive(Clone)]
struct Standing {
    weather: watch::Sender<Weather>,
    cut: CancellationToken,
    /// Ends the way there, the way back.
    ended: [CancellationToken; 2],
}

impl Standing {
    fn under(weather: Weather) -> Self {
        Self {
            weather: watch::Sender::new(weather),
            cut: CancellationToken::new(),
            ended: Default::default(),
        }
    }
}

/// A port that passes connections on to another. Closed, with all that passes, when it is dropped.
pub(crate) struct Wire {
    port: u16,
    standing: Arc<Mutex<Standing>>,
    closed: CancellationToken,
}

impl Wire {
    /// In front of this port on loopback.
    pub(crate) async fn before(port: u16) -> Self {
        let to = SocketAddr::from(([127, 0, 0, 1], port));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let wire = Self {
            port: listener.local_addr().unwrap().port(),
            standing: Arc::new(Mutex::new(Standing::under(Weather::Fair))),
            closed: CancellationToken::new(),
        };
        let (standing, closed) = (Arc::clone(&wire.standing), wire.closed.clone());
        tokio::spawn(closed.run_until_cancelled_owned(async move {
            while let Ok((near, _)) = listener.accept().await {
                let standing = lock(&standing);
                if *standing.weather.borrow() != Weather::Refusing {
                    tokio::spawn(standing.cut.clone().run_until_cancelled_owned(pass(near, to, standing)));
                }
            }
        }));
        wire
    }

    /// In front of this address, `http://127.0.0.1:PORT`.
    pub(crate) async fn before_url(url: &str) -> Self {
        Self::before(url.rsplit(':').next().unwrap().parse().unwrap()).await
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// From now on, for all connections of now and later.
    pub(crate) fn set(&self, weather: Weather) {
        lock(&self.standing).weather.send_replace(weather);
    }

    /// The connections of now fall silent for ever; those that come pass.
    pub(crate) fn lose(&self) {
        let lost = self.renew();
        lost.weather.send_replace(Weather::Silent);
    }

    /// Closes all connections of now, with whatever was under way.
    pub(crate) fn cut(&self) {
        self.renew().cut.cancel();
    }

    /// One way of the connections of now ends, as if its sender had said all; the other goes on.
    pub(crate) fn end(&self, way: Way) {
        self.renew().ended[usize::from(way == Way::Back)].cancel();
    }

    /// Connections that come belong to another generation, under the same weather.
    fn renew(&self) -> Standing {
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        let weather = *standing.weather.borrow();
        std::mem::replace(&mut standing, Standing::under(weather))
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.closed.cancel();
        self.cut();
    }
}

fn lock(standing: &Mutex<Standing>) -> Standing {
    standing.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

async fn pass(near: TcpStream, to: SocketAddr, standing: Standing) {
    until_heard(&mut standing.weather.subscribe()).await;
    let Ok(far) = TcpStream::connect(to).await else { return };
    near.set_nodelay(true).unwrap();
    far.set_nodelay(true).unwrap();
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    let [there, back] = &standing.ended;
    tokio::join!(
        one_way(near_in, far_out, standing.weather.subscribe(), there),
        one_way(far_in, near_out, standing.weather.subscribe(), back),
    );
}

async fn until_heard(weather: &mut watch::Receiver<Weather>) {
    // The other end of the channel goes with the wire, which cuts all.
    let _gone = weather.wait_for(|weather| *weather != Weather::Silent).await;
}

/// Reads, and writes when it is time; then says that this was all.
async fn one_way(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    weather: watch::Receiver<Weather>,
    ended: &CancellationToken,
) {
    let (sender, mut blocks) = mpsc::channel::<(Instant, Vec<u8>)>(UNDER_WAY);
    let mut seen = weather.clone();
    let reading = async move {
        let mut chance = Dice::of_the_moment(7);
        let mut block = vec![0; BLOCK];
        let mut latest = Instant::now();
        loop {
            until_heard(&mut seen).await;
            let read = tokio::select! {
                read = from.read(&mut block) => read,
                changed = seen.changed() => match changed {
                    Ok(()) => continue,
                    Err(_) => return,
                },
            };
            let Some(read) = read.ok().filter(|read| *read > 0) else { return };
            let delay = match *seen.borrow() {
                Weather::Slow { milliseconds, jitter } => milliseconds + chance.below(jitter + 1),
                _ => 0,
            };
            latest = latest.max(Instant::now() + Duration::from_millis(delay));
            if sender.send((latest, block[..read].to_vec())).await.is_err() {
                return;
            }
        }
    };
    let mut seen = weather;
    let writing = async {
        while let Some((due, block)) = blocks.recv().await {
            sleep_until(due).await;
            let mut rest = &block[..];
            while !rest.is_empty() {
                until_heard(&mut seen).await;
                let thin = match *seen.borrow() {
                    Weather::Thin { bytes } => Some(bytes.max(1)),
                    _ => None,
                };
                let (now, later) =
                    rest.split_at(if thin.is_some() { rest.len().min(256) } else { rest.len() });
                if to.write_all(now).await.is_err() {
                    return;
                }
                rest = later;
                if let Some(bytes) = thin {
                    sleep(Duration::from_millis(now.len() as u64 * 1_000 / bytes)).await;
                }
            }
        }
    };
    ended.run_until_cancelled(async { tokio::join!(reading, writing) }).await;
    // The other side may have gone already.
    let _gone = to.shutdown().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Says each line back.
    async fn echo() -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    tokio::io::copy(&mut from, &mut to).await
                });
            }
        });
        port
    }

    async fn heard(stream: &mut TcpStream, bytes: usize) -> Option<Vec<u8>> {
        let mut heard = vec![0; bytes];
        let reading = stream.read_exact(&mut heard);
        let read = tokio::time::timeout(Duration::from_millis(300), reading).await.ok()?;
        Some(read.map_or(Vec::new(), |_| heard))
    }

    #[tokio::test]
    async fn it_does_what_it_is_told() {
        let wire = Wire::before(echo().await).await;
        let call = async || TcpStream::connect(("127.0.0.1", wire.port())).await.unwrap();
        let mut stream = call().await;
        stream.write_all(b"one").await.unwrap();
        assert_eq!(heard(&mut stream, 3).await.unwrap(), b"one");

        wire.set(Weather::Silent);
        stream.write_all(b"two").await.unwrap();
        assert_eq!(heard(&mut stream, 3).await, None, "neither an answer nor an end");
        let mut late = call().await;
        late.write_all(b"new").await.unwrap();
        assert_eq!(heard(&mut late, 3).await, None);
        wire.set(Weather::Slow { milliseconds: 20, jitter: 5 });
        assert_eq!(heard(&mut stream, 3).await.unwrap(), b"two", "late, and whole");
        assert_eq!(heard(&mut late, 3).await.unwrap(), b"new");

        wire.set(Weather::Thin { bytes: 2_000 });
        let began = Instant::now();
        stream.write_all(&[b'x'; 300]).await.unwrap();
        let mut thin = vec![0; 300];
        stream.read_exact(&mut thin).await.unwrap();
        assert!(began.elapsed() > Duration::from_millis(100), "{:?}", began.elapsed());
        wire.set(Weather::Fair);

        wire.lose();
        stream.write_all(b"lost").await.unwrap();
        assert_eq!(heard(&mut stream, 4).await, None);
        let mut fresh = call().await;
        fresh.write_all(b"fresh").await.unwrap();
        assert_eq!(heard(&mut fresh, 5).await.unwrap(), b"fresh");
        wire.cut();
        assert_eq!(heard(&mut fresh, 1).await.unwrap(), b"", "an end");
        wire.set(Weather::Refusing);
        assert_eq!(heard(&mut call().await, 1).await.unwrap(), b"");
        wire.set(Weather::Fair);
        let mut last = call().await;
        last.write_all(b"last").await.unwrap();
        assert_eq!(heard(&mut last, 4).await.unwrap(), b"last");
        wire.end(Way::There);
        assert_eq!(heard(&mut last, 1).await.unwrap(), b"", "the echo ends with what it hears");
    }
}
