//! One trace from consumer through gateway to provider (W3C Trace Context).

use guichet_contract::Clock;
use tracing::Span;

/// How a trace begins or goes on.
pub trait Tracer: Send + Sync + 'static {
    /// Ties `span` to the caller's `traceparent`, if it sent a good one, and gives the `traceparent` for whoever is
    /// called next.
    fn begin(&self, clock: &dyn Clock, incoming: Option<&str>, span: &Span) -> String;
}

/// Passes traces on without exporting spans of its own.
#[derive(Debug, Clone, Copy, Default)]
pub struct PlainTracer;

impl Tracer for PlainTracer {
    fn begin(&self, clock: &dyn Clock, incoming: Option<&str>, _: &Span) -> String {
        let (id, mut own) = (clock.new_uuid(), [0; 32]);
        let own: &str = id.simple().encode_lower(&mut own);
        // The random half of a UUIDv7 makes the span id; the whole of it a new trace id.
        let (trace, flags) = match incoming.filter(|text| is_traceparent(text)) {
            Some(incoming) => (&incoming[3..35], &incoming[53..55]),
            None => (own, "01"),
        };
        ["00", trace, &own[16..], flags].join("-")
    }
}

/// Whether the text is a `traceparent` of version 00.
pub fn is_traceparent(text: &str) -> bool {
    let hex = |part: &str, length: usize| {
        part.len() == length
            && part.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    let mut parts = text.split('-');
    let (version, trace, span, flags) = (parts.next(), parts.next(), parts.next(), parts.next());
    let (Some("00"), Some(trace), Some(span), Some(flags), None) =
        (version, trace, span, flags, parts.next())
    else {
        return false;
    };
    hex(trace, 32)
        && hex(span, 16)
        && hex(flags, 2)
        && trace.bytes().any(|byte| byte != b'0')
        && span.bytes().any(|byte| byte != b'0')
}

#[cfg(test)]
mod tests {
    use super::*;
    use guichet_contract::SystemClock;

    #[test]
    fn goes_on_with_a_good_trace_and_begins_anew_after_rubbish() {
        let incoming = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
        let next = PlainTracer.begin(&SystemClock, Some(incoming), &Span::none());
        assert!(next.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"), "{next}");
        assert!(!next.contains("00f067aa0ba902b7"), "a span of its own");
        assert!(next.ends_with("-00"), "not sampled stays not sampled");
        for rubbish in [
            "",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        ] {
            let next = PlainTracer.begin(&SystemClock, Some(rubbish), &Span::none());
            assert!(is_traceparent(&next), "{next}");
            assert!(!next.contains("4bf92f3577b34da6"), "{next}");
        }
    }
}
