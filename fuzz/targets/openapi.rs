//! A provider's document, `x-guichet` in it: read or refused with a pointer, alike each time, and never more than that.
#![no_main]

use guichet_contract::openapi::{self, Strictness};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let Ok(document) = serde_json::from_slice::<serde_json::Value>(text) else { return };
    let strict = openapi::read("things", &document, Strictness::Strict);
    let lenient = openapi::read("things", &document, Strictness::Lenient);
    if let Ok(strict) = &strict {
        let again = openapi::read("things", &document, Strictness::Strict);
        assert!(again.is_ok_and(|again| again.actions == strict.actions), "read differently the second time");
        assert!(lenient.is_ok(), "what holds in our own documents holds in others'");
        for action in &strict.actions {
            assert!(action.input.is_object(), "{}: its input is no schema of an object", action.id);
        }
    } else if let Err(faults) = &strict {
        assert!(!faults.is_empty(), "refused without a word");
    }
});
