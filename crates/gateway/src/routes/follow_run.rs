//! `GET /v1/runs/{run}/events`: a run as it goes (server-sent events).

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    extract::{Path, State},
    response::{
        IntoResponse as _, Response,
        sse::{Event, KeepAlive, Sse},
    },
    routing::get,
};
use futures_util::stream;
use guichet_contract::{Problem, code};
use guichet_operations::follow_run::{self, Follower};
use http::{HeaderMap, Method};

use crate::{answer::Refused, api::Endpoint, extract::Caller, state::Gateway};

pub(crate) fn endpoint() -> Endpoint {
    Endpoint::new(Method::GET, "/v1/runs/{run}/events", "follow_run", "A run as it goes", get(handle))
        .answers_as(200, "Events; resumes after Last-Event-ID, ends with the run", "text/event-stream")
}

async fn handle(
    State(gateway): State<Arc<Gateway>>,
    Caller(call): Caller,
    Path(run): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let after = match headers.get("last-event-id").map(|value| value.to_str().unwrap_or("?").parse::<u64>()) {
        None => 0,
        Some(Ok(after)) => after,
        Some(Err(_)) => {
            return Err(Problem::new(
                code::BAD_REQUEST,
                "Last-Event-ID is the number of an event of this run",
            )
            .into());
        }
    };
    let follower = follow_run::follow_run(&gateway.platform, &call, &run, after).await?;
    let place = Place::take(gateway)?;
    let events = stream::unfold(Some((follower, place)), |state| async move {
        let (mut follower, place) = state?;
        next(&mut follower, &place).await.map(|event| (Ok::<_, Infallible>(event), Some((follower, place))))
    });
    Ok(Sse::new(events)
        .keep_alive(KeepAlive::new().interval(Duration::from_secs(15)).text("keep-alive"))
        .into_response())
}

/// The next event; `None` ends the stream: the run has ended, or the client shall come back with its last event id.
async fn next(follower: &mut Follower, place: &Place) -> Option<Event> {
    let told = tokio::select! {
        told = follower.next() => told,
        () = place.0.draining.cancelled() => return None,
    };
    match told {
        Ok(Some(event)) => {
            let text = serde_json::to_string(&event).ok()?;
            Some(Event::default().id(event.seq.to_string()).event(event.kind.name()).data(text))
        }
        Ok(None) => None,
        Err(error) => {
            tracing::warn!(%error, "a follower was cut off");
            None
        }
    }
}

/// One of the streams that may be open at once.
struct Place(Arc<Gateway>);

impl Place {
    fn take(gateway: Arc<Gateway>) -> Result<Self, Refused> {
        let open = gateway.metrics.streams.inc();
        let place = Self(gateway); // from here on, dropping it gives the place back
        let most = place.0.settings.streams_at_once;
        if usize::try_from(open).unwrap_or(0) >= most {
            return Err(Problem::new(
                code::TOO_MANY_REQUESTS,
                format!("{most} streams are open, as many as may be"),
            )
            .next("ask for the run itself now and then")
            .into());
        }
        Ok(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.metrics.streams.dec();
    }
}
