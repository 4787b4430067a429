//! Looking: nobody is asked, nothing is changed.

use anyhow::{Result, ensure};

use super::story::Story;

pub(super) fn sign_in(story: &mut Story<'_>) -> Result<()> {
    let gateway = story.demo.gateway.url.clone();
    for person in &story.demo.people.0 {
        let words = ["login", "--gateway", &gateway, "--user", person.name, "--password-stdin"];
        story.run_with(person.name, &words, &person.password, " < password")?.exits(0)?.says("signed in")?;
    }
    Ok(())
}

pub(super) fn who_am_i(story: &mut Story<'_>) -> Result<()> {
    story.run("dana", &["whoami"])?.exits(0)?.says("dana")?.says("checkout")?.says("staging")?;
    Ok(())
}

pub(super) fn search_actions(story: &mut Story<'_>) -> Result<()> {
    story.run("dana", &["actions", "list"])?.exits(0)?.says("rds activity")?;
    story.run("dana", &["actions", "search", "cancel", "query"])?.exits(0)?.says("rds cancel-query")?;
    Ok(())
}

pub(super) fn show_action(story: &mut Story<'_>) -> Result<()> {
    story.run("dana", &["actions", "show", "rds", "terminate-backend"])?.exits(0)?.says("pid")?;
    Ok(())
}

pub(super) fn list_instances(story: &mut Story<'_>) -> Result<()> {
    story.run("dana", &["rds", "instances", "list"])?.exits(0)?.says("shop")?.says("shop-archive")?;
    Ok(())
}

pub(super) fn show_activity(story: &mut Story<'_>) -> Result<()> {
    let said = story.run("dana", &["rds", "activity", "--identifier", "shop"])?.exits(0)?;
    let traffic = &story.demo.traffic;
    let pids = traffic.waiting.iter().map(|session| session.pid);
    for pid in pids.chain([traffic.blocker.pid, traffic.checkout_report.pid, traffic.reporting.pid]) {
        ensure!(said.text().contains(&pid.to_string()), "backend {pid} is missing");
    }
    ensure!(said.text().contains("idle in transaction"), "the forgotten transaction is not told");
    Ok(())
}

pub(super) fn show_locks_and_more(story: &mut Story<'_>) -> Result<()> {
    let traffic = &story.demo.traffic;
    let (blocker, waiting) = (traffic.blocker.pid.to_string(), traffic.waiting[0].pid.to_string());
    let locks = ["rds", "locks", "--identifier", "shop", "--awaited"];
    story.run("dana", &locks)?.exits(0)?.says(&waiting)?;
    let older = ["rds", "long-transactions", "--identifier", "shop", "--longer-than", "0"];
    story.run("dana", &older)?.exits(0)?.says(&blocker)?;
    story.run("dana", &["rds", "slow-queries", "--identifier", "shop", "--limit", "5"])?.exits(0)?;
    Ok(())
}
