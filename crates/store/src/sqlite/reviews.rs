//! Reviews of runs that broke the glass.

use async_trait::async_trait;
use guichet_contract::{Review, ReviewClosed, RunId};
use jiff::Timestamp;
use rusqlite::{Row, params};

use super::{
    SqliteStore,
    columns::{integer, micros, moment, word},
    fault::{Fault, OrConflict as _},
    writing::Writing,
};
use crate::{Reviews, StoreError};

const OPEN: &str = "INSERT INTO reviews (run, opened_at, due_at) VALUES (?1, ?2, ?3)";

/// A new review. Conflict when its run has one, or does not exist.
pub(super) fn open(writing: &mut Writing<'_>, review: &Review) -> Result<(), Fault> {
    writing
        .connection()
        .prepare_cached(OPEN)?
        .execute(params![review.run.to_string(), micros(review.opened_at), micros(review.due_at)])
        .or_conflict(|| format!("the review of run {} (it has one)", review.run))?;
    Ok(())
}

const CLOSE: &str = "
    UPDATE reviews SET closed_at = ?2, closed_by = ?3, words = ?4 WHERE run = ?1 AND closed_at IS NULL";

/// Closes it. Conflict when it is closed, or there is none.
pub(super) fn close(writing: &mut Writing<'_>, run: RunId, closed: &ReviewClosed) -> Result<(), Fault> {
    let changed = writing.connection().prepare_cached(CLOSE)?.execute(params![
        run.to_string(),
        micros(closed.at),
        closed.by,
        closed.words
    ])?;
    if changed == 1 {
        Ok(())
    } else {
        Err(Fault::Conflict(format!("the review of run {run}: expected open")))
    }
}

const ONE: &str = "SELECT run, opened_at, due_at, closed_at, closed_by, words FROM reviews WHERE run = ?1";
const ALL_OPEN: &str = "
    SELECT run, opened_at, due_at, closed_at, closed_by, words FROM reviews
    WHERE closed_at IS NULL AND due_at < ?1 AND (due_at, run) > (?2, ?3) ORDER BY due_at, run LIMIT ?4";

fn read(row: &Row<'_>) -> Result<Review, Fault> {
    let closed_at: Option<i64> = row.get(3)?;
    let closed = match (closed_at, row.get(4)?, row.get(5)?) {
        (Some(at), Some(by), Some(words)) => Some(ReviewClosed { by, at: moment(at)?, words }),
        _ => None,
    };
    Ok(Review {
        run: word(&row.get::<_, String>(0)?)?,
        opened_at: moment(row.get(1)?)?,
        due_at: moment(row.get(2)?)?,
        closed,
    })
}

#[async_trait]
impl Reviews for SqliteStore {
    async fn review(&self, run: RunId) -> Result<Option<Review>, StoreError> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(ONE)?;
            let mut rows = statement.query(params![run.to_string()])?;
            rows.next()?.map(read).transpose()
        })
        .await
    }

    async fn open_reviews(
        &self,
        due_before: Timestamp,
        after: Option<(Timestamp, RunId)>,
        limit: usize,
    ) -> Result<Vec<Review>, StoreError> {
        // Before all of them: no id is as short as the empty one.
        let (due, run) = after.map_or((i64::MIN, String::new()), |(due, run)| (micros(due), run.to_string()));
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(ALL_OPEN)?;
            let mut rows = statement.query(params![micros(due_before), due, run, integer(limit)])?;
            let mut reviews = Vec::new();
            while let Some(row) = rows.next()? {
                reviews.push(read(row)?);
            }
            Ok(reviews)
        })
        .await
    }
}
