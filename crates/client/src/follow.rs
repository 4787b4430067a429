//! A run's events, as one stream that outlives its connections.

use std::{collections::VecDeque, pin::Pin, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use guichet_contract::{EventKind, RunEvent, RunId, sse::SseParser};
use reqwest::{Method, StatusCode, header};
use tokio::time::Instant;

use crate::{client::Client, error::Error};

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

type Pieces = Pin<Box<dyn Stream<Item = reqwest::Result<Bytes>> + Send>>;

struct Connection {
    pieces: Pieces,
    parser: SseParser,
    heard_events: bool,
}

struct Follower {
    client: Client,
    run: RunId,
    last: Option<u64>,
    connection: Option<Connection>,
    ready: VecDeque<RunEvent>,
    pause: Duration,
    lost_since: Option<Instant>,
    finished: bool,
    over: bool,
}

impl Client {
    /// `GET /v1/runs/{run}/events`: what happens to a run, from the event after `last_event_id` (from the
    /// first when `None`) to its end, each event once and in order.
    ///
    /// A lost connection is taken up again by `Last-Event-ID`, with pauses from ¼ s to 10 s. The stream ends
    /// after the run's final state; it ends with an error when the gateway refuses, or stays away for longer
    /// than [`crate::Timeouts::give_up`].
    pub fn follow_run(
        &self,
        run: RunId,
        last_event_id: Option<u64>,
    ) -> Pin<Box<dyn Stream<Item = Result<RunEvent, Error>> + Send>> {
        let follower = Follower {
            client: self.clone(),
            run,
            last: last_event_id,
            connection: None,
            ready: VecDeque::new(),
            pause: FIRST_PAUSE,
            lost_since: None,
            finished: false,
            over: false,
        };
        Box::pin(stream::unfold(follower, |mut follower| async move {
            let next = follower.next().await?;
            Some((next, follower))
        }))
    }
}

impl Follower {
    async fn next(&mut self) -> Option<Result<RunEvent, Error>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(Ok(event));
            }
            if self.over {
                return None;
            }
            let step = match self.connection.take() {
                None => self.connect().await,
                Some(connection) => self.read(connection).await,
            };
            match step {
                Ok(()) => {}
                Err(error) if error.is_passing() && !self.gives_up() => {
                    tokio::time::sleep(self.pause).await;
                    self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                }
                Err(error) => {
                    self.over = true;
                    return Some(Err(error));
                }
            }
        }
    }

    fn gives_up(&mut self) -> bool {
        let since = *self.lost_since.get_or_insert_with(Instant::now);
        since.elapsed() > self.client.timeouts().give_up
    }

    async fn connect(&mut self) -> Result<(), Error> {
        let run = self.run.to_string();
        let mut request = self
            .client
            .request(Method::GET, &["runs", &run, "events"])
            .header(header::ACCEPT, "text/event-stream");
        if let Some(last) = self.last {
            request = request.header("last-event-id", last.to_string());
        }
        let response = self.client.open(request).await?;
        self.lost_since = None;
        if response.status() == StatusCode::NO_CONTENT {
            // The standard's way to say: do not come back.
            self.over = true;
            return Ok(());
        }
        self.connection = Some(Connection {
            pieces: Box::pin(response.bytes_stream()),
            parser: SseParser::default(),
            heard_events: false,
        });
        Ok(())
    }

    async fn read(&mut self, mut connection: Connection) -> Result<(), Error> {
        let silence = self.client.timeouts().silence;
        match tokio::time::timeout(silence, connection.pieces.next()).await {
            Err(_) if self.finished => self.over = true,
            Err(_) => return Err(self.client.silent(silence)),
            Ok(Some(Ok(piece))) => {
                let events = connection
                    .parser
                    .push(&piece)
                    .map_err(|_| self.client.protocol("an event has no end".to_owned(), None))?;
                for event in events {
                    self.take(&event.data)?;
                    connection.heard_events = true;
                    self.pause = FIRST_PAUSE;
                }
                self.connection = Some(connection);
            }
            Ok(_) if self.finished => self.over = true,
            Ok(Some(Err(error))) => return Err(self.client.network(&error)),
            Ok(None) => self.stream_ended(connection.heard_events).await?,
        }
        Ok(())
    }

    /// An end before the final state: a gateway that restarts or a proxy that tires. When nothing at all
    /// was heard, the run may have ended before `last_event_id`: then there is nothing to come back for.
    async fn stream_ended(&mut self, heard_events: bool) -> Result<(), Error> {
        if !heard_events && self.client.get_run(&self.run.to_string()).await?.state.is_final() {
            self.over = true;
            return Ok(());
        }
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        Ok(())
    }

    fn take(&mut self, data: &str) -> Result<(), Error> {
        let event: RunEvent = serde_json::from_str(data)
            .map_err(|error| self.client.protocol(format!("an event cannot be read: {error}"), None))?;
        if self.last.is_some_and(|last| event.seq <= last) {
            return Ok(());
        }
        self.last = Some(event.seq);
        self.finished |= matches!(&event.kind, EventKind::State { state, .. } if state.is_final());
        self.ready.push_back(event);
        Ok(())
    }
}
