//! One person says yes. When that was the last one needed, the run is queued in the same unit.

use std::sync::Arc;

use guichet_admission::{Call, Refusal};
use guichet_contract::{Digest, Run, Verdict};

use crate::{
    decide::{self, Word},
    platform::Platform,
};

/// Approves. `shown` is the binding of the card the person saw; when it is given and is not the run's, nothing is decided.
///
/// # Errors
/// Unknown run, own run, agent, not an approver, decided already, expired, drifted, not waiting.
pub async fn approve_run(
    platform: &Arc<Platform>,
    call: &Call,
    run: &str,
    shown: Option<Digest>,
    reason: Option<String>,
) -> Result<Run, Refusal> {
    decide::decide(platform, call, run, Word { verdict: Verdict::Approve, shown, reason }).await
}
