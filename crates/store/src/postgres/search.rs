//! Finding records, the newest first, by any combination of filters.
//!
//! Complete whatever is indexed: what is not yet is read itself, a bounded number of records per page. Among the indexed
//! ones the newest are walked first: a filter that many records pass finds its page there. Only one that few pass goes on
//! to the indexes of its columns, which then name few.

use std::time::{Duration, Instant};

use guichet_contract::{ActionId, Record, record::LedgerRecord};
use tokio_postgres::Row;

use super::{
    PostgresStore,
    columns::{Value, count, integer, searchable},
    cursor,
    fault::Fault,
    records::NEXT_INDEX,
    search_index::{WORD_BYTES, between, cut},
};
use crate::{
    Page, PageRequest, RecordsFilter, StoreError,
    sqlite::search_terms::{PREFIX_FROM, lets_through, without_slash, words_of},
};

/// Records that one page may look at where no index says which.
const LOOKED_AT: i64 = 100_000;
/// Records that are read in one go there.
const STRETCH: i64 = 1_024;
/// Indexed records that are walked before the indexes are asked.
const WALKED: i64 = 8_192;

/// How long one page may take in all, however many statements it needs.
const FOUND_WITHIN: Duration = Duration::from_secs(20);

/// A page of records.
pub(super) async fn list(
    store: &PostgresStore,
    filter: &RecordsFilter,
    page: &PageRequest,
) -> Result<Page<LedgerRecord>, StoreError> {
    let begun = Instant::now();
    let found = store.answered_within(FOUND_WITHIN, search(store, filter, page)).await;
    found.map_err(|fault| match fault.into_store_error() {
        StoreError::Unreachable(_) if begun.elapsed() >= FOUND_WITHIN => {
            StoreError::TooLong(format!("it was not done within {} s", FOUND_WITHIN.as_secs()))
        }
        StoreError::Busy(why) => StoreError::TooLong(why),
        other => other,
    })
}

async fn search(
    store: &PostgresStore,
    filter: &RecordsFilter,
    page: &PageRequest,
) -> Result<Page<LedgerRecord>, Fault> {
    let cursor = page.cursor.as_deref().map(cursor::read_record).transpose()?;
    let (there, indexed): (i64, i64) = {
        let look = format!("SELECT ({NEXT_INDEX}), (SELECT records FROM found_until)");
        let row = store.client().await?.query_one(&look, &[]).await?;
        (row.try_get(0)?, row.try_get(1)?)
    };
    let end = cursor.map_or(there, |cursor| integer(cursor).min(there));
    let indexed = indexed.min(there);
    let mut search =
        Search { store, filter, most: cursor::limit(page), items: Vec::new(), may_look_at: LOOKED_AT };
    let mut reached = search.stretch(indexed.min(end), end).await?;
    if reached == Reached::End {
        let (from, to) = between(store, indexed, filter.since, filter.until).await?;
        reached = search.indexed(from, to.min(end)).await?;
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
    store: &'a PostgresStore,
    filter: &'a RecordsFilter,
    most: usize,
    items: Vec<LedgerRecord>,
    may_look_at: i64,
}

impl Search<'_> {
    /// Looks at each record from `from` to before `to`, the newest first.
    async fn stretch(&mut self, from: i64, mut to: i64) -> Result<Reached, Fault> {
        let read = "SELECT log_index, body FROM records WHERE log_index >= $1 AND log_index < $2
                    ORDER BY log_index DESC";
        while to > from {
            if self.may_look_at <= 0 {
                return Ok(Reached::Record(to));
            }
            let all_pass = *self.filter == RecordsFilter::default();
            let step = if all_pass { integer(self.most - self.items.len() + 1) } else { STRETCH };
            let begin = (to - step).max(from);
            self.may_look_at -= to - begin;
            let rows = self.store.rows_or_fault(read, &[&begin, &to]).await?;
            if let Some(before) = self.take(&rows)? {
                return Ok(Reached::Record(before));
            }
            to = begin;
        }
        Ok(Reached::End)
    }

    /// Finds among the indexed records from `from` to before `to`.
    async fn indexed(&mut self, from: i64, to: i64) -> Result<Reached, Fault> {
        if from >= to {
            return Ok(Reached::End);
        }
        let (conditions, values) = conditions(self.filter);
        if conditions.is_empty() {
            return self.stretch(from, to).await;
        }
        let walked = from.max(to - WALKED);
        let reached = self.found(&conditions, &values, (walked, to), "log_index DESC").await?;
        if reached != Reached::End {
            return Ok(reached);
        }
        // An expression, so that the planner does not walk the table in this order in the hope of meeting them.
        self.found(&conditions, &values, (from, walked), "log_index + 0 DESC").await
    }

    async fn found(
        &mut self,
        conditions: &str,
        values: &[Value],
        (from, mut to): (i64, i64),
        order: &str,
    ) -> Result<Reached, Fault> {
        while from < to {
            let wanted = integer(self.most - self.items.len() + 1);
            let text = format!(
                "SELECT log_index, body FROM records JOIN (
                     SELECT log_index FROM found_by WHERE log_index >= $1 AND log_index < $2{conditions}
                     ORDER BY {order} LIMIT $3) AS found USING (log_index)
                 ORDER BY log_index DESC"
            );
            let mut all: Vec<&(dyn tokio_postgres::types::ToSql + Sync)> = vec![&from, &to, &wanted];
            all.extend(values.iter().map(|value| &**value as &(dyn tokio_postgres::types::ToSql + Sync)));
            // Not kept prepared: the plan depends on the values.
            let rows = self.store.client().await?.query(&text, &all).await?;
            if let Some(before) = self.take(&rows)? {
                return Ok(Reached::Record(before));
            }
            match rows.last() {
                Some(last) if integer(rows.len()) == wanted => to = last.try_get(0)?,
                _ => break,
            }
        }
        Ok(Reached::End)
    }

    /// Takes what the filter lets through. Some when the page is full and another record would follow: then the page
    /// ends before the record of that number.
    fn take(&mut self, rows: &[Row]) -> Result<Option<i64>, Fault> {
        for row in rows {
            let record: Record = serde_json::from_str(row.try_get(1)?)?;
            if !lets_through(self.filter, &record) {
                continue;
            }
            let index: i64 = row.try_get(0)?;
            if self.items.len() == self.most {
                return Ok(Some(index + 1));
            }
            self.items.push(LedgerRecord { index: count(index)?, record });
        }
        Ok(None)
    }
}

/// What the filter asks of the columns; moments are not among them. The values begin at `$4`.
fn conditions(filter: &RecordsFilter) -> (String, Vec<Value>) {
    let mut text = String::new();
    let mut values: Vec<Value> = Vec::new();
    let mut add = |condition: &str, value: Value| {
        values.push(value);
        text.push_str(&condition.replace('?', &format!("${}", values.len() + 3)));
    };
    let fields = [
        (" AND principal = ?", filter.principal.as_deref()),
        (" AND action = ?", filter.action.as_ref().map(ActionId::as_str)),
        (" AND owner = ?", filter.owner.as_deref()),
        (" AND trace = ?", filter.trace.as_deref()),
        (" AND verb = ?", filter.verb.as_deref()),
        (" AND verdict = ?", filter.verdict.as_deref()),
    ];
    for (condition, value) in fields {
        if let Some(value) = value {
            add(condition, Box::new(searchable(value)));
        }
    }
    if let Some(run) = filter.run {
        add(" AND run = ?", Box::new(run.0));
    }
    if let Some(resource) = &filter.resource {
        let resource = searchable(without_slash(resource));
        add(" AND (resource = ?", Box::new(resource.clone()));
        add(" OR (resource >= ?", Box::new(format!("{resource}/")));
        // What follows the slash in the order of bytes is the zero.
        add(" AND resource < ?))", Box::new(format!("{resource}0")));
    }
    let words: Vec<String> = words_of(filter.text.as_deref().unwrap_or_default())
        .iter()
        .map(|word| {
            let begins = word.chars().count() >= PREFIX_FROM || word.len() > WORD_BYTES;
            format!("'{}'{}", cut(word), if begins { ":*" } else { "" })
        })
        .collect();
    if !words.is_empty() {
        add(" AND (words @@ ?::text::tsquery OR words IS NULL)", Box::new(words.join(" & ")));
    }
    (text, values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_never_hold_values() {
        let filter = RecordsFilter {
            principal: Some("'; DROP TABLE records; --".into()),
            text: Some("it's \"quoted\" \\".into()),
            resource: Some("postgres/shop/**".into()),
            ..RecordsFilter::default()
        };
        let (text, values) = conditions(&filter);
        assert!(!text.contains("DROP") && !text.contains("quoted"), "{text}");
        assert_eq!(values.len(), 5);
    }
}
