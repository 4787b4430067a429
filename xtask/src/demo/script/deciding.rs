//! Acting: at once where one may, after a yes where one must ask.

use anyhow::Result;

use super::story::Story;
use crate::demo::traffic::{in_state, is_gone};

pub(super) fn plan_cancel(story: &mut Story<'_>) -> Result<()> {
    let pid = story.demo.traffic.checkout_report.pid;
    let words = ["rds", "cancel-query", "--identifier", "shop", "--pid", &pid.to_string(), "--plan"];
    story.run("dana", &words)?.exits(0)?.says("checkout-report")?;
    story.still("the query runs as before", &in_state(pid, "active"))
}

pub(super) fn cancel_own(story: &mut Story<'_>) -> Result<()> {
    let pid = story.demo.traffic.checkout_report.pid;
    let words = [
        "rds",
        "cancel-query",
        "--identifier",
        "shop",
        "--pid",
        &pid.to_string(),
        "--reason",
        "it slows down the shop",
    ];
    story.run("dana", &words)?.exits(0)?;
    let gone = format!("SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = {pid} AND state = 'active'");
    story.truly("the query is gone", &gone)
}

pub(super) fn ask_to_terminate(story: &mut Story<'_>) -> Result<()> {
    let pid = story.demo.traffic.blocker.pid;
    let words = [
        "rds",
        "terminate-backend",
        "--identifier",
        "shop",
        "--pid",
        &pid.to_string(),
        "--reason",
        "orders-fix forgot to commit, the shop hangs",
    ];
    story.ask("blocker", pid, &words)?;
    story.still("nothing has happened yet", &in_state(pid, "idle in transaction"))
}

pub(super) fn refuse_own_approval(story: &mut Story<'_>) -> Result<()> {
    let run = story.run_id("blocker")?.to_owned();
    story.run("dana", &["approvals", "approve", &run, "--yes"])?.exits(4)?.says("own run")?;
    Ok(())
}

pub(super) fn refuse_other_approval(story: &mut Story<'_>) -> Result<()> {
    let run = story.run_id("blocker")?.to_owned();
    story.run("rita", &["approvals", "approve", &run, "--yes"])?.exits(4)?.says("not among the approvers")?;
    story.still("nothing has happened yet", &in_state(story.demo.traffic.blocker.pid, "idle in transaction"))
}

pub(super) fn read_card(story: &mut Story<'_>) -> Result<()> {
    let run = story.run_id("blocker")?.to_owned();
    story.run("omar", &["approvals", "list"])?.exits(0)?.says(&run)?;
    let pid = story.demo.traffic.blocker.pid.to_string();
    story.forget_cards();
    let card = story.run("omar", &["approvals", "show", &run])?.exits(0)?;
    card.says("dana")?.says("orders-fix forgot to commit")?.says(&pid)?.says("awaiting approval")?;
    Ok(())
}

pub(super) fn approve(story: &mut Story<'_>) -> Result<()> {
    let run = story.run_id("blocker")?.to_owned();
    story
        .run("omar", &["approvals", "approve", &run, "--yes", "--reason", "seen, nothing of value is open"])?
        .exits(0)?;
    story.answer()?.exits(0)?;
    story.truly("the session is gone", &is_gone(story.demo.traffic.blocker.pid))
}

pub(super) fn see_them_free(story: &mut Story<'_>) -> Result<()> {
    for session in &story.demo.traffic.waiting {
        story.truly(&format!("backend {} waits no longer", session.pid), &in_state(session.pid, "idle"))?;
    }
    story.run("dana", &["rds", "activity", "--identifier", "shop"])?.exits(0)?;
    Ok(())
}
