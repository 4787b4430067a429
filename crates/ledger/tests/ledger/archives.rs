//! What left the log verifies from its files alone, and not when one of them is another.

use std::{collections::BTreeMap, io};

use guichet_ledger::{
    ArchiveFault, Contents, Fault, NoteError, Signer, TileReader, Verifier,
    archive::{CHECKPOINT, CONTENTS, RECORDS},
    segment_tiles, sign, tile_path, verify_archive,
};

use crate::logs::{Log, signer};

type Files = BTreeMap<String, Vec<u8>>;

/// Entries 256 to 767 of a log of 1,000.
fn archived() -> Files {
    let (log, until) = (Log::of(1_000), Log::of(768));
    let mut files = Files::new();
    files.insert(RECORDS.to_owned(), (log.entries[256..768].join("\n") + "\n").into_bytes());
    files.insert(CHECKPOINT.to_owned(), sign(&until.tree, &signer()).into_bytes());
    let contents = Contents { origin: signer().name().to_owned(), first: 256, until: 768 };
    files.insert(CONTENTS.to_owned(), serde_json::to_vec(&contents).unwrap());
    for (level, index) in segment_tiles(256, 768) {
        let hashes = log.tiles.tile(level, index).unwrap();
        let width = u16::try_from(hashes.len() / 32).unwrap();
        files.insert(tile_path(level, index, width), hashes);
    }
    files
}

fn verified(files: &Files, key: &Verifier) -> Result<(u64, u64), ArchiveFault> {
    let open = |file: &str| {
        let bytes = files.get(file).map(Vec::as_slice);
        bytes.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "there is none"))
    };
    let (contents, report) = verify_archive(open, std::slice::from_ref(key))?;
    assert_eq!((report.size, report.beyond), (contents.until, 0));
    Ok((contents.first, contents.until))
}

fn edited(files: &Files, file: &str, from: &str, to: &str) -> Files {
    let mut files = files.clone();
    let text = String::from_utf8(files[file].clone()).unwrap();
    assert!(text.contains(from), "{file}: {text}");
    files.insert(file.to_owned(), text.replacen(from, to, 1).into_bytes());
    files
}

#[test]
fn an_archive_verifies_from_its_files_alone() {
    let files = archived();
    let (signer, origin) = (signer(), "guichet.example/production");
    let key = signer.verifier();
    assert_eq!(verified(&files, key).unwrap(), (256, 768));

    let changed = edited(&files, RECORDS, "number 300", "number 301");
    assert!(matches!(verified(&changed, key), Err(ArchiveFault::Ledger(Fault::Changed { .. }))));
    let more = edited(&files, CONTENTS, "768", "767");
    assert!(matches!(verified(&more, key), Err(ArchiveFault::Mixed { covered: 768, .. })));
    let elsewhere = edited(&files, CONTENTS, origin, "guichet.example/staging");
    let error = verified(&elsewhere, key).unwrap_err();
    assert!(matches!(error, ArchiveFault::Mixed { .. }), "{error}");
    assert!(error.to_string().contains("of guichet.example/staging"), "{error}");
    let backwards = edited(&files, CONTENTS, "256", "769");
    assert!(matches!(verified(&backwards, key), Err(ArchiveFault::Contents(_))));
    let no_json = edited(&files, CONTENTS, "{", "");
    assert!(matches!(verified(&no_json, key), Err(ArchiveFault::Contents(_))));
    for file in [RECORDS, CHECKPOINT, CONTENTS] {
        let mut less = files.clone();
        less.remove(file);
        let error = verified(&less, key).unwrap_err().to_string();
        assert!(error.contains(file) && error.contains("copy the archive anew"), "{error}");
    }
    let mut less = files.clone();
    less.remove("tile/0/001");
    assert!(matches!(verified(&less, key), Err(ArchiveFault::Ledger(Fault::Unreadable { .. }))));
    let stranger = Signer::from_seed(origin, [9; 32]).unwrap();
    let error = verified(&files, stranger.verifier());
    assert!(matches!(error, Err(ArchiveFault::Checkpoint(NoteError::OtherKeys { .. }))));
}
