//! What a handler that takes long does in steps: each is done once, can be waited between, and can be undone.

use std::time::Duration;

use guichet_contract::{UNDOING, code};
use jiff::{SignedDuration, Timestamp};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{answer::Answer, context::Context, error::ActionError, journal::Away};

/// How long a handler waits in memory to be told that its step is durable, before it is put away.
const PARKED: Duration = Duration::from_mins(5);
/// A pause that is shorter is waited for in memory: putting away and calling again costs more.
const SHORT: SignedDuration = SignedDuration::from_millis(250);

impl Context {
    /// Does a named step and gives its result; when this run did it before, gives that result and does nothing.
    ///
    /// Of a [`resumable`](crate::Declaring::resumable) action the result is durable before this returns. A step that was done
    /// while the process died, before that, is done **again**: give [`Context::key`] to whoever else is called, so that they
    /// see it is the same. Steps come one after another: one that runs beside a pause, or beside a step that is done first, may be
    /// broken off and done again.
    ///
    /// # Errors
    /// What `work` answers; a name that was used in this run already; a result that is no JSON, or larger than 64 KiB; of a resumable
    /// action, more than 1,000 steps, pauses and compensations in all, which is found before the step begins; that the run shall be [cancelled](Context::is_cancelled), which is found before the step begins.
    pub async fn step<T, F, Fut>(&self, name: impl Into<String>, work: F) -> Result<T, ActionError>
    where
        T: Serialize + DeserializeOwned,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, ActionError>>,
    {
        let name = name.into();
        self.name_once(&name)?;
        if let Some(result) = self.journal().durable(&name) {
            return serde_json::from_value(result).map_err(|error| {
                ActionError::conflict(format!(
                    "step `{name}` was done by another version of this provider, whose result is another: {error}"
                ))
            });
        }
        self.may_go_on()?;
        self.journal().has_room(&name, 0)?;
        if self.journal().is_stopping() {
            match self.journal().go_away(Away::Abandoned).await {}
        }
        self.tell_step(&name, "began", None);
        match work().await {
            Ok(result) => {
                let value = serde_json::to_value(&result).map_err(|error| {
                    ActionError::failed(format!("step `{name}` is done, but its result is no JSON: {error}"))
                })?;
                self.make_durable(&name, value).await?;
                Ok(result)
            }
            Err(error) => {
                self.tell_step(&name, "failed", Some(json!(error.problem().detail)));
                Err(error)
            }
        }
    }

    /// What to give to others as their idempotency key: `{run}/{step}`, the same each time this step is tried.
    pub fn key(&self, step: &str) -> String {
        format!("{}/{step}", self.run().unwrap_or("no-run"))
    }

    /// Waits this long from the first time it comes here. Of a resumable action the handler ends here and is called again when
    /// the time is over: nothing is held meanwhile, and what it has in memory is gone.
    ///
    /// # Errors
    /// As of [`Context::step`].
    pub async fn sleep(&self, name: impl Into<String>, time: Duration) -> Result<(), ActionError> {
        let now = self.journal().clock.now();
        let time = SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX);
        self.sleep_until(name, now.saturating_add(time).unwrap_or(Timestamp::MAX)).await
    }

    /// Waits until this moment, or, when this run came here before, until the moment it was given then.
    ///
    /// # Errors
    /// As of [`Context::step`].
    pub async fn sleep_until(&self, name: impl Into<String>, until: Timestamp) -> Result<(), ActionError> {
        let name = name.into();
        self.name_once(&name)?;
        let journal = self.journal();
        let known: Option<Timestamp> =
            journal.durable(&name).and_then(|kept| serde_json::from_value(kept["until"].clone()).ok());
        let until = known.unwrap_or(until);
        if journal.failure().is_some() && journal.had_slept(&name) {
            journal.slept(name);
            return Ok(());
        }
        self.may_go_on()?;
        let left = until.duration_since(journal.clock.now());
        if journal.is_kept() && left > SHORT {
            if known.is_none() {
                journal.has_room(&name, 0)?;
            }
            match journal.go_away(Away::Waits { name, until }).await {}
        }
        let left = Duration::try_from(left).unwrap_or_default();
        tokio::select! {
            () = tokio::time::sleep(left) => {}
            () = journal.until_cancelled() => {}
        }
        self.may_go_on()?;
        journal.slept(name);
        Ok(())
    }

    /// What undoes what was done: it runs when the handler fails or is cancelled, the last one first. One that fails is told
    /// in the outcome; the rest go on. Of a resumable action each is journaled, as a step named `undo {name}`. Say it before
    /// the step that may need it, or after: what is not said yet is not undone.
    ///
    /// # Errors
    /// A name that was used in this run already; of a resumable action, no room for it in the journal.
    pub fn undo<F, Fut>(&self, name: impl Into<String>, work: F) -> Result<(), ActionError>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), ActionError>> + Send + 'static,
    {
        let name = name.into();
        let step = format!("undo {name}");
        self.name_once(&step)?;
        // On the way back it is there already, and room was kept for it.
        if self.journal().failure().is_none() {
            self.journal().has_room(&step, 1)?;
        }
        self.journal().add_undo(name, Box::new(move || Box::pin(work())));
        Ok(())
    }

    /// Whether somebody asked that this run be stopped. Steps and sleeps look by themselves.
    pub fn is_cancelled(&self) -> bool {
        self.journal().is_cancelled()
    }

    /// Ready when somebody asks that this run be stopped: for `select!` in a step that takes long. Answer
    /// [`ActionError::cancelled`] then.
    pub async fn cancelled(&self) {
        self.journal().until_cancelled().await;
    }

    /// Waits for work that goes on without this process, such as a job of a cluster. Of a resumable action the handler is put away
    /// when the process is told to end, and not waited for: another process is called, and waits in its place.
    pub async fn attend<T>(&self, work: impl Future<Output = T>) -> T {
        let journal = self.journal();
        tokio::select! {
            biased;
            result = work => result,
            () = journal.until_stopping(), if journal.is_kept() => match journal.go_away(Away::Abandoned).await {},
        }
    }

    fn name_once(&self, name: &str) -> Result<(), ActionError> {
        if name.is_empty() || name.starts_with("guichet:") {
            return Err(ActionError::failed(format!("`{name}` is no name for a step")));
        }
        if self.journal().take_name(name) {
            return Ok(());
        }
        Err(ActionError::failed(format!("two steps of this run are named `{name}`"))
            .next("tell the provider's owners: name each after what it is about, such as `copy orders`"))
    }

    /// Nothing new is begun once it failed or shall stop.
    fn may_go_on(&self) -> Result<(), ActionError> {
        if let Some(problem) = self.journal().failure() {
            return Err(ActionError::of_problem(problem));
        }
        if self.is_cancelled() { Err(ActionError::cancelled()) } else { Ok(()) }
    }

    fn tell_step(&self, name: &str, state: &str, result: Option<Value>) -> Option<u64> {
        let mut data = json!({"name": name, "state": state});
        if let Some(result) = result {
            data["result"] = result;
        }
        self.story().map(|story| story.tell("step", data))
    }

    /// Tells it, and waits until it comes back.
    async fn make_durable(&self, name: &str, result: Value) -> Result<(), ActionError> {
        let journal = self.journal();
        if journal.is_kept() {
            journal.fits(name, &result)?;
        }
        if self.tell_step(name, "done", Some(result)).is_none() || !journal.is_kept() {
            return Ok(());
        }
        tokio::select! {
            biased;
            () = journal.until_durable(name) => Ok(()),
            () = journal.until_stopping() => match journal.go_away(Away::Abandoned).await {},
            () = tokio::time::sleep(PARKED) => match journal.go_away(Away::Abandoned).await {},
        }
    }

    /// The end of a change: what its handler answered, and, when that is no success, what was undone.
    pub(crate) async fn conclude(&self, answered: Result<Value, ActionError>) -> Answer {
        let journal = self.journal();
        let mut problem = match (journal.failure(), answered) {
            (None, Ok(result)) => return Answer::Done(result),
            (None, Err(error)) if error.is_unknown() => {
                tracing::warn!(operation = self.operation(), run = self.run(), "{}", error.problem().detail);
                return Answer::Lost;
            }
            (None, Err(error)) => error.into_problem(),
            // What was journaled is why it failed; what it stumbles over on the way back is not.
            (Some(problem), _) => problem,
        };
        if journal.has_undos() {
            if journal.durable(UNDOING).is_none()
                && let Err(error) = self.make_durable(UNDOING, journal.undoing(&problem)).await
            {
                problem.detail = format!("{}; {}", problem.detail, error.problem().detail);
            }
            self.undo_all(&mut problem).await;
        }
        if journal.is_cancelled() {
            return Answer::Cancelled(
                (problem.code != code::RUN_CANCELLED || is_left(&problem)).then_some(problem),
            );
        }
        Answer::problem(problem)
    }

    async fn undo_all(&self, problem: &mut guichet_contract::Problem) {
        let (mut left, mut wanted) = (Vec::new(), self.journal().to_be_undone());
        while let Some((name, undo)) = self.journal().next_undo() {
            wanted.retain(|wanted| *wanted != name);
            let step = format!("undo {name}");
            if self.journal().durable(&step).is_some() {
                continue;
            }
            self.tell_step(&step, "began", None);
            let undone = match undo().await {
                Ok(()) => self.make_durable(&step, Value::Null).await,
                Err(error) => Err(error),
            };
            if let Err(error) = undone {
                let detail = &error.problem().detail;
                self.tell_step(&step, "failed", Some(json!(detail)));
                left.push(format!("{name} ({detail})"));
            }
        }
        // Only of a handler that takes another way each time.
        wanted.retain(|name| self.journal().durable(&format!("undo {name}")).is_none());
        left.extend(wanted.into_iter().map(|name| format!("{name} (not come by again)")));
        if !left.is_empty() {
            problem.detail = format!("{}{NOT_UNDONE}{}", problem.detail, left.join(", "));
            problem.next = Some("look at what is not undone, and undo it by hand".to_owned());
        }
    }
}

const NOT_UNDONE: &str = "; NOT undone: ";

fn is_left(problem: &guichet_contract::Problem) -> bool {
    problem.detail.contains(NOT_UNDONE)
}
