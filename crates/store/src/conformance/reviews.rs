//! Reviews of runs that broke the glass.

use guichet_contract::{Review, ReviewClosed, RunState};

use super::{Premises, fixtures::*};
use crate::{Change, CommitError, UnitOfWork};

fn review(run: &guichet_contract::Run, due: i64) -> Review {
    Review { run: run.id, opened_at: second(1), due_at: second(due), closed: None }
}

fn closed(by: &str) -> ReviewClosed {
    ReviewClosed { by: by.to_owned(), at: second(9), words: "it was right".to_owned() }
}

pub async fn a_review_is_opened_with_its_run_and_closed_once(premises: &impl Premises) {
    let store = premises.open().await;
    let run = run_in(RunState::Queued);
    let opened = review(&run, 50);
    let work = UnitOfWork::new().insert_run(run.clone()).with(Change::OpenReview(opened.clone()));
    store.commit(work).await.unwrap();
    assert_eq!(store.review(run.id).await.unwrap(), Some(opened.clone()));
    let again = store.commit(UnitOfWork::new().with(Change::OpenReview(opened.clone()))).await;
    assert!(matches!(again, Err(CommitError::Conflict { .. })), "{again:?}");

    let closers = ["omar", "rita", "sam"].map(|by| {
        let (store, run) = (std::sync::Arc::clone(&store), run.id);
        async move {
            let work = UnitOfWork::new().with(Change::CloseReview { run, closed: closed(by) });
            store.commit(work).await.is_ok()
        }
    });
    let won = at_once(closers).await.into_iter().filter(|won| *won).count();
    assert_eq!(won, 1, "of several, one closes it");
    let kept = store.review(run.id).await.unwrap().unwrap().closed.unwrap();
    assert_eq!(kept, closed(&kept.by));
}

pub async fn open_reviews_come_by_urgency(premises: &impl Premises) {
    let store = premises.open().await;
    let runs = [30, 10, 20].map(|due| (run_in(RunState::Queued), due));
    for (run, due) in &runs {
        let work = UnitOfWork::new().insert_run(run.clone()).with(Change::OpenReview(review(run, *due)));
        store.commit(work).await.unwrap();
    }
    let due = async |before: i64, limit: usize| {
        let reviews = store.open_reviews(second(before), None, limit).await.unwrap();
        reviews.iter().map(|review| review.due_at).collect::<Vec<_>>()
    };
    assert_eq!(due(100, 10).await, [second(10), second(20), second(30)]);
    assert_eq!(due(100, 2).await, [second(10), second(20)]);
    assert_eq!(due(20, 10).await, [second(10)], "due before, not at");
    let mut read = Vec::new();
    while let [review] = &*store.open_reviews(second(100), read.last().copied(), 1).await.unwrap() {
        read.push((review.due_at, review.run));
    }
    assert_eq!(read.iter().map(|(due, _)| *due).collect::<Vec<_>>(), [second(10), second(20), second(30)]);
    let work = UnitOfWork::new().with(Change::CloseReview { run: runs[1].0.id, closed: closed("omar") });
    store.commit(work).await.unwrap();
    assert_eq!(due(100, 10).await, [second(20), second(30)]);
    assert_eq!(store.review(run_in(RunState::Queued).id).await.unwrap(), None);
}
