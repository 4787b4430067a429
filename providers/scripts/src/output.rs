//! What a script says: line by line, cut, cleaned and without secrets; and its result.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::runner::{Ended, HowEnded, Tell};

/// Characters of a line that are told.
const LINE: usize = 4_096;
/// Bytes of a line that are read, for a result may be long; the rest of it is dropped.
pub const LONGEST: usize = 1 << 20;
/// Lines of standard output kept for the answer.
const KEPT: usize = 200;
/// Lines of standard error kept for the answer.
const COMPLAINTS: usize = 5;

/// All that a script says.
pub struct Output<'a> {
    tell: Tell<'a>,
    hidden: &'a [String],
    most: usize,
    said: Mutex<Said>,
}

#[derive(Default)]
struct Said {
    told: usize,
    /// A line of standard output that may be the result, if none comes after it.
    held: Option<(String, Value)>,
    lines: Vec<String>,
    complaints: Vec<String>,
    /// Of what `lines` should have, something is missing.
    is_cut: bool,
}

/// Which of its streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Error,
    /// Both of them, where nobody can tell them apart: each line may be a complaint, and the last one the result.
    Both,
}

impl<'a> Output<'a> {
    /// Tells at most so many lines; the rest is dropped.
    pub fn new(tell: Tell<'a>, hidden: &'a [String], most: usize) -> Self {
        Self { tell, hidden, most, said: Mutex::default() }
    }

    /// Reads one of its streams to the end.
    pub async fn read(&self, mut from: impl AsyncRead + Unpin, stream: Stream) {
        let mut chunk = vec![0; 16 * 1024];
        let mut line = Vec::new();
        let mut is_cut = false;
        loop {
            let read = match from.read(&mut chunk).await {
                Ok(0) | Err(_) => break,
                Ok(read) => chunk.get(..read).unwrap_or_default(),
            };
            for piece in read.split_inclusive(|byte| *byte == b'\n') {
                let (text, ends) = match piece.strip_suffix(b"\n") {
                    Some(text) => (text, true),
                    None => (piece, false),
                };
                let room = LONGEST.saturating_sub(line.len());
                is_cut |= text.len() > room;
                line.extend_from_slice(text.get(..room.min(text.len())).unwrap_or_default());
                if ends {
                    self.take(&line, is_cut, stream);
                    line.clear();
                    is_cut = false;
                }
            }
        }
        if !line.is_empty() {
            self.take(&line, is_cut, stream);
        }
    }

    /// Takes one line, without its end. `is_cut`: more of it was dropped, so it is no result.
    pub fn take(&self, line: &[u8], is_cut: bool, stream: Stream) {
        let mut text = String::from_utf8_lossy(line).trim_end().to_owned();
        let may_be_result = stream != Stream::Error && !is_cut && text.starts_with(['{', '[']);
        let mut value = may_be_result.then(|| serde_json::from_str::<Value>(&text).ok()).flatten();
        // Written otherwise (`\u00e4`, `\/`) it is the same secret; and in the text alone a number would leave no JSON behind.
        match &mut value {
            Some(value) => {
                if self.hide_in(value) {
                    text = value.to_string();
                }
            }
            None => {
                self.hide(&mut text);
            }
        }
        let mut said = self.lock();
        if stream != Stream::Out && !text.is_empty() {
            said.complaints.push(shown(&text));
            if said.complaints.len() > COMPLAINTS {
                let _ = said.complaints.remove(0);
            }
        }
        if stream == Stream::Error {
            return self.tell(&mut said, &text);
        }
        if text.is_empty() && said.held.is_some() {
            return;
        }
        if let Some((held, _)) = said.held.take() {
            self.tell_out(&mut said, &held);
        }
        if let Some(value) = value {
            said.held = Some((text, value));
        } else {
            said.is_cut |= is_cut;
            self.tell_out(&mut said, &text);
        }
    }

    /// Whether there was something to hide.
    fn hide(&self, text: &mut String) -> bool {
        let before = text.len();
        let mut found = false;
        for hidden in self.hidden.iter().filter(|hidden| hidden.len() <= before) {
            if text.contains(hidden.as_str()) {
                *text = text.replace(hidden.as_str(), "[redacted]");
                found = true;
            }
        }
        found
    }

    fn hide_in(&self, value: &mut Value) -> bool {
        match value {
            Value::String(text) => self.hide(text),
            Value::Number(number) => {
                let mut text = number.to_string();
                let found = self.hide(&mut text);
                if found {
                    *value = Value::String(text);
                }
                found
            }
            Value::Array(items) => items.iter_mut().fold(false, |found, item| self.hide_in(item) | found),
            Value::Object(members) => {
                let mut found = false;
                *members = std::mem::take(members)
                    .into_iter()
                    .map(|(mut name, mut member)| {
                        found |= self.hide(&mut name) | self.hide_in(&mut member);
                        (name, member)
                    })
                    .collect();
                found
            }
            Value::Null | Value::Bool(_) => false,
        }
    }

    fn tell_out(&self, said: &mut Said, text: &str) {
        if said.lines.len() < KEPT {
            said.is_cut |= text.chars().nth(LINE).is_some();
            said.lines.push(shown(text));
        } else {
            said.is_cut = true;
        }
        self.tell(said, text);
    }

    fn tell(&self, said: &mut Said, text: &str) {
        said.told += 1;
        if said.told <= self.most {
            (self.tell)(&shown(text));
        } else if said.told == self.most + 1 {
            (self.tell)(&format!("(output beyond {} lines is dropped)", self.most));
        }
    }

    /// Whether a line was taken and not told yet, since it may be the result.
    pub fn holds_one(&self) -> bool {
        self.lock().held.is_some()
    }

    /// All of it, of a script that ended so.
    pub fn end(&self, how: HowEnded) -> Ended {
        let Said { held, lines, complaints, is_cut, .. } = std::mem::take(&mut *self.lock());
        Ended { how, result: held.map(|(_, value)| value), lines, complaints, is_cut }
    }

    fn lock(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A line as it can be shown anywhere: what steers a terminal is replaced, what is too long is cut.
fn shown(text: &str) -> String {
    let clean = |c: char| if c.is_control() && c != '\t' { '\u{fffd}' } else { c };
    text.chars().take(LINE).map(clean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn said(text: &[u8], hidden: &[String], most: usize) -> (Vec<String>, Option<Value>) {
        let told = Mutex::new(Vec::new());
        let tell = |line: &str| told.lock().unwrap().push(line.to_owned());
        let result = {
            let output = Output::new(&tell, hidden, most);
            output.read(text, Stream::Out).await;
            output.end(HowEnded::Exited(0)).result
        };
        (told.into_inner().unwrap(), result)
    }

    #[tokio::test]
    async fn the_last_line_may_be_the_result() {
        let (lines, result) = said(b"{\"a\":1}\nb\n{\"c\":2}\n\n", &[], 10).await;
        assert_eq!(lines, ["{\"a\":1}", "b"]);
        assert_eq!(result, Some(serde_json::json!({"c": 2})));
        assert_eq!(
            said(b"{\"c\":2}\nend", &[], 10).await,
            (vec!["{\"c\":2}".to_owned(), "end".to_owned()], None)
        );
        assert_eq!(said(b"[1", &[], 10).await.1, None);
    }

    #[tokio::test]
    async fn it_is_cut_cleaned_and_without_secrets() {
        let hidden = ["s3cret".to_owned()];
        let (lines, result) = said(b"a s3cret\x1b[2J\xff\n{\"x\":\"s3cret\"}", &hidden, 10).await;
        assert_eq!(lines, ["a [redacted]\u{fffd}[2J\u{fffd}"]);
        assert_eq!(result, Some(serde_json::json!({"x": "[redacted]"})));
        let hidden = ["pässwort".to_owned(), "ab/cd==".to_owned(), "4711".to_owned()];
        let text = br#"{"p\u00e4sswort": ["ab\/cd==", 4711, {"n": 12}]}"#;
        let (lines, result) = said(&[text.as_slice(), b"\nend"].concat(), &hidden, 10).await;
        assert_eq!(lines, [r#"{"[redacted]":["[redacted]","[redacted]",{"n":12}]}"#, "end"]);
        assert_eq!(result, None);
        let (_, result) = said(text, &hidden, 10).await;
        assert_eq!(result, Some(serde_json::json!({"[redacted]": ["[redacted]", "[redacted]", {"n": 12}]})));
        let long = vec![b'x'; LONGEST + 10];
        assert_eq!(said(&long, &[], 10).await.0[0].len(), LINE);
        assert_eq!(said(b"1\n2\n3\n4\n", &[], 2).await.0, ["1", "2", "(output beyond 2 lines is dropped)"]);
    }
}
