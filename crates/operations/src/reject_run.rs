//! One person says no, and why: that ends it.

use std::sync::Arc;

use guichet_admission::{Call, Refusal};
use guichet_contract::{Run, Verdict};

use crate::{
    decide::{self, Word},
    platform::Platform,
};

/// Rejects, with a reason.
///
/// # Errors
/// As approving; and without a reason.
pub async fn reject_run(
    platform: &Arc<Platform>,
    call: &Call,
    run: &str,
    reason: &str,
) -> Result<Run, Refusal> {
    decide::decide(
        platform,
        call,
        run,
        Word { verdict: Verdict::Reject, shown: None, reason: Some(reason.to_owned()) },
    )
    .await
}
