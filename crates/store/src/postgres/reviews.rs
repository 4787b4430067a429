//! Reviews of runs that broke the glass.

use async_trait::async_trait;
use guichet_contract::{Review, ReviewClosed, RunId};
use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{
    PostgresStore,
    columns::{integer, micros, moment, searchable, values},
    fault::Fault,
    unit::Unit,
};
use crate::{Reviews, StoreError};

const OPEN: &str = "INSERT INTO reviews (run, opened_at, due_at) VALUES ($1, $2, $3)";

/// A new review. Conflict when its run has one, or does not exist.
pub(super) fn open(unit: &mut Unit, review: &Review) {
    let values = values![review.run.0, micros(review.opened_at), micros(review.due_at)];
    unit.one(OPEN, values, format!("the review of run {} (it has one)", review.run));
}

const CLOSE: &str = "
    UPDATE reviews SET closed_at = $2, closed_by = $3, words = $4 WHERE run = $1 AND closed_at IS NULL";

/// Closes it. Conflict when it is closed, or there is none.
pub(super) fn close(unit: &mut Unit, run: RunId, closed: &ReviewClosed) {
    let values = values![run.0, micros(closed.at), closed.by.clone(), searchable(&closed.words)];
    unit.one(CLOSE, values, format!("the review of run {run}: expected open"));
}

const ONE: &str = "SELECT run, opened_at, due_at, closed_at, closed_by, words FROM reviews WHERE run = $1";
const ALL_OPEN: &str = "
    SELECT run, opened_at, due_at, closed_at, closed_by, words FROM reviews
    WHERE closed_at IS NULL AND due_at < $1 AND (due_at, run) > ($2, $3) ORDER BY due_at, run LIMIT $4";

fn read(row: &Row) -> Result<Review, Fault> {
    let closed_at: Option<i64> = row.try_get(3)?;
    let closed = match (closed_at, row.try_get(4)?, row.try_get(5)?) {
        (Some(at), Some(by), Some(words)) => Some(ReviewClosed { by, at: moment(at)?, words }),
        _ => None,
    };
    Ok(Review {
        run: RunId(row.try_get(0)?),
        opened_at: moment(row.try_get(1)?)?,
        due_at: moment(row.try_get(2)?)?,
        closed,
    })
}

#[async_trait]
impl Reviews for PostgresStore {
    async fn review(&self, run: RunId) -> Result<Option<Review>, StoreError> {
        let rows = self.rows(ONE, &[&run.0]).await?;
        self.first(&rows, read)
    }

    async fn open_reviews(
        &self,
        due_before: Timestamp,
        after: Option<(Timestamp, RunId)>,
        limit: usize,
    ) -> Result<Vec<Review>, StoreError> {
        // Before all of them.
        let (due, run) = after.map_or((i64::MIN, Uuid::nil()), |(due, run)| (micros(due), run.0));
        let rows = self.rows(ALL_OPEN, &[&micros(due_before), &due, &run, &integer(limit)]).await?;
        self.each(&rows, read)
    }
}
