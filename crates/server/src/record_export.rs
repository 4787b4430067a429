//! Records as OTLP logs, for whoever watches many systems in one place.
//!
//! Each record at least once and in order: how far it came is kept in the data folder, and moves on only when the collector
//! has taken a batch. A crash in between sends the batch again; `guichet.record.index` tells what was seen before. The
//! gateway never waits for a collector. The body is the record's exact text, as it is hashed into the ledger, so that what
//! arrived can be held against the ledger.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use guichet_contract::{Clock, Record, RecordVerdict};
use guichet_store::{Store, next_records};
use opentelemetry::{
    InstrumentationScope, SpanId, TraceId,
    logs::{LogRecord as _, Logger as _, LoggerProvider as _, Severity},
};
use opentelemetry_otlp::{LogExporter, WithExportConfig as _};
use opentelemetry_sdk::{
    Resource,
    logs::{LogBatch, LogExporter as _, SdkLogRecord, SdkLogger, SdkLoggerProvider},
};
use tokio::time;
use tokio_util::sync::CancellationToken;

use crate::whole_file::write_whole;

/// Records of one call at most.
const BATCH: usize = 512;
/// Text of one call, bytes: a call ends with the record that reaches this. Servers that speak gRPC take 4 MiB unless they
/// are told otherwise, and a record is some ten kilobytes at most.
const BATCH_BYTES: usize = 1 << 20;
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
    position: Position,
}

/// How far the collector came, kept in the data folder.
pub struct Position(PathBuf);

impl Position {
    /// That of the data folder `data`.
    pub fn of(data: &Path) -> Self {
        Self(data.join("otlp-records.position"))
    }

    /// Index of the first record that no collector has taken.
    ///
    /// # Errors
    /// A file that holds something else, or cannot be read.
    pub fn read(&self) -> anyhow::Result<u64> {
        match fs::read_to_string(&self.0) {
            Ok(text) => text.trim().parse().with_context(|| {
                format!("{} holds no number; remove it to send all records again", self.0.display())
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error).with_context(|| self.0.display().to_string()),
        }
    }

    fn keep(&self, next: u64) -> anyhow::Result<()> {
        write_whole(&self.0, format!("{next}\n").as_bytes(), 0o644).context("how far the export came")
    }
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
        Ok(Self { store, exporter, logger, clock, position: Position::of(data) })
    }

    /// Sends what was not sent yet, then each new record, until `stop`.
    pub async fn work(self, stop: CancellationToken) {
        let mut wakes = self.store.wakes();
        let (mut pause, mut at_once) = (PAUSE, BATCH);
        loop {
            let failed = match self.send_new(&mut at_once, &stop).await {
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
                next_records(&mut wakes, GATHER).await;
            };
            tokio::select! {
                () = next => {}
                () = stop.cancelled() => {
                    // The last ones; what is not taken now is at the next start.
                    let _ = time::timeout(GATHER, self.send_new(&mut at_once, &CancellationToken::new())).await;
                    return;
                }
            }
            if failed {
                pause = (pause * 2).min(PAUSE_MOST);
            }
        }
    }

    /// `at_once` records in one call at most. Halved when a call fails, down to one, so that one that is too large for this
    /// collector does not stop all that come after it; doubled again when one succeeds.
    async fn send_new(&self, at_once: &mut usize, stop: &CancellationToken) -> anyhow::Result<()> {
        let mut next = self.position.read()?;
        while !stop.is_cancelled() {
            let mut leaves = self.store.leaves(next, *at_once).await?;
            leaves.truncate(of_one_call(&leaves));
            let (Some((first, _)), Some((last, _))) = (leaves.first(), leaves.last()) else { return Ok(()) };
            let (after, sent) = (last + 1, leaves.len());
            if *first > next {
                tracing::warn!(
                    from = next,
                    until = first,
                    "records were pruned before a collector took them; their archive has them"
                );
            }
            let scope = InstrumentationScope::builder("guichet.ledger").build();
            let records: Vec<SdkLogRecord> =
                leaves.into_iter().map(|(index, text)| self.log_record(index, text)).collect();
            let borrowed: Vec<_> = records.iter().map(|record| (record, &scope)).collect();
            if let Err(error) = self.exporter.export(LogBatch::new(&borrowed)).await {
                *at_once = (sent / 2).max(1);
                return Err(error.into());
            }
            *at_once = (*at_once * 2).min(BATCH);
            self.position.keep(after)?;
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
}

/// So many of the leaves make one call: at least one, and no more text than [`BATCH_BYTES`] before the last of them.
fn of_one_call(leaves: &[(u64, String)]) -> usize {
    let mut bytes = 0;
    let fits = leaves.iter().take_while(|(_, text)| {
        let fits = bytes < BATCH_BYTES;
        bytes += text.len();
        fits
    });
    fits.count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_ends_at_the_record_that_fills_it() {
        let leaves = |sizes: &[usize]| -> Vec<_> {
            (0..).zip(sizes).map(|(index, size)| (index, "x".repeat(*size))).collect()
        };
        for (sizes, taken) in [
            (&[][..], 0),
            (&[400; 512][..], 512),
            (&[16 << 10; 512][..], 64),
            (&[5 << 20, 1][..], 1),
            (&[1, 5 << 20, 1][..], 2),
        ] {
            assert_eq!(of_one_call(&leaves(sizes)), taken);
        }
    }
}
