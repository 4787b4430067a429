//! What was read in a provider's document, beside the document: reading ten thousand operations takes most of a second,
//! reading what was found takes a twentieth of that.
//!
//! `NAME.offer` is a line that tells what it was made of, then one action a line. It is used only by the very program that
//! wrote it and for the very file it was made of; otherwise the document is read again. Losing it loses nothing.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::UNIX_EPOCH,
};

use guichet_contract::{Action, Digest, openapi::Finding};
use guichet_operations::offer::Offer;
use serde::{Deserialize, Serialize};

use crate::{
    providers::{Holder, Manner},
    whole_file::write_whole,
};

/// What it was made of, and what was odd in it.
#[derive(Serialize, Deserialize)]
struct Head {
    program: String,
    strict: bool,
    /// Of the overlay, and of what else was added.
    #[serde(default)]
    overlay: Option<Digest>,
    /// Whose it was, when its provider registered itself.
    #[serde(default)]
    holder: Option<Holder>,
    kept: Stamp,
    /// Of the document, with its overlay.
    document: Digest,
    odd: Vec<String>,
    #[serde(default)]
    refused: Vec<Finding>,
    #[serde(default)]
    server: Option<String>,
}

/// A file as it was written: one of other bytes has another.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    bytes: u64,
    /// Nanoseconds since 1970.
    modified: u64,
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let file = fs::metadata(path).ok()?;
        let modified = file.modified().ok()?.duration_since(UNIX_EPOCH).ok()?.as_nanos();
        Some(Self { bytes: file.len(), modified: u64::try_from(modified).ok()? })
    }
}

/// Where what was read in it is kept.
pub(crate) fn path_of(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.offer"))
}

/// Another build may read the same document otherwise, also under the same version.
fn program() -> Option<String> {
    let Stamp { bytes, modified } = Stamp::of(&std::env::current_exe().ok()?)?;
    Some(format!("{} {bytes} {modified}", env!("CARGO_PKG_VERSION")))
}

/// Where the document itself is kept.
pub(crate) fn document_of(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.json"))
}

/// Writes it beside the document, which is there already.
///
/// # Errors
/// The system's.
pub(crate) fn write(
    folder: &Path,
    name: &str,
    manner: &Manner,
    document: &Digest,
    offer: &Offer,
) -> io::Result<()> {
    let kept = Stamp::of(&document_of(folder, name));
    let (Some(program), Some(kept)) = (program(), kept) else { return Ok(()) };
    let head = Head {
        program,
        strict: manner.strict,
        overlay: overlay_of(manner),
        holder: manner.holder.clone(),
        kept,
        document: document.clone(),
        odd: offer.odd.clone(),
        refused: offer.refused.clone(),
        server: offer.server.clone(),
    };
    let mut lines = serde_json::to_vec(&head)?;
    for action in &offer.actions {
        lines.write_all(b"\n")?;
        serde_json::to_writer(&mut lines, &**action)?;
    }
    write_whole(&path_of(folder, name), &lines, 0o644)
}

/// The document's digest and what was read in it, if it was this program that read this very file. Takes as many threads as the
/// machine has cores: nothing is served yet.
pub(crate) fn read(folder: &Path, name: &str, manner: &Manner) -> Option<(Digest, Offer)> {
    let lines = fs::read_to_string(path_of(folder, name)).ok()?;
    let (head, lines) = lines.split_once('\n').unwrap_or((&lines, ""));
    let head: Head = serde_json::from_str(head).ok()?;
    if head.program != program()?
        || (head.strict, &head.overlay, &head.holder) != (manner.strict, &overlay_of(manner), &manner.holder)
        || head.kept != Stamp::of(&document_of(folder, name))?
    {
        return None;
    }
    let lines: Vec<&str> = lines.lines().collect();
    let part = lines.len().div_ceil(thread::available_parallelism().map_or(1, usize::from)).max(1);
    let actions = thread::scope(|scope| {
        let parts: Vec<_> = lines.chunks(part).map(|lines| scope.spawn(|| actions(lines))).collect();
        parts.into_iter().map(|part| part.join().ok()?).collect::<Option<Vec<_>>>()
    })?;
    let Head { document, odd, refused, server, .. } = head;
    Some((document, Offer { actions: actions.concat(), odd, refused, server }))
}

/// Whether the document that is kept under this name is the one of who has the name now. A name that was registered may be
/// another's since, so that it must be told there whose the document was; a name that is configured has it from the
/// configuration, unless it was registered before.
pub(crate) fn is_of(folder: &Path, name: &str, manner: &Manner) -> bool {
    /// What every program writes.
    #[derive(Deserialize)]
    struct Kept {
        #[serde(default)]
        holder: Option<Holder>,
        kept: Stamp,
    }
    let lines = fs::read_to_string(path_of(folder, name)).unwrap_or_default();
    let head = lines.split('\n').next().and_then(|head| serde_json::from_str::<Kept>(head).ok());
    match (head, &manner.holder) {
        (None, holder) => holder.is_none(),
        (Some(head), None) => head.holder.is_none(),
        (Some(head), of_now) => {
            head.holder == *of_now && Stamp::of(&document_of(folder, name)) == Some(head.kept)
        }
    }
}

fn overlay_of(manner: &Manner) -> Option<Digest> {
    manner.additions()
}

fn actions(lines: &[&str]) -> Option<Vec<Arc<Action>>> {
    lines.iter().map(|line| serde_json::from_str(line).map(Arc::new).ok()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_read_is_found_again_for_the_same_document_and_no_other() {
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
        let (digest, kept) = (Digest::of_json(&document), document_of(folder.path(), "things"));
        fs::write(&kept, document.to_string()).unwrap();
        write(folder.path(), "things", &Manner::default(), &digest, &offer).unwrap();
        let read = |name: &str, strict| read(folder.path(), name, &Manner { strict, ..Manner::default() });
        assert_eq!(read("things", false), Some((digest, offer)));
        assert_eq!(read("things", true), None);
        assert_eq!(read("others", false), None);
        let path = path_of(folder.path(), "things");
        let cut = fs::read_to_string(&path).unwrap();
        fs::write(&path, &cut[..cut.len() - 20]).unwrap();
        assert_eq!(read("things", false), None, "a file that was cut off");
        fs::write(&path, &cut).unwrap();
        assert!(read("things", false).is_some());
        fs::write(&kept, "{}").unwrap();
        assert_eq!(read("things", false), None, "another document");
    }
    #[test]
    fn what_is_kept_of_a_name_is_nobody_elses() {
        let held = |owner: &str, registered_at: &str| {
            let holder = json!({"kind": "service_account", "owner": owner, "registered_at": registered_at});
            Manner { holder: serde_json::from_value(holder).unwrap(), ..Manner::default() }
        };
        let (morning, noon) = ("2026-01-01T08:00:00Z", "2026-01-01T12:00:00Z");
        let folder = tempfile::tempdir().unwrap();
        let (document, configured, ours) = (json!({}), Manner::default(), held("ours", morning));
        let is_of = |manner: &Manner| is_of(folder.path(), "things", manner);
        let write = |manner: &Manner| {
            fs::write(document_of(folder.path(), "things"), document.to_string()).unwrap();
            write(folder.path(), "things", manner, &Digest::of_json(&document), &Offer::default()).unwrap();
        };
        // A document alone may be anybody's who registered.
        assert_eq!((is_of(&configured), is_of(&ours)), (true, false));
        write(&ours);
        assert!(read(folder.path(), "things", &ours).is_some() && is_of(&ours));
        for other in [&held("theirs", morning), &held("ours", noon), &configured] {
            assert!(read(folder.path(), "things", other).is_none() && !is_of(other), "{other:?}");
        }
        write(&configured);
        assert_eq!((is_of(&configured), is_of(&ours)), (true, false));
    }
}
