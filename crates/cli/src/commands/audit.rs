//! `guichet audit …`: search, export and prove the audit trail.

use clap::ArgMatches;
use futures_util::StreamExt as _;
use guichet_client::{Client, Page, RecordFilter};
use guichet_contract::record::LedgerRecord;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::{
    commands::{Cx, now, subcommand, text, verify},
    exit::Exit,
    failure::Failure,
    printer::{
        Printer, Row,
        text::{moment, words},
    },
};

pub(crate) fn run(cx: &Cx, matches: &ArgMatches, printer: &Printer) -> Result<Exit, Failure> {
    let (verb, matches) = subcommand(matches)?;
    match verb {
        "list" => list(cx, matches, printer),
        "export" => export(cx, matches, printer),
        "checkpoint" => cx.online(printer, async |client| {
            printer.raw(&client.checkpoint().await?);
            Ok(Exit::Done)
        }),
        _ => verify::run(cx, matches, printer),
    }
}

fn list(cx: &Cx, matches: &ArgMatches, printer: &Printer) -> Result<Exit, Failure> {
    let owned = |name| text(matches, name).map(str::to_owned);
    let moment_of = |name| text(matches, name).map(|text| when(text, now())).transpose();
    let filter = RecordFilter {
        principal: owned("principal"),
        action: owned("action"),
        resource: owned("resource"),
        owner: owned("owner"),
        text: owned("text"),
        trace: owned("trace"),
        run: owned("run"),
        verb: owned("verb"),
        verdict: owned("verdict"),
        since: moment_of("since")?.map(|at| at.to_string()),
        until: moment_of("until")?.map(|at| at.to_string()),
        limit: Some(matches.get_one::<u16>("limit").copied().unwrap_or(50)),
        cursor: None,
    };
    cx.online(printer, async |client| {
        let page = whole_page(client, &filter).await?;
        printer.list(&page, &page.items.iter().map(row).collect::<Vec<_>>(), "no records");
        if page.next.is_some() {
            printer.note("there are more: --limit, or narrow with --since, --until, --principal, --action");
        }
        Ok(Exit::Done)
    })
}

/// A page as long as was asked for, if there are so many: the gateway looks at a bounded number of records per call, so
/// that a rare find in a long trail takes several.
async fn whole_page(client: &Client, filter: &RecordFilter) -> Result<Page<LedgerRecord>, Failure> {
    let most = filter.limit.map_or(50, usize::from);
    let mut page = client.list_records(filter).await?;
    while page.items.len() < most
        && let Some(next) = page.next.take()
    {
        let left = u16::try_from(most - page.items.len()).ok();
        let more = RecordFilter { cursor: Some(next), limit: left, ..filter.clone() };
        let more = client.list_records(&more).await?;
        page.items.extend(more.items);
        page.next = more.next;
    }
    Ok(page)
}

fn row(entry: &LedgerRecord) -> Row {
    let record = &entry.record;
    Row::from_iter([
        ("index".to_owned(), json!(entry.index)),
        ("at".to_owned(), json!(moment(record.at))),
        ("verb".to_owned(), json!(words(record.verb.as_str()))),
        ("verdict".to_owned(), json!(record.verdict)),
        ("principal".to_owned(), json!(record.principal.as_ref().map(ToString::to_string))),
        ("surface".to_owned(), json!(record.surface)),
        ("action".to_owned(), json!(record.action)),
        ("resource".to_owned(), json!(record.resource)),
        ("run".to_owned(), json!(record.run.map(|run| run.short()))),
        ("reason".to_owned(), json!(record.reason)),
    ])
}

/// A moment as RFC 3339, or so long ago: `90s`, `30m`, `2h`, `7d`.
pub(super) fn when(text: &str, now: Timestamp) -> Result<Timestamp, Failure> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    let wrong = || {
        Failure::usage(format!(
            "`{text}` is no moment: write 2026-11-21T08:00:00Z, or so long ago: 30m, 2h, 7d"
        ))
    };
    let split = text.len().saturating_sub(1);
    let (count, unit) = text.split_at_checked(split).ok_or_else(wrong)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    let ago = count.parse::<u32>().map_err(|_| wrong())?;
    now.checked_sub(SignedDuration::from_secs(i64::from(ago) * seconds)).map_err(|_| wrong())
}

fn export(cx: &Cx, matches: &ArgMatches, printer: &Printer) -> Result<Exit, Failure> {
    let mut next = matches.get_one::<u64>("from").copied().unwrap_or(0);
    cx.online(printer, async |client| {
        // The gateway may give the trail in parts; a part without a line is its end.
        loop {
            let mut part = client.export_records(next).await?;
            if part.first > next {
                let last = part.first - 1;
                printer.note(&format!("note: {next} to {last} were archived; the export begins after them"));
                next = part.first;
            }
            let before = next;
            while let Some(line) = part.lines.next().await {
                if !printer.bytes_line(&line?) {
                    return Ok(Exit::Done);
                }
                next += 1;
            }
            if next == before {
                return Ok(Exit::Done);
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_absolute_or_ago() {
        let now: Timestamp = "2026-11-21T08:00:00Z".parse().unwrap();
        let read = |text| when(text, now).map(|at| at.to_string()).ok();
        assert_eq!(read("2h").as_deref(), Some("2026-11-21T06:00:00Z"));
        assert_eq!(read("7d").as_deref(), Some("2026-11-14T08:00:00Z"));
        assert_eq!(read("2026-01-01T00:00:00Z").as_deref(), Some("2026-01-01T00:00:00Z"));
        for wrong in ["", "h", "2w", "yesterday", "-2h", "é"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
