//! Finding records, the newest first, by any combination of filters.
//!
//! Complete whatever the index knows: what it does not know yet is read itself. A search looks at a bounded number of
//! records; when it has not found enough by then, it says how far it came, and the cursor goes on from there.

use guichet_contract::{Record, record::LedgerRecord};
use rusqlite::{Connection, params_from_iter, types::Value};

use super::{
    columns::{count, integer, micros},
    cursor,
    fault::Fault,
    records::next_index,
    search_index::{Attached, BLOCK},
    search_terms::{lets_through, question},
};
use crate::{Page, PageRequest, RecordsFilter};

/// Records that one page may look at. Some tenths of a second at the most.
const LOOKED_AT: i64 = 100_000;
/// Records that are read in one go where the index does not say which.
const STRETCH: i64 = 1_024;

/// A page of records.
pub(super) fn list(
    connection: &Connection,
    filter: &RecordsFilter,
    page: &PageRequest,
) -> Result<Page<LedgerRecord>, Fault> {
    let there = next_index(connection)?;
    let end = match &page.cursor {
        Some(text) => integer(cursor::read_record(text)?).min(there),
        None => there,
    };
    let mut search =
        Search { connection, filter, most: cursor::limit(page), items: Vec::new(), may_look_at: LOOKED_AT };
    let index = Attached(connection);
    let indexed = index.records()?.min(there);

    let mut reached = search.stretch(indexed.min(end), end)?;
    if reached == Reached::End {
        let from = match filter.since {
            Some(since) => index.first_since(micros(since))?.unwrap_or(indexed),
            None => 0,
        };
        let until = match filter.until {
            Some(until) => index.end_until(micros(until))?.unwrap_or(0),
            None => indexed,
        };
        let (from, until) = (from, until.min(indexed).min(end));
        reached = match question(filter) {
            _ if from >= until => Reached::End,
            None => search.stretch(from, until)?,
            Some(question) => {
                let mut reached = Reached::End;
                let blocks = (from / BLOCK, (until + BLOCK - 1) / BLOCK);
                index.blocks(&question, blocks, |block| {
                    reached = search.stretch((block * BLOCK).max(from), ((block + 1) * BLOCK).min(until))?;
                    Ok(reached == Reached::End)
                })?;
                reached
            }
        };
    }
    let next = match reached {
        Reached::End => None,
        Reached::Record(before) => Some(cursor::of_record(count(before)?)),
    };
    Ok(Page { items: search.items, next })
}

/// How far a search came.
#[derive(PartialEq)]
enum Reached {
    /// All was looked at.
    End,
    /// All but what comes before this record.
    Record(i64),
}

struct Search<'a> {
    connection: &'a Connection,
    filter: &'a RecordsFilter,
    most: usize,
    items: Vec<LedgerRecord>,
    may_look_at: i64,
}

impl Search<'_> {
    /// Looks at the records from `from` to before `to`, the newest first.
    fn stretch(&mut self, from: i64, mut to: i64) -> Result<Reached, Fault> {
        while to > from {
            if self.may_look_at <= 0 {
                return Ok(Reached::Record(to));
            }
            let begin = (to - STRETCH).max(from);
            self.may_look_at -= to - begin;
            if let Some(before) = self.read(begin, to)? {
                return Ok(Reached::Record(before));
            }
            to = begin;
        }
        Ok(Reached::End)
    }

    /// Reads records; the columns say which are worth being read as JSON. Some when the page is full and another
    /// record would follow: then the page ends before the record of that number.
    fn read(&mut self, from: i64, to: i64) -> Result<Option<i64>, Fault> {
        let (text, values) = statement(self.filter, from, to);
        let mut statement = self.connection.prepare_cached(&text)?;
        let mut rows = statement.query(params_from_iter(values))?;
        while let Some(row) = rows.next()? {
            let record: Record =
                serde_json::from_str(row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?)?;
            if !lets_through(self.filter, &record) {
                continue;
            }
            let index: i64 = row.get(0)?;
            if self.items.len() == self.most {
                return Ok(Some(index + 1));
            }
            self.items.push(LedgerRecord { index: count(index)?, record });
        }
        Ok(None)
    }
}

/// The conditions differ per call, so the text is put together; the values never stand in it.
fn statement(filter: &RecordsFilter, from: i64, to: i64) -> (String, Vec<Value>) {
    let mut text = "SELECT log_index, body FROM records WHERE log_index >= ? AND log_index < ?".to_owned();
    let mut values: Vec<Value> = vec![from.into(), to.into()];
    let texts = [
        (" AND principal = ?", filter.principal.clone()),
        (" AND action = ?", filter.action.as_ref().map(|action| action.as_str().to_owned())),
        (" AND run = ?", filter.run.map(|run| run.to_string())),
        (" AND verb = ?", filter.verb.clone()),
        (" AND verdict = ?", filter.verdict.clone()),
    ];
    let moments = [(" AND at >= ?", filter.since), (" AND at < ?", filter.until)];
    let texts = texts.into_iter().map(|(condition, value)| (condition, value.map(Value::from)));
    let moments = moments.into_iter().map(|(condition, at)| (condition, at.map(|at| micros(at).into())));
    for (condition, value) in texts.chain(moments) {
        if let Some(value) = value {
            text.push_str(condition);
            values.push(value);
        }
    }
    text.push_str(" ORDER BY log_index DESC");
    (text, values)
}
