//! The token that tells a provider who calls: whatever stands in its place, nobody is let in.
#![no_main]

use std::{
    cell::RefCell,
    sync::atomic::{AtomicBool, Ordering},
};

use axum::{
    Router,
    body::Body,
    http::{HeaderValue, Request, StatusCode, header},
};
use guichet_provider_sdk::{ActionError, Context, Keys, NoInput, provider};
use libfuzzer_sys::fuzz_target;
use tower::ServiceExt as _;

/// The public key of RFC 8032's first test vector: nobody here has the other half at hand.
const KEY: &str = "k4.public.11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
static PERFORMED: AtomicBool = AtomicBool::new(false);

thread_local! {
    static PARTS: RefCell<Option<(tokio::runtime::Runtime, Router)>> = RefCell::new(start());
}

fn start() -> Option<(tokio::runtime::Runtime, Router)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().ok()?;
    let keys = Keys::fixed([KEY]).ok()?;
    let things = provider("things")
        .action("touch", |_: Context, _: NoInput| async {
            PERFORMED.store(true, Ordering::Relaxed);
            Ok::<_, ActionError>(())
        })
        .done();
    let router = things.router(keys);
    Some((runtime, router))
}

fuzz_target!(|token: &[u8]| {
    let mut value = b"Bearer ".to_vec();
    value.extend_from_slice(token);
    let Ok(value) = HeaderValue::from_bytes(&value) else { return };
    PARTS.with_borrow(|parts| {
        let Some((runtime, router)) = parts else { return };
        let request = Request::post("/touch").header(header::AUTHORIZATION, value).body(Body::from("{}"));
        let Ok(request) = request else { return };
        let status = match runtime.block_on(router.clone().oneshot(request)) {
            Ok(response) => response.status(),
            Err(never) => match never {},
        };
        assert!(status == StatusCode::UNAUTHORIZED || status.is_client_error(), "{status}");
        assert!(!PERFORMED.load(Ordering::Relaxed), "performed for an invented token");
    });
});
