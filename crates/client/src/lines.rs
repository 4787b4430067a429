//! Lines out of pieces, each exactly as it was sent.

/// The longest line that is taken, bytes: larger than any body the gateway accepts.
const LONGEST_LINE: usize = 16 << 20;

/// A line went on for more than [`LONGEST_LINE`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

/// Holds the unfinished line between two pieces.
#[derive(Debug, Default)]
pub(crate) struct LineSplitter {
    unfinished: Vec<u8>,
}

impl LineSplitter {
    /// Takes the next piece and gives the lines that it completes, without their line feed.
    pub(crate) fn push(&mut self, piece: &[u8]) -> Result<Vec<Vec<u8>>, TooLong> {
        let mut lines = Vec::new();
        let mut rest = piece;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let mut line = std::mem::take(&mut self.unfinished);
            line.extend_from_slice(&rest[..end]);
            lines.push(line);
            rest = &rest[end + 1..];
        }
        self.unfinished.extend_from_slice(rest);
        if self.unfinished.len() > LONGEST_LINE { Err(TooLong) } else { Ok(lines) }
    }

    /// The last line, where it had no line feed.
    pub(crate) fn finish(self) -> Option<Vec<u8>> {
        (!self.unfinished.is_empty()).then_some(self.unfinished)
    }
}

#[cfg(test)]
mod tests {
    use super::LineSplitter;

    #[test]
    fn lines_come_out_as_they_went_in() {
        let text = b"{\"a\":1}\n\n{\"b\":\"\xc3\xa9\"}\nlast";
        for cut in 0..=text.len() {
            let mut splitter = LineSplitter::default();
            let mut lines = splitter.push(&text[..cut]).unwrap();
            lines.extend(splitter.push(&text[cut..]).unwrap());
            assert_eq!(lines, [&b"{\"a\":1}"[..], b"", b"{\"b\":\"\xc3\xa9\"}"], "cut at {cut}");
            assert_eq!(splitter.finish().as_deref(), Some(&b"last"[..]));
        }
    }
}
