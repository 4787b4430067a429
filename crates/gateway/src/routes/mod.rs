//! One file per route. [`endpoints`] is the whole list.

pub mod add_provider;
pub mod approve_run;
pub mod cancel_run;
pub mod change_schedule;
pub mod close_review;
pub mod comment_run;
pub mod create_schedule;
pub mod create_token;
pub mod decide_schedule;
pub mod explain_policy;
pub mod export_records;
pub mod follow_run;
pub mod list_approvals;
pub mod list_options;
pub mod list_providers;
pub mod list_records;
pub mod list_runs;
pub mod list_tokens;
pub mod openapi;
pub mod ping_channel;
pub mod plan_run;
pub mod probes;
pub mod provider_paths;
pub mod read_actions;
pub mod read_catalogue;
pub mod read_deliveries;
pub mod read_event_schemas;
pub mod read_keys;
pub mod read_ledger;
pub mod read_run;
pub mod read_schedules;
pub mod register_instance;
pub mod reject_run;
pub mod remove_provider;
pub mod replay_delivery;
pub mod revoke_token;
pub mod sign_in;
pub mod sign_out;
pub mod simulate_policy;
pub mod submit_run;
pub mod undo_run;
pub mod who_am_i;
pub mod who_can;
pub mod who_can_approve;

use guichet_contract::{Problem, code};

use schemars::JsonSchema;
use serde::Deserialize;

use crate::{answer::Refused, api::Endpoint};

/// Every endpoint with a name of its own. The providers' own paths are in [`provider_paths`].
pub fn endpoints() -> Vec<Endpoint> {
    vec![
        sign_in::endpoint(),
        who_am_i::endpoint(),
        sign_out::endpoint(),
        create_token::endpoint(),
        list_tokens::endpoint(),
        revoke_token::endpoint(),
        read_catalogue::endpoint(),
        read_actions::search(),
        read_actions::one(),
        plan_run::endpoint(),
        list_options::endpoint(),
        submit_run::endpoint(),
        list_runs::endpoint(),
        read_run::endpoint(),
        follow_run::endpoint(),
        cancel_run::endpoint(),
        comment_run::endpoint(),
        undo_run::endpoint(),
        close_review::list(),
        close_review::one(),
        close_review::close(),
        approve_run::endpoint(),
        reject_run::endpoint(),
        list_approvals::endpoint(),
        create_schedule::endpoint(),
        read_schedules::list(),
        read_schedules::one(),
        decide_schedule::approve(),
        decide_schedule::reject(),
        change_schedule::pause(),
        change_schedule::resume(),
        change_schedule::delete(),
        read_deliveries::list(),
        read_deliveries::one(),
        replay_delivery::endpoint(),
        ping_channel::endpoint(),
        read_event_schemas::list(),
        read_event_schemas::one(),
        list_records::endpoint(),
        read_ledger::checkpoint(),
        read_ledger::tile(),
        read_ledger::key(),
        export_records::endpoint(),
        explain_policy::endpoint(),
        explain_policy::by_name(),
        who_can::endpoint(),
        who_can_approve::endpoint(),
        simulate_policy::endpoint(),
        list_providers::endpoint(),
        list_providers::one(),
        register_instance::endpoint(),
        add_provider::endpoint(),
        remove_provider::instance(),
        remove_provider::provider(),
        read_keys::endpoint(),
        openapi::endpoint(),
        probes::healthz(),
        probes::readyz(),
        probes::metrics(),
    ]
}

/// Why.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Why {
    /// Why, if there is something to say.
    pub(crate) reason: Option<String>,
}

/// Rows of a page when the caller does not say.
pub(crate) const PAGE: usize = 50;

/// Which part of a list, from the query.
pub(crate) fn page(
    limit: Option<usize>,
    cursor: Option<String>,
) -> Result<guichet_operations::PageRequest, Refused> {
    let limit = limit.unwrap_or(PAGE);
    if !(1..=500).contains(&limit) {
        return Err(
            Problem::new(code::BAD_REQUEST, format!("`limit` is between 1 and 500, not {limit}")).into()
        );
    }
    Ok(guichet_operations::PageRequest { limit, cursor })
}

/// A word of a query as one of ours.
pub(crate) fn word<T: std::str::FromStr<Err = String>>(text: &str) -> Result<T, Refused> {
    text.parse().map_err(|why: String| Problem::new(code::BAD_REQUEST, why).into())
}
