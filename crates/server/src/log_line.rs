//! One line of the log: a JSON object with the moment, the level, what the event says, and its target.
//!
//! tracing-subscriber's own JSON, member for member, written straight into the line: a seventh of a read's processor time
//! went into writing its line by way of a general serializer (`decisions/0015-profiles.md`).

use std::{
    cell::Cell,
    fmt::{self, Write as _},
};

use guichet_contract::{Clock as _, SystemClock};
use jiff::Timestamp;
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

/// How a line is written.
pub(crate) struct LogLine;

impl<S, N> FormatEvent<S, N> for LogLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        write_event(&mut writer, event, SystemClock.now())
    }
}

fn write_event(line: &mut dyn fmt::Write, event: &Event<'_>, now: Timestamp) -> fmt::Result {
    line.write_str("{\"timestamp\":\"")?;
    write_moment(line, now)?;
    line.write_str("\",\"level\":\"")?;
    line.write_str(event.metadata().level().as_str())?;
    line.write_char('"')?;
    let mut members = Members { line, written: Ok(()) };
    event.record(&mut members);
    members.written?;
    line.write_str(",\"target\":")?;
    write_text(line, event.metadata().target())?;
    line.write_str("}\n")
}

/// `2026-01-31T08:00:00.123456Z`.
fn write_moment(line: &mut dyn fmt::Write, now: Timestamp) -> fmt::Result {
    const LENGTH: usize = 19;
    thread_local! {
        /// The second that was written last on this thread: of many lines a second, only the first works it out.
        static LAST: Cell<(i64, [u8; LENGTH])> = const { Cell::new((i64::MIN, [b'0'; LENGTH])) };
    }
    let second = now.as_second();
    let mut known = LAST.get();
    if known.0 != second {
        let text = now.strftime("%Y-%m-%dT%H:%M:%S").to_string();
        // A year of more than four digits has no place in it, and none is met.
        known = (second, text.as_bytes().try_into().unwrap_or([b'0'; LENGTH]));
        LAST.set(known);
    }
    line.write_str(std::str::from_utf8(&known.1).unwrap_or_default())?;
    let mut fraction = *b".000000Z";
    let mut micros = now.subsec_nanosecond().unsigned_abs() / 1_000;
    for place in (1..=6).rev() {
        fraction[place] = b'0' + u8::try_from(micros % 10).unwrap_or_default();
        micros /= 10;
    }
    line.write_str(std::str::from_utf8(&fraction).unwrap_or_default())
}

/// What an event says, each a member of the line.
struct Members<'a> {
    line: &'a mut dyn fmt::Write,
    written: fmt::Result,
}

impl Members<'_> {
    fn member(&mut self, field: &Field, write: impl FnOnce(&mut dyn fmt::Write) -> fmt::Result) {
        if self.written.is_err() {
            return;
        }
        self.written = self.line.write_char(',').and_then(|()| {
            write_text(self.line, field.name())?;
            self.line.write_char(':')?;
            write(self.line)
        });
    }
}

impl Visit for Members<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.member(field, |line| write_text(line, value));
    }
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.member(field, |line| {
            line.write_char('"')?;
            write!(Escaped(line), "{value:?}")?;
            line.write_char('"')
        });
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.member(field, |line| write!(line, "{value}"));
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.member(field, |line| write!(line, "{value}"));
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.member(field, |line| line.write_str(if value { "true" } else { "false" }));
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no infinity.
        self.member(field, |line| {
            if value.is_finite() { write!(line, "{value:?}") } else { line.write_str("null") }
        });
    }
}

fn write_text(line: &mut dyn fmt::Write, text: &str) -> fmt::Result {
    line.write_char('"')?;
    Escaped(line).write_str(text)?;
    line.write_char('"')
}

/// Escapes what a JSON string cannot hold as it is (RFC 8259, section 7).
struct Escaped<'a>(&'a mut dyn fmt::Write);

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.bytes().position(|byte| byte < b' ' || byte == b'"' || byte == b'\\') {
            self.0.write_str(&rest[..at])?;
            match rest.as_bytes()[at] {
                b'"' => self.0.write_str("\\\"")?,
                b'\\' => self.0.write_str("\\\\")?,
                b'\n' => self.0.write_str("\\n")?,
                b'\r' => self.0.write_str("\\r")?,
                b'\t' => self.0.write_str("\\t")?,
                other => write!(self.0, "\\u{other:04x}")?,
            }
            rest = &rest[at + 1..];
        }
        self.0.write_str(rest)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::{Value, json};
    use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

    use super::*;

    /// Keeps the lines of one moment.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<String>>);

    impl<S: Subscriber> Layer<S> for Kept {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            let now = "2026-01-31T08:00:00.001002999Z".parse().unwrap();
            write_event(&mut *self.0.lock().unwrap(), event, now).unwrap();
        }
    }

    #[test]
    fn a_line_is_the_json_of_what_was_said_in_its_order() {
        let kept = Kept::default();
        let text = "a \"quoted\" \\ back\u{1}slash\nß";
        tracing::subscriber::with_default(tracing_subscriber::registry().with(kept.clone()), || {
            tracing::info!(target: "here", text, whole = 7_u64, less = -7_i64, part = 0.5, none = f64::NAN, is = true, "said {}", text);
            tracing::warn!(target: "here", error = %"of \"it\"", debug = ?Some("x"), "again");
        });
        let kept = kept.0.lock().unwrap();
        let lines: Vec<&str> = kept.lines().collect();
        let first: Value = serde_json::from_str(lines[0]).unwrap();
        let expected = json!({
            "timestamp": "2026-01-31T08:00:00.001002Z", "level": "INFO", "message": format!("said {text}"), "text": text,
            "whole": 7, "less": -7, "part": 0.5, "none": null, "is": true, "target": "here"
        });
        assert_eq!(first, expected, "{}", lines[0]);
        let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&first), names(&expected), "in this order");
        assert_eq!(
            lines[1],
            r#"{"timestamp":"2026-01-31T08:00:00.001002Z","level":"WARN","message":"again","error":"of \"it\"","debug":"Some(\"x\")","target":"here"}"#
        );
        assert_eq!(lines.len(), 2);
    }
}
