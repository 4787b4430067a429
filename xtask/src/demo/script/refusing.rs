//! What does not happen: rejected, withdrawn, expired, voided, mistyped.

use anyhow::Result;

use super::story::{Story, short_id};
use crate::demo::traffic::{Session, in_state, is_gone};

/// rita's reason. Stands nowhere else, so that the step that tampers with the database finds it.
pub(super) const REFUSAL: &str = "the figures of the month are due at noon";

pub(super) fn reject(story: &mut Story<'_>) -> Result<()> {
    let pid = story.demo.traffic.reporting.pid;
    let words = [
        "rds",
        "cancel-query",
        "--identifier",
        "shop",
        "--pid",
        &pid.to_string(),
        "--reason",
        "it competes with the shop",
    ];
    let run = story.ask("reporting", pid, &words)?;
    story.run("rita", &["approvals", "reject", &run, "--reason", REFUSAL])?.exits(0)?;
    story.answer()?.exits(6)?.says(REFUSAL)?;
    story.still("the reporting team's query runs on", &in_state(pid, "active"))
}

pub(super) fn withdraw(story: &mut Story<'_>) -> Result<()> {
    let pid = story.demo.traffic.reporting.pid;
    let words = [
        "rds",
        "cancel-query",
        "--identifier",
        "shop",
        "--pid",
        &pid.to_string(),
        "--reason",
        "asked again",
        "--no-wait",
    ];
    story.run("dana", &words)?.exits(10)?;
    let waiting = story.look("dana", &["runs", "list", "--state", "awaiting_approval"])?;
    let run = short_id(&waiting["items"][0]);
    story.run("dana", &["runs", "cancel", &run, "--reason", "talked to rita"])?.exits(0)?.says(&run)?;
    story.run("dana", &["runs", "watch", &run])?.exits(7)?;
    story.run("rita", &["approvals", "approve", &run, "--yes"])?.exits(1)?;
    story.remember("withdrawn", run);
    story.still("the reporting team's query runs on", &in_state(pid, "active"))
}

pub(super) fn expire(story: &mut Story<'_>) -> Result<()> {
    let export = Session::start(
        &story.demo.database,
        "shop_archive",
        "archive-export",
        "shop_app",
        "BEGIN; SELECT 1;",
    )?;
    let pid = export.pid;
    story.demo.database.wait_for("an export that is open", &in_state(pid, "idle in transaction"))?;
    story.demo.traffic.others.push(export);
    let words = [
        "rds",
        "terminate-backend",
        "--identifier",
        "shop-archive",
        "--pid",
        &pid.to_string(),
        "--reason",
        "clearing up",
    ];
    let run = story.ask("archive", pid, &words)?;
    story.answer()?.exits(6)?.says("expired")?;
    story.run("omar", &["approvals", "approve", &run, "--yes"])?.exits(6)?.says("expired")?;
    story.still("the session is untouched", &in_state(pid, "idle in transaction"))
}

pub(super) fn drift(story: &mut Story<'_>) -> Result<()> {
    let adhoc = "BEGIN; SELECT count(*) FROM invoices;";
    let mut session =
        Session::start(&story.demo.database, "shop", "reporting-adhoc", "shop_reporting", adhoc)?;
    let pid = session.pid;
    story.demo.database.wait_for("a session with a first query", &in_state(pid, "idle in transaction"))?;
    let words = [
        "rds",
        "terminate-backend",
        "--identifier",
        "shop",
        "--pid",
        &pid.to_string(),
        "--reason",
        "left open since lunch",
    ];
    let run = story.ask("drifted", pid, &words)?;
    session.say("SELECT sum(amount) FROM invoices WHERE NOT paid;")?;
    story.truly(
        "the session runs another query now",
        &format!("SELECT count(*) = 1 FROM pg_stat_activity WHERE pid = {pid} AND query ~ 'NOT paid'"),
    )?;
    story.run("omar", &["approvals", "approve", &run, "--yes"])?.exits(6)?.says("The plan has changed")?;
    story.answer()?.exits(6)?.says("voided")?;
    let alive = is_gone(pid).replace("= 0", "= 1");
    story.still("the session is untouched", &alive)?;
    story.demo.traffic.others.push(session);
    Ok(())
}

pub(super) fn mistype(story: &mut Story<'_>) -> Result<()> {
    story.run("dana", &["rds", "cancel-query", "--identifier", "shop", "--pid", "fourteen"])?.exits(2)?;
    story.run("dana", &["rds", "activity", "--identifier", "shpo"])?.exits(5)?.says("shop-archive")?;
    Ok(())
}
