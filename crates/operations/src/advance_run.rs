//! A run under way is brought on, call by call, until it ends, sleeps, or must be tried again later.
//!
//! Most actions take one call. A resumable one takes a call for each step: the stream ends with a step that is done, the step
//! becomes durable, and the next call hands it back. That is why a gateway or a provider may die between any two lines here.

use std::{sync::Arc, time::Duration};

use guichet_admission::{admitted::ActionCall, door};
use guichet_contract::{
    Action, EventKind, Outcome, Problem, RecordVerdict, Run, RunId, RunState, Surface, Verb, code,
};
use guichet_lifecycle::{self as lifecycle, Event};
use guichet_store::{Change, CommitError, JobKind, RunWakes, UnitOfWork};
use jiff::{SignedDuration, Timestamp};

use crate::{
    execute_run::{Held, approvers, span_of},
    journal::{Journal, Trouble},
    platform::Platform,
    providers::{Advanced, ProviderCall, ProviderError, Remembered},
    put_off::{Lacks, PAUSES, pause_of},
    record_outcome::{WithoutLease, commit_patiently, record_outcome},
};

/// How often a provider may end a call without a word that is new, in a row, before nobody calls it any more.
const IDLE_CALLS: u32 = 6;
/// Between two tries to tell a provider to stop.
const TELL_AGAIN: Duration = Duration::from_secs(5);
/// Between two looks whether somebody wants the run stopped, at least.
const LOOK: Duration = Duration::from_millis(200);

/// Whether a call that was cut off is made again.
pub(crate) fn is_retried(action: &Action) -> bool {
    action.resumable || action.idempotent
}

/// Whether its provider can be asked to stop it while it is under way.
pub(crate) fn can_be_stopped(action: &Action) -> bool {
    action.resumable || (action.long && action.remembers)
}

/// One run that is attended to.
struct Attended<'a> {
    platform: &'a Arc<Platform>,
    run: Run,
    call: &'a ActionCall,
    held: &'a Held<'a>,
    journal: Journal,
    /// Whether the provider may have been called before.
    called: bool,
    attempts: u32,
    /// So many calls in a row brought nothing new.
    idle: u32,
}

/// What comes after a call.
enum After {
    /// Call again now.
    Again,
    /// It ended.
    Ended(Event, Outcome),
    /// Somebody else goes on, later.
    LeftAlone,
}

/// Brings the run, which is `running`, as far as it goes now. `attempts`: how often its job was claimed.
///
/// # Errors
/// The store's; the job is tried again later.
pub(crate) async fn advance_run(
    platform: &Arc<Platform>,
    run: Run,
    call: &ActionCall,
    resumed: bool,
    attempts: u32,
    held: &Held<'_>,
) -> Result<(), CommitError> {
    let resumable = call.action().resumable;
    let journal = if resumed {
        Journal::load(platform, run.id, resumable, held).await.map_err(CommitError::Store)?
    } else {
        Journal::empty(platform, run.id, resumable, held)
    };
    if run.waits_until.is_some() {
        let awake = UnitOfWork::new().with(Change::RestRun { run: run.id, until: None });
        platform.store.commit(awake).await?;
    }
    let mut attended = Attended { platform, run, call, held, journal, called: resumed, attempts, idle: 0 };
    loop {
        match attended.call_once().await? {
            After::Again => attended.called = true,
            After::LeftAlone => return Ok(()),
            After::Ended(event, outcome) => {
                // Of an action that is called again another may be making the next call: only that it is done is final.
                let without_lease = if event == Event::Succeeded || !is_retried(call.action()) {
                    WithoutLease::Record
                } else {
                    WithoutLease::Leave
                };
                return record_outcome(platform, &attended.run, event, outcome, held, without_lease).await;
            }
        }
    }
}

impl Attended<'_> {
    async fn call_once(&mut self) -> Result<After, CommitError> {
        let platform = self.platform;
        let action = self.call.action();
        let now = platform.clock.now();
        let timeout = Duration::from_secs(u64::from(self.call.timeout_seconds()));
        let left = if self.called {
            Duration::try_from(self.deadline().duration_since(now)).unwrap_or_default()
        } else {
            timeout
        };
        if left.is_zero() {
            return Ok(time_is_over(self.call, None));
        }
        // Before looking: what is asked for in between wakes us.
        let wakes = platform.store.wakes_of(self.run.id);
        match self.look_again().await {
            // The intent is durable and nothing was done yet: a look that fails is no reason to leave it.
            Err(error) if !self.called => {
                tracing::warn!(run = %self.run.id, %error, "whether it shall be stopped is not known before the call");
            }
            looked => looked?,
        }
        if self.run.state != RunState::Running {
            // Another went on with it when our lease had run out, and it ended.
            return Ok(After::LeftAlone);
        }
        if !self.called && self.run.cancel_asked.is_some() {
            return Ok(After::Ended(Event::Cancelled, Outcome::cancelled(None)));
        }
        let steps = self.journal.steps();
        let approved_by = approvers(&self.run);
        let traceparent =
            self.run.trace_id.as_ref().map(|trace| format!("00-{trace}-{}-01", span_of(self.run.id)));
        let call = ProviderCall {
            run: Some(self.run.id),
            plan: self.run.plan.as_ref(),
            approved_by: &approved_by,
            traceparent: traceparent.as_deref(),
            timeout: left,
            journal: (action.resumable && !steps.is_empty()).then_some(&steps),
            cancelled: action.resumable && self.run.cancel_asked.is_some(),
            ..ProviderCall::of(action, self.call.input(), &self.run.requested_by, &self.run.environment)
        };
        let Some(answer) = self.perform(&call, wakes).await? else { return Ok(After::Again) };
        self.after(answer, steps.len()).await
    }

    /// Calls, and answers none when the call was left since the run shall be stopped: the next one says so.
    async fn perform(
        &self,
        call: &ProviderCall<'_>,
        wakes: RunWakes,
    ) -> Result<Option<Result<Advanced, ProviderError>>, CommitError> {
        let performing = self.platform.providers.advance(call, &self.journal);
        let asked = until_cancel_asked(self.platform, self.run.id, wakes);
        tokio::pin!(performing, asked);
        let telling = self.recall_after(Duration::ZERO, call);
        tokio::pin!(telling);
        let mut listens = can_be_stopped(call.action) && !call.cancelled;
        let mut tries = 0;
        loop {
            tokio::select! {
                biased;
                answer = &mut performing => return Ok(Some(answer)),
                () = &mut asked, if listens => {
                    listens = false;
                    if call.action.resumable {
                        return Ok(None);
                    }
                    tries = 1;
                }
                // Beside the call, which goes on while its provider is slow to hear that it shall stop. What came of it is told
                // before anything else is looked at, so that no line comes after the end.
                answer = &mut telling, if tries > 0 => {
                    tries = if self.was_heard(answer, tries).await { 0 } else { tries + 1 };
                    telling.set(self.recall_after(TELL_AGAIN, call));
                }
            }
        }
    }

    /// Tells the provider to stop. The call goes on; its end says whether it was stopped.
    async fn recall_after(
        &self,
        pause: Duration,
        call: &ProviderCall<'_>,
    ) -> Result<Remembered, ProviderError> {
        tokio::time::sleep(pause).await;
        self.platform.providers.recall(call, true).await
    }

    /// Whether the provider heard that it shall stop. Whoever follows the run hears of the first try, and of the one that is heard.
    async fn was_heard(&self, answer: Result<Remembered, ProviderError>, tries: u32) -> bool {
        let heard = matches!(answer, Ok(Remembered::UnderWay | Remembered::Ended(_)));
        if !heard && tries > 1 {
            return false;
        }
        let line = match answer {
            Ok(Remembered::UnderWay) => "the provider was told to stop",
            Ok(Remembered::Ended(_)) => "the provider was told to stop, and has ended already",
            Ok(Remembered::Nothing { .. }) => {
                "the provider was told to stop, and knows nothing of this run yet"
            }
            Err(error) => &format!("the provider could not be told to stop: {error}"),
        };
        self.tell_line(line.to_owned()).await;
        heard
    }

    /// Whoever follows the run hears it; nothing rests on it.
    async fn tell_line(&self, line: String) {
        let line = EventKind::Log { line };
        let work = UnitOfWork::new().append_event(self.run.id, self.platform.clock.now(), line);
        if let Err(error) = self.platform.store.commit(work).await {
            tracing::warn!(run = %self.run.id, %error, "a line of the run's log was lost");
        }
    }

    /// `knew`: how many steps were handed over with the call.
    async fn after(
        &mut self,
        answer: Result<Advanced, ProviderError>,
        knew: usize,
    ) -> Result<After, CommitError> {
        let action = self.call.action();
        match answer {
            Ok(Advanced::Done(result)) => Ok(After::Ended(Event::Succeeded, Outcome::succeeded(result))),
            Ok(Advanced::Failed(problem)) => Ok(After::Ended(Event::Failed, Outcome::failed(problem))),
            Ok(Advanced::Cancelled(problem)) => {
                Ok(After::Ended(Event::Cancelled, Outcome::cancelled(problem)))
            }
            Ok(Advanced::Noted) if action.resumable => match self.journal.take_trouble() {
                None if self.journal.steps().len() > knew => {
                    self.idle = 0;
                    Ok(After::Again)
                }
                None => Ok(self.idle("said that a step is done, and told none").await),
                Some(Trouble::Store(CommitError::Conflict { .. })) => Ok(After::LeftAlone),
                Some(Trouble::Store(error)) => Err(error),
                Some(Trouble::Full) => Ok(unclear("told more steps than a journal takes")),
            },
            Ok(Advanced::Waiting { name, until }) if action.resumable => self.rest(name, until).await,
            Ok(Advanced::Noted | Advanced::Waiting { .. }) => {
                Ok(unclear("ended as only a resumable action may"))
            }
            Err(ProviderError::Silent(problem)) if is_retried(action) => self.retry(problem).await,
            // A call before this one may have done it, whatever became of this one.
            Err(ProviderError::NotSent(problem)) if is_retried(action) && self.called => {
                self.retry(problem).await
            }
            Err(ProviderError::NotSent(problem)) if !self.called && passes(&problem) => {
                self.give_back(problem).await
            }
            Err(ProviderError::Failed(problem)) if self.called && !is_final_no(action, &problem) => {
                self.retry(problem).await
            }
            Err(ProviderError::Failed(problem)) if self.called && may_follow_from_it(&problem) => {
                let unclear = problem.next("an earlier call may have done it: look at the resource");
                Ok(After::Ended(Event::ProviderSilent, Outcome::unknown(unclear)))
            }
            Err(ProviderError::Silent(problem)) => {
                Ok(After::Ended(Event::ProviderSilent, Outcome::unknown(problem)))
            }
            Err(ProviderError::NotSent(problem) | ProviderError::Failed(problem)) => {
                Ok(After::Ended(Event::Failed, Outcome::failed(problem)))
            }
        }
    }

    /// It is called again after a pause; not for ever, since nothing says that anything goes on.
    async fn idle(&mut self, what: &str) -> After {
        self.idle += 1;
        if self.idle >= IDLE_CALLS {
            return unclear(&format!("{what}, {IDLE_CALLS} times in a row"));
        }
        let pause = PAUSES.after(self.idle);
        let line = format!("the provider {what}; it is called again in {} s", pause.as_secs());
        self.tell_line(line).await;
        tokio::time::sleep(Duration::try_from(pause).unwrap_or_default()).await;
        After::Again
    }

    /// Holds nothing but a job that is due then.
    async fn rest(&mut self, name: String, until: Timestamp) -> Result<After, CommitError> {
        if self.journal.is_full() && self.journal.slept_as(&name) == 0 {
            return Ok(unclear("waits more often than a journal takes"));
        }
        let run = self.run.id;
        let now = self.platform.clock.now();
        // Whose clock is behind ours says the same once more when we think that the time is over.
        let due = match self.journal.slept_as(&name) {
            0 => until,
            before => until.max(now + PAUSES.after(before)),
        };
        let work = UnitOfWork::new()
            .append_event(run, now, EventKind::Waiting { name, until })
            .with(Change::RestRun { run, until: Some(until) })
            .with(self.held.retry(due.min(self.deadline())));
        match self.platform.store.commit(work).await {
            Ok(()) => Ok(After::LeftAlone),
            Err(CommitError::Conflict { .. }) => {
                let knew = self.run.cancel_asked.is_some();
                self.look_again().await?;
                // Somebody wants it stopped: it is called at once and told so. Otherwise another holds the job.
                Ok(match self.run.cancel_asked {
                    Some(_) if knew => self.idle("was told to stop, and only waits").await,
                    Some(_) => After::Again,
                    None => After::LeftAlone,
                })
            }
            Err(error) => Err(error),
        }
    }

    /// Surely nothing was done: it stands in the queue again, and all of it is looked at anew before the next try.
    async fn give_back(&mut self, problem: Problem) -> Result<After, CommitError> {
        // What cannot be counted is no reason to leave it between the queue and its provider.
        let tried = Lacks::Answer.tried(self.platform, self.run.id).await.unwrap_or_else(|error| {
            tracing::warn!(run = %self.run.id, %error, "how often it was tried is not known");
            1
        });
        if tried >= Lacks::Answer.tries() {
            return Ok(After::Ended(Event::Failed, Outcome::failed(problem)));
        }
        if let Err(error) = self.look_again().await {
            // Whoever asked that it be stopped is heard before the next try.
            tracing::warn!(run = %self.run.id, %error, "whether it shall be stopped is not known before it is queued again");
        }
        if self.run.cancel_asked.is_some() {
            return Ok(After::Ended(Event::Cancelled, Outcome::cancelled(None)));
        }
        let (run, now) = (&self.run, self.platform.clock.now());
        let Ok(to) = lifecycle::next(run.state, Event::GivenBack) else { return Ok(After::LeftAlone) };
        let pause = pause_of(run.id, tried);
        let because = Some(Lacks::Answer.line(&problem, pause));
        let mut record = self.platform.door.record(Verb::ExecuteRun, RecordVerdict::Failed, Surface::Gateway);
        door::describe_run(&mut record, run);
        record.principal = Some(run.requested_by.clone());
        record.problem = Some(problem.code);
        record.detail = because.clone();
        record.trace_id.clone_from(&run.trace_id);
        let work = UnitOfWork::new()
            .with(Change::MoveRun { run: run.id, from: run.state, to, at: now, outcome: None })
            .append_record(record)
            .append_event(run.id, now, EventKind::State { state: to, because })
            .with(self.held.retry(now + pause));
        // Left running, it would be taken for one whose provider was called.
        match commit_patiently(self.platform, run, &work).await {
            Ok(()) | Err(CommitError::Conflict { .. }) => Ok(After::LeftAlone),
            Err(error) => Err(error),
        }
    }

    /// The call is made again after a pause, unless the time is over then.
    async fn retry(&mut self, problem: Problem) -> Result<After, CommitError> {
        let now = self.platform.clock.now();
        let due = now + pause_of(self.run.id, self.attempts.saturating_sub(self.journal.slept()));
        if due >= self.deadline() {
            return Ok(time_is_over(self.call, Some(problem)));
        }
        let seconds = due.duration_since(now).as_secs_f64();
        let line = format!("{}; the provider is called again in {seconds:.1} s", problem.detail);
        let work = UnitOfWork::new()
            .append_event(self.run.id, now, EventKind::Log { line })
            .with(self.held.retry(due));
        match self.platform.store.commit(work).await {
            Ok(()) => {}
            Err(CommitError::Conflict { .. }) => return Ok(After::LeftAlone),
            Err(error) => return Err(error),
        }
        // Who asked in between that it be stopped found the job held, and does not wait for the pause.
        let knew = self.run.cancel_asked.is_some();
        self.look_again().await?;
        if !knew && self.run.cancel_asked.is_some() {
            let hastened = Change::HastenJobs { run: self.run.id, kind: JobKind::ExecuteRun, due: now };
            self.platform.store.commit(UnitOfWork::new().with(hastened)).await?;
        }
        Ok(After::LeftAlone)
    }

    fn deadline(&self) -> Timestamp {
        let started = self.run.started_at.unwrap_or(self.run.created_at);
        started + SignedDuration::from_secs(i64::from(self.call.timeout_seconds()))
    }

    async fn look_again(&mut self) -> Result<(), CommitError> {
        if let Some(run) = self.platform.store.run(self.run.id).await.map_err(CommitError::Store)? {
            self.run = run;
        }
        Ok(())
    }
}

/// Whether a refusal that is no stream ends a run that was called before. Of a resumable action only its own outcome does; of
/// others a "no" of the provider's does, and what may mean that it was too busy to look does not.
fn is_final_no(action: &Action, problem: &Problem) -> bool {
    !is_retried(action) || (!action.resumable && (400..500).contains(&problem.status))
}

/// Whether a no to a call that was made again may be there only because an earlier one was done: what it was to remove is
/// gone, what it was to make is there.
fn may_follow_from_it(problem: &Problem) -> bool {
    [404, 409, 410].contains(&problem.status)
}

/// Whether what kept a call from being sent may be over in a moment.
fn passes(problem: &Problem) -> bool {
    [code::PROVIDER_UNREACHABLE, code::PROVIDER_ABSENT, code::PROVIDER_CIRCUIT_OPEN, code::PROVIDER_BUSY]
        .contains(&problem.code.as_str())
}

fn time_is_over(call: &ActionCall, problem: Option<Problem>) -> After {
    let (seconds, action) = (call.timeout_seconds(), call.action());
    let why = problem.map(|problem| format!("; at last: {}", problem.detail)).unwrap_or_default();
    let detail = format!("its end did not come within the {seconds} s that {} may take{why}", action.id);
    let problem = Problem::new(code::PROVIDER_SILENT, detail)
        .next("it may have been done, in part or whole: look at the resource before you submit it again");
    After::Ended(Event::ProviderSilent, Outcome::unknown(problem))
}

fn unclear(what: &str) -> After {
    let problem = Problem::new(code::PROVIDER_PROTOCOL, format!("the provider {what}"))
        .next("look at the resource, and tell the provider's owners");
    After::Ended(Event::ProviderSilent, Outcome::unknown(problem))
}

/// Ready when somebody wants the run stopped.
async fn until_cancel_asked(platform: &Platform, id: RunId, mut wakes: RunWakes) {
    loop {
        if wakes.next().await.is_err() {
            // The store is gone: what is under way is not left for that.
            std::future::pending::<()>().await;
        }
        loop {
            match platform.store.run(id).await {
                Ok(Some(run)) if run.cancel_asked.is_some() => return,
                Ok(_) => break,
                Err(error) => {
                    tracing::warn!(run = %id, %error, "whether it shall be stopped is not known; looking again");
                    tokio::time::sleep(TELL_AGAIN).await;
                }
            }
        }
        // Each line that is told wakes us too.
        tokio::time::sleep(LOOK).await;
    }
}
