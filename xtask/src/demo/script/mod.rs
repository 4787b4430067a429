//! The story: a blocked shop, solved by the people concerned, with every claim checked.
//!
//! What `guichet` prints is what the reader sees. What is true is asked elsewhere: of PostgreSQL itself, and of the
//! exit codes.

mod auditing;
mod deciding;
mod looking;
mod refusing;
mod story;

use anyhow::Result;

use self::story::Story;
use super::Demo;

/// A request that nobody answers in time must end by itself. The demo's own policies give people hours; so the
/// story adds one that gives three seconds, for one instance.
pub(super) const EXTRA_POLICIES: &[(&str, &str)] = &[(
    "short-wait.cedar",
    r#"@id("archive-answers-at-once")
@description("Ending a session of the archive needs a yes of the database team within three seconds.")
@approval("the archive's sessions hold long exports")
@by("team:dba")
@expires("3s")
forbid (principal, action == Action::"postgres.terminate-backend", resource)
when { context.input.identifier == "shop-archive" };
"#,
)];

/// What came of the story.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Summary {
    /// Steps that came true.
    pub(crate) passed: u64,
    /// Steps that did not: at most one, for what follows builds on it.
    pub(crate) failed: u64,
}

type Step = (&'static str, fn(&mut Story<'_>) -> Result<()>);

const STEPS: &[Step] = &[
    ("Three people sign in", looking::sign_in),
    ("dana asks who she is here", looking::who_am_i),
    ("What can be done?", looking::search_actions),
    ("One action, explained", looking::show_action),
    ("Which databases are there?", looking::list_instances),
    ("The shop hangs: who blocks whom?", looking::show_activity),
    ("Which locks, which open transactions, which costly queries?", looking::show_locks_and_more),
    ("What would cancelling do? Nothing is changed by asking", deciding::plan_cancel),
    ("dana cancels a query of her own team: nobody needs to be asked", deciding::cancel_own),
    ("dana wants the forgotten transaction ended: that needs a yes", deciding::ask_to_terminate),
    ("dana cannot approve what she asked for", deciding::refuse_own_approval),
    ("rita is not of the database team", deciding::refuse_other_approval),
    ("omar reads the card", deciding::read_card),
    ("omar approves exactly that, and it happens", deciding::approve),
    ("The waiting sessions are free", deciding::see_them_free),
    ("Another team's query: rita says no, and why", refusing::reject),
    ("dana takes a request back", refusing::withdraw),
    ("Nobody answers in time: the request expires", refusing::expire),
    ("The session does something else meanwhile: the approval is void", refusing::drift),
    ("A typing error costs nothing", refusing::mistype),
    ("What was asked for, and what came of it", auditing::list_runs),
    ("Who did what?", auditing::list_records),
    ("The audit trail is whole", auditing::verify),
    ("It can be checked anywhere, offline", auditing::verify_offline),
    ("One letter is changed in the copy", auditing::tamper_with_copy),
    ("One letter is changed in the database, behind the gateway's back", auditing::tamper_with_database),
];

/// Plays it to its end, or to the first step that is not as told.
pub(super) fn play(demo: &mut Demo) -> Result<Summary> {
    let mut story = Story::new(demo)?;
    let mut summary = Summary { passed: 0, failed: 0 };
    for (index, (title, step)) in STEPS.iter().enumerate() {
        println!("{}# {}. {title}", if index == 0 { "" } else { "\n" }, index + 1);
        match step(&mut story) {
            Ok(()) => summary.passed += 1,
            Err(error) => {
                crate::interrupt::check()?;
                println!("FAILED: {error:#}");
                summary.failed += 1;
                break;
            }
        }
    }
    let left = STEPS.len() as u64 - summary.passed - summary.failed;
    let left = if left == 0 { String::new() } else { format!(", {left} not played") };
    println!("\n{} steps, {} failed{left}", summary.passed + summary.failed, summary.failed);
    Ok(summary)
}
