//! What waits in the writer's queue for an answer.

use tokio::sync::oneshot;

use super::{fault::Fault, writing::Writing};
use crate::StoreError;

/// A unit in the queue, whatever it answers.
pub(super) trait Unit: Send {
    /// Applies it. False when it alone is to be taken back, with the reason kept for the answer; an error when
    /// SQLite has already taken back the whole transaction, as it does after some failures of the disk.
    fn apply(&mut self, writing: &mut Writing<'_>) -> Result<bool, Fault>;
    /// Answers: what was said when it was applied, or why the whole group did not become true.
    fn answer(self: Box<Self>, group: Result<(), &StoreError>);
}

/// Why there is no value.
pub(super) enum Unsaid {
    /// This unit could not be applied.
    Alone(Fault),
    /// Nothing of its group became true.
    WithTheGroup(StoreError),
}

/// Some work and who asked for it.
pub(super) struct Asked<T, F> {
    work: Option<F>,
    said: Option<Result<T, Fault>>,
    answer: oneshot::Sender<Result<T, Unsaid>>,
}

impl<T, F> Asked<T, F> {
    /// The unit, and where its answer will come.
    pub(super) fn new(work: F) -> (Self, oneshot::Receiver<Result<T, Unsaid>>) {
        let (answer, said) = oneshot::channel();
        (Self { work: Some(work), said: None, answer }, said)
    }
}

impl<T, F> Unit for Asked<T, F>
where
    T: Send,
    F: FnOnce(&mut Writing<'_>) -> Result<T, Fault> + Send,
{
    fn apply(&mut self, writing: &mut Writing<'_>) -> Result<bool, Fault> {
        self.said = match self.work.take().map(|work| work(writing)) {
            Some(Err(fault)) if writing.connection().is_autocommit() => return Err(fault),
            said => said,
        };
        Ok(matches!(self.said, Some(Ok(_))))
    }

    fn answer(self: Box<Self>, group: Result<(), &StoreError>) {
        let answer = match (group, self.said) {
            (Err(error), _) => Err(Unsaid::WithTheGroup(error.clone())),
            (Ok(()), Some(said)) => said.map_err(Unsaid::Alone),
            (Ok(()), None) => Err(Unsaid::WithTheGroup(StoreError::Closed)),
        };
        // The caller may have gone.
        let _ = self.answer.send(answer);
    }
}
