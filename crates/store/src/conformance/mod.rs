//! The suite every store passes: what the traits promise, told as cases.
//!
//! A store's own tests call [`conformance_suite!`](crate::conformance_suite) with its [`Premises`]; each case then
//! is a test of its own, with a store of its own. Cases that need a noun stand in the file of that noun. Nothing
//! here knows an engine.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::missing_panics_doc,
    missing_docs,
    reason = "these are tests: they fail by panicking, and the name of a case says what it tells"
)]

pub mod checkpoints;
pub mod deliveries;
pub mod events;
pub mod fixtures;
pub mod idempotency;
pub mod jobs;
pub mod notices;
pub mod records;
pub mod registrations;
pub mod reviews;
pub mod runs;
pub mod schedules;
pub mod tokens;
pub mod whole;

use std::{future::Future, sync::Arc};

use crate::Store;

/// Where the stores of one case live. Every case gets premises of its own, empty at first.
pub trait Premises: Send + Sync {
    /// The store under test.
    type Store: Store;
    /// Opens the store: the first time an empty one, later what the one before left. The one before was closed or
    /// dropped by then.
    fn open(&self) -> impl Future<Output = Arc<Self::Store>> + Send;
}

/// Makes one `#[tokio::test]` per case. Takes an expression that makes fresh [`Premises`], and wants `tokio` with
/// `macros` and `rt-multi-thread` among the caller's dependencies.
///
/// ```ignore
/// guichet_store::conformance_suite!(PostgresPremises::fresh());
/// ```
#[macro_export]
macro_rules! conformance_suite {
    ($premises:expr) => {
        $crate::conformance_suite! { @cases $premises;
            runs {
                a_run_reads_as_it_was_written
                an_id_is_taken_once
                a_move_needs_the_state_it_starts_from
                a_move_tells_when_and_with_what_outcome
                runs_move_as_lifecycle_says
                of_many_last_decisions_one_counts
                a_person_decides_once
                decisions_are_for_those_who_wait
                pages_neither_repeat_nor_skip
                runs_are_filtered
                a_strange_cursor_is_refused
                short_ids_find_their_runs
                open_runs_are_counted
                a_run_is_undone_once
                a_run_under_way_rests_and_is_asked_to_stop
                a_run_whose_call_was_not_sent_is_queued_again
            }
            events {
                events_are_numbered_without_gaps
                events_are_read_on_from_where_one_stopped
                events_need_their_run
            }
            reviews {
                a_review_is_opened_with_its_run_and_closed_once
                open_reviews_come_by_urgency
            }
            schedules {
                a_schedule_reads_as_it_was_written
                of_many_who_change_a_schedule_one_wins
                schedules_are_listed_by_name
                a_deleted_schedule_frees_its_name
                a_schedules_job_is_one_of_those_that_move_runs
            }
            registrations {
                a_registration_reads_as_it_was_written
                of_many_who_take_a_name_one_wins
                registrations_are_listed_by_provider
                a_removed_registration_frees_its_name
                whoever_waits_for_registrations_is_woken
            }
            jobs {
                no_job_is_claimed_twice
                jobs_wait_until_they_are_due
                a_lease_runs_out
                a_lease_can_be_prolonged_while_it_is_held
                only_the_holder_finishes_or_retries
                the_next_moment_is_known
                all_leases_can_be_freed
                jobs_of_a_run_can_be_dropped
                what_waits_can_be_hastened
                of_one_key_one_goes_at_a_time_and_in_order
                what_is_to_be_tried_again_keeps_its_key
                what_is_not_yet_due_keeps_nobody_waiting
                many_claimers_never_hold_two_of_a_key
                the_end_of_one_wakes_the_next_of_its_key
                who_has_no_room_behind_a_bulkhead_is_given_others
                what_there_is_no_room_for_is_not_due
                a_bulkhead_lets_nobody_past_in_a_line
            }
            notices {
                a_notice_reads_as_it_was_written_until_it_is_told
                notices_never_keep_runs_waiting
                channels_that_nobody_has_any_more_are_known
                a_notice_needs_its_own_kind
                nobody_is_told_twice
                a_retried_notice_wakes_its_own_lane
            }
            deliveries {
                a_notice_begins_a_delivery_that_waits
                tries_are_told_in_their_order_and_written_once
                a_delivery_that_ended_begins_anew_once
                what_waits_is_hastened_and_not_begun_anew
                deliveries_are_filtered_and_paged
                old_deliveries_are_forgotten_and_those_that_wait_are_not
                a_log_that_was_overfull_tells_from_when_on_it_is_kept
                where_nobody_wrote_down_the_end_who_was_told_tells
                what_is_in_no_log_has_no_tries_and_is_forgotten_too
            }
            tokens {
                a_token_reads_as_it_was_written
                a_token_is_revoked_once
                personal_tokens_are_listed
                the_last_use_is_noted
            }
            idempotency {
                of_many_with_one_key_one_wins
                keys_of_two_people_never_meet
                a_run_with_a_taken_key_is_a_conflict
            }
            records {
                records_are_dense_and_in_order
                what_conflicts_leaves_no_hole
                leaves_are_the_exact_text
                records_are_filtered
                records_are_found_whether_indexed_or_not
                records_are_paged
                only_sealed_records_are_pruned
            }
            checkpoints {
                a_seal_reads_as_it_was_written
                a_seal_never_goes_back
                a_tile_only_grows
            }
            whole {
                a_unit_is_all_or_nothing
                a_conflict_leaves_its_neighbours_alone
                what_was_committed_is_there_when_reopened
                what_was_handed_over_is_durable_once_closed
                after_closing_nothing_is_taken
                a_store_knows_that_it_can_write
                wakes_come_after_the_commit
                a_conflict_wakes_nobody
            }
        }
    };
    (@cases $premises:expr; $($noun:ident { $($case:ident)* })*) => {
        $(
            mod $noun {
                #[allow(unused_imports, reason = "the premises may be spelled with or without a path")]
                use super::*;
                $(
                    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                    async fn $case() {
                        $crate::conformance::$noun::$case(&$premises).await;
                    }
                )*
            }
        )*
    };
}
