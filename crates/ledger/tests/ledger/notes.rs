//! Checkpoints as signed notes: made by us and read by others, refused after any change.

use crate::logs::{Log, signer};
use guichet_ledger::{
    CUT_OFF, Checkpoint, KeyError, NoteError, Signer, Tree, Verifier, open, parse_unverified, sign,
    split_notes,
};
use signed_note::{Note, StandardSigner, StandardVerifier, VerifierList};

#[test]
fn another_implementation_opens_our_checkpoint() {
    let (log, signer) = (Log::of(300), signer());
    let note = sign(&log.tree, &signer);
    let known =
        VerifierList::new(vec![Box::new(StandardVerifier::new(&signer.verifier().to_string()).unwrap())]);
    let read = Note::from_bytes(note.as_bytes()).unwrap();
    let (verified, others) = read.verify(&known).unwrap();
    assert_eq!((verified.len(), others.len()), (1, 0));
    let checkpoint = tlog_tiles::Checkpoint::from_bytes(read.text()).unwrap();
    assert_eq!((checkpoint.origin(), checkpoint.size(), checkpoint.extension()), (signer.name(), 300, ""));
    assert_eq!(checkpoint.hash().0, log.tree.root);
}

#[test]
fn we_open_what_another_implementation_signed() {
    let text = "PeterNeumann\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\nan extension line\n";
    let theirs =
        StandardSigner::new("PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")
            .unwrap();
    let mut note = Note::new(text.as_bytes(), &[]).unwrap();
    note.add_sigs(&[&theirs]).unwrap();
    let note = String::from_utf8(note.to_bytes()).unwrap();
    let verifier: Verifier =
        "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW".parse().unwrap();
    assert_eq!(open(&note, &verifier).unwrap().tree(), Tree::EMPTY);
}

#[test]
fn the_example_of_the_specification_is_read() {
    // https://c2sp.org/tlog-checkpoint. Its key is not published, so it can be read and not believed.
    let note = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\
        — example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n";
    let checkpoint = parse_unverified(note).unwrap();
    assert_eq!((checkpoint.origin.as_str(), checkpoint.size), ("example.com/behind-the-sofa", 20_852_163));
    let error = open(note, signer().verifier()).unwrap_err();
    assert!(
        matches!(&error, NoteError::OtherKeys { found, .. } if found == "example.com/behind-the-sofa+033de0ae"),
        "{error}"
    );
}

#[test]
fn a_checkpoint_comes_back_as_it_was_signed() {
    let (log, signer) = (Log::of(5), signer());
    let note = sign(&log.tree, &signer);
    let expected =
        Checkpoint { origin: "guichet.example/production".to_owned(), size: 5, root: log.tree.root };
    assert_eq!(open(&note, signer.verifier()), Ok(expected.clone()));
    assert_eq!(parse_unverified(&note), Ok(expected));
    // The same after a restart, from the stored seed and the published key.
    let again = Signer::from_seed(signer.name(), *signer.seed()).unwrap();
    assert_eq!(sign(&log.tree, &again), note);
    assert_eq!(signer.verifier().to_string().parse::<Verifier>().as_ref(), Ok(signer.verifier()));
}

#[test]
fn one_flipped_bit_anywhere_in_a_checkpoint_is_refused() {
    let (log, signer) = (Log::of(300), signer());
    let note = sign(&log.tree, &signer);
    let mut readable = 0;
    for place in 0..note.len() {
        for bit in 0..8 {
            let mut bytes = note.clone().into_bytes();
            bytes[place] ^= 1 << bit;
            // What is no UTF-8 cannot even be handed in.
            if let Ok(changed) = String::from_utf8(bytes) {
                readable += 1;
                assert!(open(&changed, signer.verifier()).is_err(), "byte {place}, bit {bit}: {changed:?}");
            }
        }
    }
    assert!(readable > note.len() * 5);
}

#[test]
fn one_byte_more_or_less_is_refused() {
    let (log, signer) = (Log::of(300), signer());
    let note = sign(&log.tree, &signer);
    for place in 0..=note.len() {
        if !note.is_char_boundary(place) {
            continue;
        }
        for added in ["\n", " ", "A", "=", "\r", "\0", "—"] {
            let changed = [&note[..place], added, &note[place..]].concat();
            assert!(open(&changed, signer.verifier()).is_err(), "{changed:?}");
        }
        if let Some(gone) = note[place..].chars().next() {
            let changed = [&note[..place], &note[place + gone.len_utf8()..]].concat();
            // Taking one of two equal neighbours leaves one text, so each is refused or impossible.
            assert!(open(&changed, signer.verifier()).is_err(), "{changed:?}");
        }
        assert!(place == note.len() || open(&note[..place], signer.verifier()).is_err());
    }
}

#[test]
fn each_refusal_tells_what_happened() {
    let (log, signer) = (Log::of(300), signer());
    let note = sign(&log.tree, &signer);
    let words = |note: &str, verifier: &Verifier| open(note, verifier).unwrap_err().to_string();

    let altered = words(&note.replace("\n300\n", "\n299\n"), signer.verifier());
    assert!(altered.starts_with("the signature of guichet.example/production+"), "{altered}");
    assert!(altered.contains("altered after it was signed; keep this copy as evidence"), "{altered}");

    let stranger = Signer::generate("guichet.example/production", [8; 32]).unwrap();
    let other = words(&note, stranger.verifier());
    assert!(other.starts_with("the checkpoint bears no signature of guichet.example/production+"), "{other}");
    assert!(other.contains("get the key anew over a way you trust"), "{other}");

    for (text, problem) in [
        (String::new(), "no empty line"),
        (note.replace("\n\n", "\n"), "no empty line"),
        (note.replace("— ", "- "), "signature line"),
        (note.trim_end().to_owned(), "does not end"),
        (note.replace("\n300\n", "\n300\r\n"), "control character"),
        ("x".repeat(300_000), "longer than"),
    ] {
        let refused = words(&text, signer.verifier());
        assert!(refused.starts_with("this is no checkpoint: ") && refused.contains(problem), "{refused}");
    }
}

#[test]
fn a_text_that_is_signed_but_says_no_checkpoint_is_refused() {
    // Signed with our key by another program, so that only the text is at fault.
    let skey = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
    let verifier: Verifier =
        "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW".parse().unwrap();
    let root = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    for (text, wrong) in [
        (format!("Someone\n0\n{root}\n"), "two logs were mixed up"),
        ("PeterNeumann\n0\n".to_owned(), "fewer than three lines"),
        (format!("\n0\n{root}\n"), "is empty"),
        (format!("PeterNeumann\n0\n{root}\n\n"), "is empty"),
        (format!("PeterNeumann\n00\n{root}\n"), "number of entries"),
        (format!("PeterNeumann\n+1\n{root}\n"), "number of entries"),
        (format!("PeterNeumann\n-1\n{root}\n"), "number of entries"),
        (format!("PeterNeumann\n18446744073709551616\n{root}\n"), "number of entries"),
        ("PeterNeumann\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuA==\n".to_owned(), "root hash"),
        (format!("PeterNeumann\n0\n{}\n", root.trim_end_matches('=')), "root hash"),
    ] {
        let mut note = Note::new(text.as_bytes(), &[]).unwrap();
        note.add_sigs(&[&StandardSigner::new(skey).unwrap()]).unwrap();
        let note = String::from_utf8(note.to_bytes()).unwrap();
        let error = open(&note, &verifier).unwrap_err().to_string();
        assert!(error.contains(wrong), "{text:?}: {error}");
    }
}

#[test]
fn keys_are_read_as_the_specification_writes_them() {
    // The key of the Go checksum database, as golang.org/x/mod publishes it.
    let known = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";
    let verifier: Verifier = known.parse().unwrap();
    assert_eq!((verifier.name(), verifier.to_string().as_str()), ("sum.golang.org", known));

    for (text, error) in [
        ("sum.golang.org", KeyError::Form),
        ("sum.golang.org+033de0ae", KeyError::Form),
        ("sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn", KeyError::Form),
        ("sum.golang.org+033de0ae+", KeyError::Form),
        ("sum.golang.org+033de0af+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8", KeyError::Hash),
        ("sum.golang.org+033DE0AE+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8", KeyError::Hash),
        ("sum.golang.com+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8", KeyError::Hash),
        ("sum.golang.org+033de0ae+BM4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8", KeyError::Type(4)),
        ("+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8", KeyError::Name(String::new())),
    ] {
        assert_eq!(text.parse::<Verifier>(), Err(error), "{text}");
    }
    for name in ["", "two words", "a+b", "line\nbreak", "narrow\u{202f}space"] {
        assert_eq!(Signer::generate(name, [1; 32]).unwrap_err(), KeyError::Name(name.to_owned()));
    }
    assert!(!format!("{:?}", signer()).contains("7, 7"), "the seed is not shown");
}

#[test]
fn notes_that_were_appended_to_one_another_are_told_apart() {
    let signer = signer();
    let notes: Vec<String> = [1, 5, 300].map(|size| sign(&Log::of(size).tree, &signer)).into();
    let file = notes.join("\n") + "\n";
    assert_eq!(split_notes(&file), notes);
    assert_eq!(split_notes(&notes[0]), [notes[0].as_str()], "one note as it is");
    assert_eq!(split_notes(&format!("\n\n{}\n\n\n{}", notes[0], notes[1])), notes[..2]);
    // One that was cut off, closed as whoever appends the next does it.
    for cut in (0..notes[1].len()).filter(|cut| notes[1].is_char_boundary(*cut)) {
        let torn = &notes[1][..cut];
        let closed = match torn.as_bytes() {
            [] | [.., b'\n', b'\n'] => torn.to_owned(),
            [.., b'\n'] => format!("{torn}\n"),
            _ => format!("{torn}{CUT_OFF}\n\n"),
        };
        let file = format!("{}\n{closed}{}\n", notes[0], notes[2]);
        assert_eq!(split_notes(&file), [notes[0].as_str(), &notes[2]], "{file}");
        assert_eq!(split_notes(&format!("{}\n{torn}", notes[0])), [notes[0].as_str()], "{torn}");
    }
    for text in ["", "\n", "\n\n\n\n", "nothing", "— a b\n\n— c d\n\n"] {
        assert!(split_notes(text).is_empty(), "{text:?}");
    }
}
