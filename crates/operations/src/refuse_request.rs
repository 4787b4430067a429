//! A request that came to no verb: a body, a query or a path that no route takes. Recorded, as every attempt is.

use guichet_admission::Call;
use guichet_contract::{RecordVerdict, Verb};

use crate::platform::Platform;

/// Records that a request to `route` (method and template, never the path itself) was refused with this problem code.
/// The caller is named when their token holds; when it does not, that is no second refusal.
///
/// Does not wait for the disk. The answer is a refusal already, so a store that takes no record changes nothing.
pub async fn refuse_request(platform: &Platform, call: &Call, route: &str, problem: String) {
    let mut record = platform.door.record(Verb::RefuseRequest, RecordVerdict::Refused, call.surface);
    if let Ok(identified) = platform.door.identity().identify(call.bearer.as_deref()).await {
        call.note_held();
        record.principal = Some(identified.principal.clone());
    }
    record.trace_id = call.trace_id();
    record.problem = Some(problem);
    record.detail = Some(route.to_owned());
    if let Err(error) = platform.store.append_soon(record).await {
        tracing::error!(%error, "a refused request could not be recorded");
    }
}
