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

/// A witness of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct WitnessLabels {
    /// Its file or URL.
    pub witness: String,
}

/// All that is counted.
#[derive(Debug, Clone)]
pub struct Metrics {
    requests: Family<RequestLabels, Counter>,
    seconds: Family<RouteLabels, Histogram, fn() -> Histogram>,
    /// Streams open now.
    pub streams: Gauge,
    /// How often a witness could not be told of a checkpoint.
    pub witness_failures: Family<WitnessLabels, Counter>,
    /// Entries of the newest checkpoint that a witness has.
    pub witnessed_entries: Family<WitnessLabels, Gauge<u64, AtomicU64>>,
}

/// Durations by route template.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RouteLabels {
    /// Route template.
    pub route: &'static str,
}

/// Tries to tell people.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct NoticeLabels {
    /// Name of the channel.
    pub channel: String,
    /// `delivered`, `failed` (it is tried again) or `given_up`.
    pub ended: &'static str,
}

/// How things stand at this moment.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    /// Runs that are not finished, by state.
    pub open_runs: Vec<(String, u64)>,
    /// Providers and their states.
    pub providers: Vec<(String, String)>,
    /// Records that could not be written.
    pub lost_records: u64,
    /// Tries to tell people since the start: channel, how they ended, how many.
    pub notices: Vec<(String, &'static str, u64)>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            seconds: Family::new_with_constructor(histogram),
            streams: Gauge::default(),
            witness_failures: Family::default(),
            witnessed_entries: Family::default(),
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
    pub fn text(&self, version: &str, standing: &Standing) -> Result<String, std::fmt::Error> {
        let mut registry = Registry::with_prefix("guichet");
        registry.register("http_requests", "Requests answered", self.requests.clone());
        registry.register("http_request_seconds", "Seconds to the head of the answer", self.seconds.clone());
        registry.register("streams", "Event streams open now", self.streams.clone());
        registry.register(
            "ledger_witness_failures",
            "Attempts to tell a witness of a checkpoint that failed; each is repeated",
            self.witness_failures.clone(),
        );
        registry.register(
            "ledger_witnessed_entries",
            "Entries of the newest checkpoint that a witness has",
            self.witnessed_entries.clone(),
        );
        let runs = Family::<StateLabels, Gauge<u64, AtomicU64>>::default();
        for (state, count) in &standing.open_runs {
            runs.get_or_create(&StateLabels { state: state.clone() }).set(*count);
        }
        registry.register("open_runs", "Runs that are not finished, by state", runs);
        let providers = Family::<ProviderLabels, Gauge<u64, AtomicU64>>::default();
        for (provider, state) in &standing.providers {
            providers
                .get_or_create(&ProviderLabels { provider: provider.clone(), state: state.clone() })
                .set(1);
        }
        registry.register("provider_state", "1 for the state a provider is in", providers);
        let lost = Gauge::<u64, AtomicU64>::default();
        lost.set(standing.lost_records);
        registry.register(
            "lost_records",
            "Records of reads that could not be written since the start; anything but 0 is an alarm",
            lost,
        );
        let notices = Family::<NoticeLabels, Counter>::default();
        for (channel, ended, count) in &standing.notices {
            notices.get_or_create(&NoticeLabels { channel: channel.clone(), ended }).inc_by(*count);
        }
        registry.register("notices", "Tries to tell people, by channel and how they ended", notices);
        let info = prometheus_client::metrics::info::Info::new(vec![("version", version.to_owned())]);
        registry.register("build", "The gateway's build", info);
        let mut text = String::new();
        encode(&mut text, &registry)?;
        Ok(text)
    }
}
