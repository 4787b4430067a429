//! Reviews of runs that broke the glass.

use async_trait::async_trait;
use guichet_contract::{Review, ReviewClosed, RunId};
use jiff::Timestamp;

use super::{
    MemoryStore,
    writing::{Writing, conflict},
};
use crate::{CommitError, Reviews, StoreError};

/// A new review. Conflict when its run has one, or does not exist.
pub(super) fn open(writing: &mut Writing<'_>, review: Review) -> Result<(), CommitError> {
    let run = review.run;
    if writing.state.reviews.contains_key(&run) || !writing.state.runs.contains_key(&run) {
        return Err(conflict(format!("the review of run {run} (it has one)")));
    }
    writing.put(|state| &mut state.reviews, run, Some(review));
    Ok(())
}

/// Closes it. Conflict when it is closed, or there is none.
pub(super) fn close(writing: &mut Writing<'_>, run: RunId, closed: ReviewClosed) -> Result<(), CommitError> {
    match writing.state.reviews.get(&run) {
        Some(review) if review.closed.is_none() => {
            let review = Review { closed: Some(closed), ..review.clone() };
            writing.put(|state| &mut state.reviews, run, Some(review));
            Ok(())
        }
        _ => Err(conflict(format!("the review of run {run}: expected open"))),
    }
}

#[async_trait]
impl Reviews for MemoryStore {
    async fn review(&self, run: RunId) -> Result<Option<Review>, StoreError> {
        self.read(|state| Ok(state.reviews.get(&run).cloned()))
    }

    async fn open_reviews(
        &self,
        due_before: Timestamp,
        after: Option<(Timestamp, RunId)>,
        limit: usize,
    ) -> Result<Vec<Review>, StoreError> {
        let place = |review: &Review| (review.due_at, review.run);
        self.read(|state| {
            let mut found: Vec<Review> = state
                .reviews
                .values()
                .filter(|review| review.closed.is_none() && review.due_at < due_before)
                .filter(|review| after.is_none_or(|after| place(review) > after))
                .cloned()
                .collect();
            found.sort_by_key(place);
            found.truncate(limit);
            Ok(found)
        })
    }
}
