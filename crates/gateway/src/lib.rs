//! HTTP in: translates requests into verbs and answers into responses. One file per route in [`routes`]; the same list
//! makes the router and the OpenAPI document, so the two cannot disagree.
//!
//! Decides nothing: whoever calls, whatever they may, is said behind the door. Knows no provider and no store.
//!
//! Begin reading at [`itinerary`]: the order of treatment of every request, top to bottom.

pub mod answer;
pub mod api;
pub mod extract;
pub mod itinerary;
mod lanes;
pub mod limits;
pub mod metrics;
pub mod routes;
pub mod serve;
pub mod state;
pub mod trace;

pub use itinerary::Itinerary;
pub use serve::{ServeSettings, serve};
pub use state::{Gateway, Info, Settings};
pub use trace::{PlainTracer, Tracer};
