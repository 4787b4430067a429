//! The event stream format of the HTML standard (section 9.2.6), read piece by piece.
//!
//! Pieces end anywhere, also inside a line end or a UTF-8 sequence. What is kept is bounded.

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SseEvent {
    /// The last id the stream has named, also when this event has none of its own.
    pub id: Option<String>,
    /// Its kind, `message` when unnamed.
    pub event: String,
    /// Its data lines, joined by line feeds.
    pub data: String,
}

/// An event that is larger than this is no event of ours, bytes.
const LARGEST_EVENT: usize = 16 << 20;

/// The stream held more than [`LARGEST_EVENT`] bytes without an end of event.
#[derive(Debug, PartialEq, Eq)]
pub struct TooLarge;

/// Holds what is unfinished between two pieces.
#[derive(Debug, Default)]
pub struct SseParser {
    line: Vec<u8>,
    after_carriage_return: bool,
    begun: bool,
    id: Option<String>,
    event: String,
    data: String,
    has_data: bool,
}

impl SseParser {
    /// Takes the next piece and gives the events that it completes.
    pub fn push(&mut self, piece: &[u8]) -> Result<Vec<SseEvent>, TooLarge> {
        let mut events = Vec::new();
        for &byte in piece {
            let second_half_of_line_end = byte == b'\n' && self.after_carriage_return;
            self.after_carriage_return = byte == b'\r';
            match byte {
                b'\n' if second_half_of_line_end => {}
                b'\n' | b'\r' => {
                    let line = std::mem::take(&mut self.line);
                    events.extend(self.end_of_line(&line));
                }
                _ => self.line.push(byte),
            }
            if self.line.len() + self.data.len() > LARGEST_EVENT {
                return Err(TooLarge);
            }
        }
        Ok(events)
    }

    fn end_of_line(&mut self, line: &[u8]) -> Option<SseEvent> {
        let line = if self.begun { line } else { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line) };
        self.begun = true;
        if line.is_empty() {
            return self.end_of_event();
        }
        let line = String::from_utf8_lossy(line);
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => {
                if self.has_data {
                    self.data.push('\n');
                }
                self.has_data = true;
                self.data.push_str(value);
            }
            "event" => value.clone_into(&mut self.event),
            "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
            // Comments (an empty field name), `retry` (our own back-off is kinder) and what is unknown.
            _ => {}
        }
        None
    }

    fn end_of_event(&mut self) -> Option<SseEvent> {
        let event = std::mem::take(&mut self.event);
        let data = std::mem::take(&mut self.data);
        let had_data = std::mem::take(&mut self.has_data);
        had_data.then(|| SseEvent {
            id: self.id.clone(),
            event: if event.is_empty() { "message".to_owned() } else { event },
            data,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pieces: &[&[u8]]) -> Vec<(Option<String>, String, String)> {
        let mut parser = SseParser::default();
        let mut events = Vec::new();
        for piece in pieces {
            events.extend(parser.push(piece).unwrap());
        }
        events.into_iter().map(|event| (event.id, event.event, event.data)).collect()
    }

    fn event(id: Option<&str>, name: &str, data: &str) -> (Option<String>, String, String) {
        (id.map(str::to_owned), name.to_owned(), data.to_owned())
    }

    #[test]
    fn reads_the_cases_of_the_standard() {
        for (text, expected) in [
            ("data: a\n\n", vec![event(None, "message", "a")]),
            ("data: a\ndata\ndata:  b\n\n", vec![event(None, "message", "a\n\n b")]),
            ("\u{feff}event: log\r\ndata:x\r\n\r\n", vec![event(None, "log", "x")]),
            (": keep-alive\n\n", vec![]),
            ("event: log\n\ndata: y\n\n", vec![event(None, "message", "y")]),
            (
                "id: 1\ndata: a\n\ndata: b\n\n",
                vec![event(Some("1"), "message", "a"), event(Some("1"), "message", "b")],
            ),
            ("data: never finished\n", vec![]),
            ("data: a\r\rdata: b\r\r", vec![event(None, "message", "a"), event(None, "message", "b")]),
        ] {
            assert_eq!(parse(&[text.as_bytes()]), expected, "{text:?}");
        }
    }

    #[test]
    fn pieces_may_end_anywhere() {
        let text = "id: 7\r\nevent: log\r\ndata: é…\r\n\r\n: x\r\ndata: z\r\n\r\n".as_bytes();
        let whole = parse(&[text]);
        assert_eq!(whole.len(), 2);
        for cut in 0..=text.len() {
            assert_eq!(parse(&[&text[..cut], &text[cut..]]), whole, "cut at {cut}");
        }
        let single: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(parse(&single), whole);
    }

    #[test]
    fn what_never_ends_is_refused() {
        let mut parser = SseParser::default();
        let piece = vec![b'x'; 1 << 20];
        let refused = (0..20).any(|_| parser.push(&piece) == Err(TooLarge));
        assert!(refused);
    }
}
