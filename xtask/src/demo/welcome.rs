//! What is told when everything is up: how to sign in, and what to try.

use std::fmt::Write as _;

use anyhow::Result;

use super::{Demo, people};
use crate::cargo::binary;

/// Writes what a person needs to take part, and gives the text that tells of it.
pub(super) fn prepare(demo: &Demo) -> Result<String> {
    let gateway = &demo.gateway.url;
    people::write_disguises(&demo.people, &binary("guichet")?, gateway)?;
    let mut text = format!(
        "\nThe gateway answers at {gateway} (staging).\n\
         The shop hangs: a script, `orders-fix`, forgot to commit, and checkout's sessions pile up behind it.\n\n\
         Sign in, each in a terminal of their own (an approval is never one's own):\n\n"
    );
    for person in &demo.people.0 {
        let (disguise, password) = (person.disguise(), &person.password);
        writeln!(
            text,
            "  . {}    # {}, {}; password {password}",
            disguise.display(),
            person.name,
            person.role
        )?;
    }
    let traffic = &demo.traffic;
    let (report, reporting, blocker) =
        (traffic.checkout_report.pid, traffic.reporting.pid, traffic.blocker.pid);
    write!(
        text,
        "
dana looks:
  guichet actions list
  guichet rds activity --identifier shop                    # who blocks whom
  guichet rds locks --identifier shop --awaited
  guichet rds long-transactions --identifier shop --longer-than 5

dana acts:
  guichet rds cancel-query --identifier shop --pid {report}      # her own team's query: done at once
  guichet rds cancel-query --identifier shop --pid {reporting} --reason \"…\"         # rita's: she must say yes
  guichet rds terminate-backend --identifier shop --pid {blocker} --reason \"…\"    # omar must say yes

omar decides:
  guichet approvals list
  guichet approvals approve RUN

And afterwards, anyone:
  guichet runs list
  guichet audit list
  guichet audit verify

Ctrl-C stops everything and removes {}.",
        demo.database.folder().display()
    )?;
    Ok(text)
}
