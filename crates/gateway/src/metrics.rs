//! What is counted, for Prometheus (OpenMetrics text).

use std::{sync::atomic::AtomicU64, time::Duration};

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

/// Requests by route template, method and status.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// Route template, never the path itself: that would be without bound.
    pub route: &'static str,
    /// HTTP method.
    pub method: &'static str,
    /// HTTP status.
    pub status: u16,
}

/// Runs by state.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StateLabels {
    /// State of the run.
    pub state: String,
}

/// Providers by name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ProviderLabels {
    /// The provider.
    pub provider: String,
    /// `ready`, `unreachable`, `refused`, `resting`.
    pub state: String,
}

/// All that is counted.
#[derive(Debug, Clone)]
pub struct Metrics {
    requests: Family<RequestLabels, Counter>,
    seconds: Family<RouteLabels, Histogram, fn() -> Histogram>,
    /// Streams open now.
    pub streams: Gauge,
}

/// Durations by route template.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RouteLabels {
    /// Route template.
    pub route: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            seconds: Family::new_with_constructor(histogram),
            streams: Gauge::default(),
        }
    }
}

fn histogram() -> Histogram {
    Histogram::new([0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0])
}

impl Metrics {
    /// Counts a request.
    pub fn request(&self, route: &'static str, method: &'static str, status: u16, took: Duration) {
        self.requests.get_or_create(&RequestLabels { route, method, status }).inc();
        self.seconds.get_or_create(&RouteLabels { route }).observe(took.as_secs_f64());
    }

    /// The text of `GET /metrics`.
    ///
    /// # Errors
    /// Never in practice: writing to a string.
    pub fn text(
        &self,
        version: &str,
        open_runs: &[(String, u64)],
        providers: &[(String, String)],
    ) -> Result<String, std::fmt::Error> {
        let mut registry = Registry::with_prefix("guichet");
        registry.register("http_requests", "Requests answered", self.requests.clone());
        registry.register("http_request_seconds", "Seconds to the head of the answer", self.seconds.clone());
        registry.register("streams", "Event streams open now", self.streams.clone());
        let runs = Family::<StateLabels, Gauge<u64, AtomicU64>>::default();
        for (state, count) in open_runs {
            runs.get_or_create(&StateLabels { state: state.clone() }).set(*count);
        }
        registry.register("open_runs", "Runs that are not finished, by state", runs);
        let standing = Family::<ProviderLabels, Gauge<u64, AtomicU64>>::default();
        for (provider, state) in providers {
            standing
                .get_or_create(&ProviderLabels { provider: provider.clone(), state: state.clone() })
                .set(1);
        }
        registry.register("provider_state", "1 for the state a provider is in", standing);
        let info = prometheus_client::metrics::info::Info::new(vec![("version", version.to_owned())]);
        registry.register("build", "The gateway's build", info);
        let mut text = String::new();
        encode(&mut text, &registry)?;
        Ok(text)
    }
}
