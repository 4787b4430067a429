//! What is told when everything is up: how to sign in, and what to try.

use std::fmt::Write as _;

use anyhow::Result;

use super::Demo;
use crate::cargo::binary;

/// The whole text.
pub(super) fn text(demo: &Demo) -> Result<String> {
    let guichet = binary("guichet")?;
    let mut text = format!("\nThe gateway answers at {} (staging).\n\n", demo.gateway.url);
    writeln!(
        text,
        "The shop hangs: a script, `orders-fix`, forgot to commit, and checkout's sessions pile up behind it.\n"
    )?;
    writeln!(text, "Sign in; one terminal per person, for the approval is never one's own:")?;
    for person in &demo.people.0 {
        writeln!(
            text,
            "\n  # {}, {}\n  alias guichet='{}'; export GUICHET_CONFIG_DIR='{}' XDG_CACHE_HOME='{}'\n  \
             printf '%s' '{}' | guichet login --gateway {} --user {} --password-stdin",
            person.name,
            person.role,
            guichet.display(),
            person.home.display(),
            person.home.join("cache").display(),
            person.password,
            demo.gateway.url,
            person.name,
        )?;
    }
    let (report, blocker, reporting) =
        (demo.traffic.checkout_report.pid, demo.traffic.blocker.pid, demo.traffic.reporting.pid);
    write!(
        text,
        "
As dana, look:
  guichet actions list
  guichet rds activity --identifier shop           # who blocks whom
  guichet rds locks --identifier shop
  guichet rds long-transactions --identifier shop
  guichet rds slow-queries --identifier shop

As dana, act:
  guichet rds cancel-query --identifier shop --pid {report}        # a query of dana's own team: done at once
  guichet rds cancel-query --identifier shop --pid {reporting}        # another team's: rita must approve
  guichet rds terminate-backend --identifier shop --pid {blocker} --reason \"orders hang\"   # omar must approve

As omar, decide:
  guichet approvals list
  guichet approvals approve RUN

And afterwards, as anyone:
  guichet runs list
  guichet audit list
  guichet audit verify

Ctrl-C stops everything and removes {}.",
        demo.database.folder().display()
    )?;
    Ok(text)
}
