//! What stands between the provider and a broker, and keeps one kind of request from arriving, or its answer from coming back.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
};

/// The request that deletes topics, by its number in Kafka's protocol.
const DELETE_TOPICS: i16 = 20;
const LETS_PASS: u8 = 0;
const SWALLOWS_REQUEST: u8 = 1;
const SWALLOWS_ANSWER: u8 = 2;

/// Listens; leads nowhere until it is told where to.
pub(crate) struct Proxy {
    listener: TcpListener,
    mood: Arc<AtomicU8>,
}

/// What a proxy that runs does to requests that delete topics.
pub(crate) struct Mood(Arc<AtomicU8>);

impl Mood {
    /// The request is lost, with the connection.
    pub(crate) fn swallow_requests(&self) {
        self.0.store(SWALLOWS_REQUEST, Ordering::SeqCst);
    }

    /// The request arrives; the connection is gone before the answer.
    pub(crate) fn swallow_answers(&self) {
        self.0.store(SWALLOWS_ANSWER, Ordering::SeqCst);
    }
}

impl Proxy {
    pub(crate) async fn new() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap(), mood: Arc::default() }
    }

    pub(crate) fn port(&self) -> u16 {
        self.listener.local_addr().unwrap().port()
    }

    /// Leads here from now on.
    pub(crate) fn leads_to(self, broker: &str) -> Mood {
        let broker: SocketAddr = broker.parse().unwrap();
        let mood = Arc::clone(&self.mood);
        tokio::spawn(async move {
            while let Ok((client, _)) = self.listener.accept().await {
                let Ok(server) = TcpStream::connect(broker).await else { continue };
                let mood = Arc::clone(&self.mood);
                tokio::spawn(async move {
                    let (from, back) = client.into_split();
                    let (told, to) = server.into_split();
                    let silent = Arc::new(AtomicBool::new(false));
                    tokio::select! {
                        _ = requests(from, to, mood, Arc::clone(&silent)) => {}
                        _ = answers(told, back, silent) => {}
                    }
                });
            }
        });
        Mood(mood)
    }
}

/// Hands on requests until one is swallowed, or the client is gone.
async fn requests(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mood: Arc<AtomicU8>,
    silent: Arc<AtomicBool>,
) -> Option<()> {
    loop {
        let length = from.read_i32().await.ok()?;
        let mut frame = vec![0; usize::try_from(length).ok()?];
        let _ = from.read_exact(&mut frame).await.ok()?;
        let kind = i16::from_be_bytes([*frame.first()?, *frame.get(1)?]);
        let now = if kind == DELETE_TOPICS { mood.load(Ordering::SeqCst) } else { LETS_PASS };
        if now == SWALLOWS_REQUEST {
            return None;
        }
        silent.store(now == SWALLOWS_ANSWER, Ordering::SeqCst);
        to.write_i32(length).await.ok()?;
        to.write_all(&frame).await.ok()?;
        if now == SWALLOWS_ANSWER {
            // Long enough for the broker to do it; its answer goes nowhere.
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            return None;
        }
    }
}

/// Hands on answers, until they are swallowed.
async fn answers(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, silent: Arc<AtomicBool>) -> Option<()> {
    let mut some = vec![0; 64 * 1024];
    loop {
        let length = from.read(&mut some).await.ok().filter(|length| *length > 0)?;
        if !silent.load(Ordering::SeqCst) {
            to.write_all(some.get(..length)?).await.ok()?;
        }
    }
}
