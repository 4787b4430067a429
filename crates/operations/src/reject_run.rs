//! One person says no, and why: that ends it.

use std::sync::Arc;

use guichet_admission::{Call, Refusal};
use guichet_contract::{Problem, Run, Verdict, code};

use crate::{decide::{self, Word}, platform::Platform};

/// Rejects, with a reason.
///
/// # Errors
/// As approving; and without a reason.
pub async fn reject_run(platform: &Arc<Platform>, call: &Call, run: &str, reason: &str) -> Result<Run, Refusal> {
    if reason.trim().is_empty() {
        return Err(Problem::new(code::INVALID_INPUT, "a rejection needs a reason").next("say why: `--reason \"…\"`").into());
    }
    decide::decide(platform, call, run, Word { verdict: Verdict::Reject, shown: None, reason: Some(reason.to_owned()) })
        .await
}
