//! What was read in a provider's document, beside the document: reading ten thousand operations takes most of a second,
//! reading what was found takes a twentieth of that.
//!
//! `NAME.offer` is a line that tells what it was made of, then one action a line. It is used only by the very program that
//! wrote it and for the very text it was made of; otherwise the document is read again. Losing it loses nothing.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::UNIX_EPOCH,
};

use guichet_contract::{Action, Digest};
use guichet_operations::offer::Offer;
use serde::{Deserialize, Serialize};

use crate::whole_file::write_whole;

/// What it was made of, and what was odd in it.
#[derive(Serialize, Deserialize)]
struct Head {
    program: String,
    strict: bool,
    /// Of the document's text, as it is kept.
    text: Digest,
    /// Of the document.
    document: Digest,
    odd: Vec<String>,
}

fn path_of(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.offer"))
}

/// Another build may read the same document otherwise, also under the same version.
fn program() -> Option<String> {
    let file = fs::metadata(std::env::current_exe().ok()?).ok()?;
    let made = file.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(format!("{} {} {}", env!("CARGO_PKG_VERSION"), file.len(), made.as_nanos()))
}

/// Writes it beside the document.
///
/// # Errors
/// The system's.
pub(crate) fn write(
    folder: &Path,
    name: &str,
    text: &[u8],
    strict: bool,
    document: &Digest,
    offer: &Offer,
) -> io::Result<()> {
    let Some(program) = program() else { return Ok(()) };
    let (text, document, odd) = (Digest::of_bytes(text), document.clone(), offer.odd.clone());
    let mut lines = serde_json::to_vec(&Head { program, strict, text, document, odd })?;
    for action in &offer.actions {
        lines.write_all(b"\n")?;
        serde_json::to_writer(&mut lines, &**action)?;
    }
    write_whole(&path_of(folder, name), &lines, 0o644)
}

/// The document's digest and what was read in it, if it was this program that read this text. Takes as many threads as the
/// machine has cores: nothing is served yet.
pub(crate) fn read(folder: &Path, name: &str, text: &[u8], strict: bool) -> Option<(Digest, Offer)> {
    let lines = fs::read_to_string(path_of(folder, name)).ok()?;
    let (head, lines) = lines.split_once('\n').unwrap_or((&lines, ""));
    let head: Head = serde_json::from_str(head).ok()?;
    if head.program != program()? || head.strict != strict || head.text != Digest::of_bytes(text) {
        return None;
    }
    let lines: Vec<&str> = lines.lines().collect();
    let part = lines.len().div_ceil(thread::available_parallelism().map_or(1, usize::from)).max(1);
    let actions = thread::scope(|scope| {
        let parts: Vec<_> = lines.chunks(part).map(|lines| scope.spawn(|| actions(lines))).collect();
        parts.into_iter().map(|part| part.join().ok()?).collect::<Option<Vec<_>>>()
    })?;
    Some((head.document, Offer { actions: actions.concat(), odd: head.odd }))
}

fn actions(lines: &[&str]) -> Option<Vec<Arc<Action>>> {
    lines.iter().map(|line| serde_json::from_str(line).map(Arc::new).ok()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_read_is_found_again_for_the_same_text_and_no_other() {
        let get = |id: String| {
            json!({"get": {"operationId": id, "summary": "Line\nand line", "parameters": [
                {"name": "ratio", "in": "query", "schema": {"type": "number", "minimum": 0.1, "default": 1.5}}
            ], "responses": {}}})
        };
        let paths: serde_json::Map<_, _> =
            (0..50).map(|number| (format!("/a{number}"), get(format!("do-{number}")))).collect();
        let document = json!({"openapi": "3.1.0", "info": {"title": "T", "version": "1"}, "paths": paths});
        let offer = Offer::read("things", &document, false).unwrap();
        assert_eq!(offer.actions.len(), 50);
        let folder = tempfile::tempdir().unwrap();
        let (text, digest) = (document.to_string(), Digest::of_json(&document));
        write(folder.path(), "things", text.as_bytes(), false, &digest, &offer).unwrap();
        let read = |name: &str, text: &str, strict| read(folder.path(), name, text.as_bytes(), strict);
        assert_eq!(read("things", &text, false), Some((digest, offer)));
        assert_eq!(read("things", &text, true), None);
        assert_eq!(read("things", "{}", false), None);
        assert_eq!(read("others", &text, false), None);
        let path = path_of(folder.path(), "things");
        let cut = fs::read_to_string(&path).unwrap();
        fs::write(&path, &cut[..cut.len() - 20]).unwrap();
        assert_eq!(read("things", &text, false), None, "a file that was cut off");
    }
}
