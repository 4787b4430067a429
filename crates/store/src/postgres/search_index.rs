//! What records are found by: columns and words in a table of their own, filled in the background.
//!
//! Whoever appends a record pays for its row alone. Replicas take turns: one that finds another at work leaves it to that.

use guichet_contract::{ActionId, Record};
use uuid::Uuid;

use super::{
    PostgresStore,
    columns::{micros, searchable},
    fault::Fault,
    locks,
    records::NEXT_INDEX,
};
use crate::sqlite::search_terms::for_each_word;

/// Records of one row that tells from when to when they are.
pub(super) const SPAN: i64 = 4096;
/// Bytes of one word that are kept; the record itself has the last word.
pub(super) const WORD_BYTES: usize = 400;
/// Bytes of all words of one record that are kept: PostgreSQL takes less than 1 MiB. One with more is always read.
const WORDS_BYTES: usize = 200_000;

const INSERT: &str = "
    INSERT INTO found_by (log_index, principal, action, resource, owner, run, trace, verb, verdict, words)
    SELECT log_index, principal, action, resource, owner, run, trace, verb, verdict, words::tsvector
    FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::uuid[], $7::text[], $8::text[],
                $9::text[], $10::text[])
         AS row (log_index, principal, action, resource, owner, run, trace, verb, verdict, words)";

const SPANS: &str = "
    INSERT INTO found_in (span, earliest, latest)
    SELECT log_index / $3, min(at), max(at) FROM records WHERE log_index >= $1 AND log_index < $2 GROUP BY 1
    ON CONFLICT (span) DO UPDATE
    SET earliest = least(found_in.earliest, excluded.earliest), latest = greatest(found_in.latest, excluded.latest)";

/// What a batch of records is found by, a column each.
#[derive(Default)]
struct Columns {
    log_index: Vec<i64>,
    principal: Vec<Option<String>>,
    action: Vec<Option<String>>,
    resource: Vec<Option<String>>,
    owner: Vec<Option<String>>,
    run: Vec<Option<Uuid>>,
    trace: Vec<Option<String>>,
    verb: Vec<&'static str>,
    verdict: Vec<&'static str>,
    words: Vec<Option<String>>,
}

impl Columns {
    fn add(&mut self, log_index: i64, record: &Record) {
        self.log_index.push(log_index);
        self.principal.push(record.principal.as_ref().map(|principal| searchable(&principal.name)));
        self.action.push(record.action.as_ref().map(ActionId::as_str).map(searchable));
        self.resource.push(record.resource.as_deref().map(searchable));
        self.owner.push(record.owner.as_deref().map(searchable));
        self.run.push(record.run.map(|run| run.0));
        self.trace.push(record.trace_id.as_deref().map(searchable));
        self.verb.push(record.verb.as_str());
        self.verdict.push(record.verdict.as_str());
        let mut words = String::new();
        for_each_word(record, &mut |word| {
            if words.len() <= WORDS_BYTES {
                words.extend(["'", cut(word), "' "]);
            }
        });
        self.words.push((words.len() <= WORDS_BYTES).then_some(words));
    }
}

/// A word as far as it is indexed. It is made of letters and digits alone, so it can stand in quotes.
pub(super) fn cut(word: &str) -> &str {
    let mut end = word.len().min(WORD_BYTES);
    while !word.is_char_boundary(end) {
        end -= 1;
    }
    word.get(..end).unwrap_or_default()
}

/// Indexes at most `limit` more records. Says how many still wait.
pub(super) async fn go_on(store: &PostgresStore, limit: i64) -> Result<i64, Fault> {
    store.answered(index(store, limit)).await
}

async fn index(store: &PostgresStore, limit: i64) -> Result<i64, Fault> {
    let mut client = store.client().await?;
    let looked: (i64, i64) = {
        let row =
            client.query_one("SELECT records, (SELECT next_index FROM ledger_head) FROM found_until", &[]);
        let row = row.await?;
        (row.try_get(0)?, row.try_get(1)?)
    };
    if looked.0 >= looked.1 {
        return Ok(0);
    }
    let writing = client.transaction().await?;
    let mine = writing.query_one("SELECT pg_try_advisory_xact_lock($1)", &[&locks::INDEXING]).await?;
    if !mine.try_get::<_, bool>(0)? {
        return Ok(0);
    }
    let known: i64 = writing.query_one("SELECT records FROM found_until", &[]).await?.try_get(0)?;
    let there: i64 = writing.query_one(NEXT_INDEX, &[]).await?.try_get(0)?;
    let until = known.saturating_add(limit.max(1)).min(there);
    if until <= known {
        return Ok(there - known);
    }
    let read =
        "SELECT log_index, body FROM records WHERE log_index >= $1 AND log_index < $2 ORDER BY log_index";
    let mut columns = Columns::default();
    for row in writing.query(read, &[&known, &until]).await? {
        let record: Record = serde_json::from_str(row.try_get(1)?)?;
        columns.add(row.try_get(0)?, &record);
    }
    let Columns { log_index, principal, action, resource, owner, run, trace, verb, verdict, words } =
        &columns;
    writing
        .execute(INSERT, &[log_index, principal, action, resource, owner, run, trace, verb, verdict, words])
        .await?;
    writing.execute(SPANS, &[&known, &until, &SPAN]).await?;
    writing.execute("UPDATE found_until SET records = $1", &[&until]).await?;
    writing.commit().await?;
    Ok(there - until)
}

/// The indexed records among which those between two moments are: from, to before.
pub(super) async fn between(
    store: &PostgresStore,
    indexed: i64,
    since: Option<jiff::Timestamp>,
    until: Option<jiff::Timestamp>,
) -> Result<(i64, i64), Fault> {
    let client = store.client().await?;
    let from = match since {
        Some(since) => {
            let find = "SELECT min(span) FROM found_in WHERE latest >= $1";
            let span: Option<i64> = client.query_one(find, &[&micros(since)]).await?.try_get(0)?;
            span.map_or(indexed, |span| span * SPAN)
        }
        None => 0,
    };
    let to = match until {
        Some(until) => {
            let find = "SELECT max(span) FROM found_in WHERE earliest < $1";
            let span: Option<i64> = client.query_one(find, &[&micros(until)]).await?.try_get(0)?;
            span.map_or(0, |span| (span + 1) * SPAN)
        }
        None => indexed,
    };
    Ok((from, to.min(indexed)))
}
