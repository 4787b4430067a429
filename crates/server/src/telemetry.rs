//! JSON logs on standard output; traces over OTLP when an endpoint is configured.

use std::{collections::HashMap, sync::Arc};

use anyhow::Context as _;
use guichet_contract::Clock;
use guichet_gateway::{PlainTracer, Tracer, trace::is_traceparent};
use opentelemetry::{
    propagation::TextMapPropagator as _,
    trace::{TraceContextExt as _, TracerProvider as _},
};
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::{Resource, propagation::TraceContextPropagator, trace::SdkTracerProvider};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::{
    EnvFilter, Layer as _,
    filter::{FilterExt as _, filter_fn},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use crate::{
    config::Telemetry,
    log_writer::{Flush, LogWriter},
};

/// What must be flushed at the end, and how requests begin their traces.
pub struct Installed {
    /// For the gateway.
    pub tracer: Arc<dyn Tracer>,
    provider: Option<SdkTracerProvider>,
    /// Dropped last: what still waits is written then.
    _flush_logs: Flush,
}

/// Installs logs and traces for the process.
///
/// # Errors
/// A filter or an endpoint that cannot be used.
pub fn install(telemetry: &Telemetry, environment: &str) -> anyhow::Result<Installed> {
    let filter: EnvFilter = telemetry
        .log
        .parse()
        .with_context(|| format!("[telemetry] log = {:?} is no filter; try \"info\"", telemetry.log))?;
    // Spans are for traces; a line of the log stands on its own. Without an endpoint nobody wants spans, so they cost
    // nothing.
    let (writer, flush_logs) = LogWriter::start(std::io::stdout()).context("no thread for the log")?;
    let logs = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_filter(filter.and(filter_fn(|metadata| !metadata.is_span())));
    let registry = tracing_subscriber::registry().with(logs);
    let Some(endpoint) = &telemetry.otlp else {
        registry.try_init().context("logs are installed once")?;
        return Ok(Installed { tracer: Arc::new(PlainTracer), provider: None, _flush_logs: flush_logs });
    };
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .build()
        .with_context(|| format!("[telemetry] otlp = {endpoint:?} cannot be used"))?;
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(
            Resource::builder()
                .with_service_name("guichetd")
                .with_attribute(opentelemetry::KeyValue::new(
                    "deployment.environment.name",
                    environment.to_owned(),
                ))
                .build(),
        )
        .build();
    let spans = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("guichetd"))
        .with_filter(filter_fn(|metadata| metadata.is_span() && metadata.target().starts_with("guichet")));
    registry.with(spans).try_init().context("logs are installed once")?;
    Ok(Installed { tracer: Arc::new(OtlpTracer), provider: Some(provider), _flush_logs: flush_logs })
}

impl Installed {
    /// Sends what has not been sent.
    pub fn flush(&self) {
        if let Some(provider) = &self.provider
            && let Err(error) = provider.shutdown()
        {
            tracing::warn!(%error, "some traces were not exported");
        }
    }
}

/// Ties spans to the caller's trace and gives their own context on.
struct OtlpTracer;

impl Tracer for OtlpTracer {
    fn begin(&self, clock: &dyn Clock, incoming: Option<&str>, span: &Span) -> String {
        if let Some(incoming) = incoming.filter(|text| is_traceparent(text)) {
            let carrier = HashMap::from([("traceparent".to_owned(), incoming.to_owned())]);
            let parent = TraceContextPropagator::new().extract(&carrier);
            if let Err(error) = span.set_parent(parent) {
                tracing::debug!(%error, "the caller's trace is not continued");
            }
        }
        let context = span.context();
        let own = context.span().span_context().clone();
        if !own.is_valid() {
            return PlainTracer.begin(clock, incoming, span);
        }
        format!("00-{}-{}-{:02x}", own.trace_id(), own.span_id(), own.trace_flags().to_u8())
    }
}
