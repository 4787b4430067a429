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
pub(super) const LOOKED_AT: i64 = 100_000;
/// Records that are read in one go where the index does not say which.
const STRETCH: i64 = 1_024;

/// A page of records, for which at most about `looked_at` records are read; and why the index gave no answer, if it did not:
/// then the records were read without it.
pub(super) fn list(
    connection: &Connection,
    filter: &RecordsFilter,
    page: &PageRequest,
    looked_at: i64,
) -> Result<(Page<LedgerRecord>, Option<Fault>), Fault> {
    let there = next_index(connection)?;
    let end = match &page.cursor {
        Some(text) => integer(cursor::read_record(text)?).min(there),
        None => there,
    };
    let mut search =
        Search { connection, filter, most: cursor::limit(page), items: Vec::new(), may_look_at: looked_at };
    let index = Attached(connection);
    let (range, mut refused) = match indexed(&index, filter) {
        Ok(range) => (range, None),
        Err(fault) => (Indexed::NOTHING, Some(fault)),
    };
    let mut reached = search.stretch(range.records.min(end), end)?;
    if reached == Reached::End {
        let (from, until) = (range.from, range.until.min(range.records).min(end));
        reached = match question(filter) {
            _ if from >= until => Reached::End,
            None => search.stretch(from, until)?,
            Some(question) => {
                // The newest blocks come first: what is not reached yet lies before this.
                let mut before = until;
                let mut looked = Ok(Reached::End);
                let blocks = (from / BLOCK, (until + BLOCK - 1) / BLOCK);
                let asked = index.blocks(&question, blocks, |block| {
                    let begin = (block * BLOCK).max(from);
                    looked = search.stretch(begin, ((block + 1) * BLOCK).min(before));
                    before = begin;
                    matches!(looked, Ok(Reached::End))
                });
                match (looked?, asked) {
                    (Reached::End, Err(fault)) => {
                        refused = Some(fault);
                        search.stretch(from, before)?
                    }
                    (reached, _) => reached,
                }
            }
        };
    }
    let next = match reached {
        Reached::End => None,
        Reached::Record(before) => Some(cursor::of_record(count(before)?)),
    };
    Ok((Page { items: search.items, next }, refused))
}

/// What the index knows: of so many records, from the first one, and that what is looked for lies between two of them.
struct Indexed {
    records: i64,
    from: i64,
    until: i64,
}

impl Indexed {
    const NOTHING: Self = Self { records: 0, from: 0, until: 0 };
}

fn indexed(index: &Attached<'_>, filter: &RecordsFilter) -> Result<Indexed, Fault> {
    let records = index.records()?;
    let from = match filter.since {
        Some(since) => index.first_since(micros(since))?.unwrap_or(records),
        None => 0,
    };
    let until = match filter.until {
        Some(until) => index.end_until(micros(until))?.unwrap_or(0),
        None => records,
    };
    Ok(Indexed { records, from, until })
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
