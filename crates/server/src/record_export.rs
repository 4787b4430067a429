//! Records as OTLP logs, for whoever watches many systems in one place.
//!
//! Each record at least once and in order: how far it came is kept in the data folder, and moves on only when the collector
//! has taken a batch. A crash in between sends the batch again; `guichet.record.index` tells what was seen before. The
//! gateway never waits for a collector. The body is the record's exact text, as it is hashed into the ledger, so that what
//! arrived can be held against the ledger.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use guichet_contract::{Clock, Record, RecordVerdict};
use guichet_store::{Store, Wake};
use opentelemetry::{
    InstrumentationScope, SpanId, TraceId,
    logs::{LogRecord as _, Logger as _, LoggerProvider as _, Severity},
};
use opentelemetry_otlp::{LogExporter, WithExportConfig as _};
use opentelemetry_sdk::{
    Resource,
    logs::{LogBatch, LogExporter as _, SdkLogRecord, SdkLogger, SdkLoggerProvider},
};
use tokio::{sync::broadcast::error::RecvError, time};
use tokio_util::sync::CancellationToken;

/// Records of one call.
const BATCH: usize = 512;
/// New records are gathered for so long.
const GATHER: Duration = Duration::from_secs(1);
/// How long a collector may take.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);
/// The pause after the first failure; it doubles.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const PAUSE_MOST: Duration = Duration::from_mins(1);

/// Sends records to a collector.
pub struct RecordExport {
    store: Arc<dyn Store>,
    exporter: LogExporter,
    logger: SdkLogger,
    clock: Arc<dyn Clock>,
    position: PathBuf,
}

impl RecordExport {
    /// To the OTLP endpoint (gRPC) `endpoint`. How far it came is in the folder `data`.
    ///
    /// # Errors
    /// An endpoint that cannot be one.
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        endpoint: &str,
        environment: &str,
        data: &Path,
    ) -> anyhow::Result<Self> {
        let mut exporter = LogExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint)
            .with_timeout(ANSWERS_WITHIN)
            .build()
            .with_context(|| format!("[telemetry] otlp_records = {endpoint:?} cannot be used"))?;
        let deployed = opentelemetry::KeyValue::new("deployment.environment.name", environment.to_owned());
        exporter.set_resource(
            &Resource::builder().with_service_name("guichetd").with_attribute(deployed).build(),
        );
        let logger = SdkLoggerProvider::builder().build().logger("guichet.ledger");
        Ok(Self { store, exporter, logger, clock, position: data.join("otlp-records.position") })
    }

    /// Sends what was not sent yet, then each new record, until `stop`.
    pub async fn work(self, stop: CancellationToken) {
        let mut wakes = self.store.wakes();
        let mut pause = PAUSE;
        loop {
            let failed = match self.send_new(&stop).await {
                Ok(()) => {
                    pause = PAUSE;
                    false
                }
                Err(error) => {
                    tracing::warn!(
                        error = format!("{error:#}"),
                        "records were not taken by the collector; they are sent again"
                    );
                    true
                }
            };
            let next = async {
                if failed {
                    return time::sleep(pause).await;
                }
                loop {
                    match wakes.recv().await {
                        Ok(Wake::Record | Wake::Anything) | Err(RecvError::Lagged(_)) => break,
                        Ok(_) => {}
                        Err(RecvError::Closed) => std::future::pending().await,
                    }
                }
                time::sleep(GATHER).await;
            };
            tokio::select! {
                () = next => {}
                () = stop.cancelled() => {
                    // The last ones; what is not taken now is at the next start.
                    let _ = time::timeout(GATHER, self.send_new(&CancellationToken::new())).await;
                    return;
                }
            }
            if failed {
                pause = (pause * 2).min(PAUSE_MOST);
            }
        }
    }

    async fn send_new(&self, stop: &CancellationToken) -> anyhow::Result<()> {
        let mut next = self.sent()?;
        while !stop.is_cancelled() {
            let leaves = self.store.leaves(next, BATCH).await?;
            let Some((last, _)) = leaves.last() else { return Ok(()) };
            let after = last + 1;
            let scope = InstrumentationScope::builder("guichet.ledger").build();
            let records: Vec<SdkLogRecord> =
                leaves.into_iter().map(|(index, text)| self.log_record(index, text)).collect();
            let borrowed: Vec<_> = records.iter().map(|record| (record, &scope)).collect();
            self.exporter.export(LogBatch::new(&borrowed)).await?;
            self.keep(after)?;
            next = after;
        }
        Ok(())
    }

    fn log_record(&self, index: u64, text: String) -> SdkLogRecord {
        let mut log = self.logger.create_log_record();
        log.set_event_name("guichet.record");
        log.set_observed_timestamp(SystemTime::from(self.clock.now()));
        log.add_attribute("guichet.record.index", i64::try_from(index).unwrap_or(i64::MAX));
        // A record that this version does not understand is sent all the same: its text is all that counts.
        if let Ok(record) = serde_json::from_str::<Record>(&text) {
            log.set_timestamp(record.at.into());
            let (severity, word) = match record.verdict {
                RecordVerdict::Allowed => (Severity::Info, "INFO"),
                RecordVerdict::Refused => (Severity::Warn, "WARN"),
                RecordVerdict::Failed | RecordVerdict::Unknown => (Severity::Error, "ERROR"),
            };
            log.set_severity_number(severity);
            log.set_severity_text(word);
            log.add_attribute("guichet.verb", record.verb.as_str());
            log.add_attribute("guichet.verdict", record.verdict.as_str());
            let texts = [
                ("enduser.id", record.principal.map(|principal| principal.name)),
                ("guichet.action", record.action.map(|action| action.0)),
                ("guichet.resource", record.resource),
                ("guichet.owner", record.owner),
                ("guichet.run", record.run.map(|run| run.to_string())),
                ("guichet.problem", record.problem),
            ];
            for (name, value) in texts {
                if let Some(value) = value {
                    log.add_attribute(name, value);
                }
            }
            if let Some(trace) = record.trace_id.and_then(|trace| TraceId::from_hex(&trace).ok()) {
                log.set_trace_context(trace, SpanId::INVALID, None);
            }
        }
        log.set_body(text.into());
        log
    }

    /// Index of the first record that no collector has taken.
    fn sent(&self) -> anyhow::Result<u64> {
        match fs::read_to_string(&self.position) {
            Ok(text) => text.trim().parse().with_context(|| {
                format!("{} holds no number; remove it to send all records again", self.position.display())
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error).with_context(|| self.position.display().to_string()),
        }
    }

    fn keep(&self, next: u64) -> anyhow::Result<()> {
        let unfinished = self.position.with_extension("new");
        let mut file = File::create(&unfinished)?;
        writeln!(file, "{next}")?;
        file.sync_all()?;
        fs::rename(&unfinished, &self.position).with_context(|| self.position.display().to_string())
    }
}
