//! One unit of work: everything that must become true together.

use guichet_contract::{
    Attempt, CancelAsked, Decision, DeliveryId, DeliveryState, Digest, EventKind, JobId, Notice, Outcome,
    Record, Registration, Review, ReviewClosed, Run, RunId, RunState, Schedule, ScheduleId, TokenId,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::StoreError;

/// Changes that become durable together or not at all, applied in the order they were added.
#[derive(Debug, Default, Clone)]
pub struct UnitOfWork {
    /// In the order they are applied.
    pub changes: Vec<Change>,
}

/// One change of a unit of work.
#[derive(Debug, Clone)]
pub enum Change {
    /// A new run. Conflict when its id, or its requester's idempotency key, exists.
    InsertRun(Box<Run>),
    /// Moves a run, but only from this state; the rest of the fields change only when they are given.
    /// Conflict when the run is not in `from`.
    MoveRun {
        /// Which run.
        run: RunId,
        /// The state it must be in.
        from: RunState,
        /// The state it shall be in.
        to: RunState,
        /// The moment, which becomes `started_at` when `to` is running (none when it is queued again) and `finished_at` when `to` is final.
        at: Timestamp,
        /// What came of it.
        outcome: Option<Outcome>,
    },
    /// The run only waits until then, or no longer. Conflict when it is not running; to begin waiting, also when somebody
    /// asked that it be stopped: who goes to sleep must not sleep through that.
    RestRun {
        /// Which run.
        run: RunId,
        /// Until when; none: it waits no longer.
        until: Option<Timestamp>,
    },
    /// Somebody asks that a run under way be stopped. Conflict when it is not running, or was asked already.
    AskCancel {
        /// Which run.
        run: RunId,
        /// Who, when, why.
        asked: CancelAsked,
    },
    /// Adds one person's decision to a run that must be in `awaiting_approval` and have exactly `seen` decisions:
    /// two approvers at the same instant cannot both believe to be the last. Conflict otherwise.
    AddDecision {
        /// Which run.
        run: RunId,
        /// How many decisions the caller saw.
        seen: usize,
        /// The decision.
        decision: Decision,
    },
    /// Adds an entry to a run's event stream; the store numbers it.
    AppendEvent {
        /// Which run.
        run: RunId,
        /// When.
        at: Timestamp,
        /// What.
        kind: EventKind,
    },
    /// Appends to the ledger; the store numbers it.
    AppendRecord(Box<Record>),
    /// A run that broke the glass waits for somebody to look at it. Conflict when it has a review.
    OpenReview(Review),
    /// Somebody looked. Conflict when the review is closed, or there is none.
    CloseReview {
        /// Of which run.
        run: RunId,
        /// Who, when, in which words.
        closed: ReviewClosed,
    },
    /// Deletes the records before this index: their texts, not the ledger's tiles. Conflict unless each of them is covered
    /// by a checkpoint and at least one record stays. Only for what was archived and verified, and some ten thousand at once:
    /// a database gives a statement half a minute.
    PruneRecords {
        /// The first one that stays; a multiple of 256, so that whole tiles are told of.
        before: u64,
    },
    /// A new schedule. Conflict when its id or its name exists.
    InsertSchedule(Box<Schedule>),
    /// A schedule as it is now. Conflict unless the one that is kept has the revision before.
    ReplaceSchedule(Box<Schedule>),
    /// Removes a schedule; its name is free again. Conflict unless it has this revision.
    DeleteSchedule {
        /// Which.
        schedule: ScheduleId,
        /// The revision that was seen.
        revision: u64,
    },
    /// New durable work. Conflict when it is of the kind that delivers a notice: that has its own change.
    EnqueueJob(Job),
    /// Something to be told. Conflict when the job's id exists, or when it is of another kind.
    EnqueueNotice {
        /// The work, of kind [`JobKind::DeliverNotice`].
        job: Job,
        /// What is to be told; gone when the job is finished. Its delivery, which has the job's id, keeps it.
        notice: Notice,
    },
    /// Somebody was told, or never will be. Conflict when that was written before.
    NoteTold(Told),
    /// One try of a delivery that is in the log. One that is written already stays as it is.
    NoteAttempt {
        /// Of which delivery.
        delivery: DeliveryId,
        /// The try.
        attempt: Attempt,
    },
    /// A delivery came to its end. None is no conflict.
    EndDelivery {
        /// Which.
        delivery: DeliveryId,
        /// Where it stands now.
        state: DeliveryState,
        /// When.
        at: Timestamp,
    },
    /// A delivery that came to its end begins anew: its notice is a job again, due at once, and who was told is forgotten.
    /// Conflict unless it is at its end, so that it has no job, and was replayed exactly so often.
    ReplayDelivery {
        /// Which.
        delivery: DeliveryId,
        /// How often it was replayed, as the caller saw it.
        replays: u32,
        /// When it is due.
        at: Timestamp,
    },
    /// A delivery that waits to be tried is due at `due`, if it was due later. Conflict when it has no job any more, or when
    /// somebody holds that: then a try is under way, which may be the last.
    HastenDelivery {
        /// Which.
        delivery: DeliveryId,
        /// Not before.
        due: Timestamp,
    },
    /// The job is done. Conflict when it is not held under this lease.
    FinishJob {
        /// Which job.
        job: JobId,
        /// The lease the caller holds.
        lease: String,
    },
    /// Changes nothing. Conflict when the job is not held under this lease: for what only its holder may write.
    HoldJob {
        /// Which job.
        job: JobId,
        /// The lease the caller holds.
        lease: String,
    },
    /// The job shall be tried again at `due`. Conflict when it is not held under this lease.
    RetryJob {
        /// Which job.
        job: JobId,
        /// The lease the caller holds.
        lease: String,
        /// Not before.
        due: Timestamp,
    },
    /// A provider's registration as it is now: revision 1 for a name that was nobody's, else the revision after the one that
    /// is kept. Conflict otherwise.
    PutRegistration(Box<Registration>),
    /// A provider's name is nobody's again. Conflict unless its registration has this revision.
    DeleteRegistration {
        /// Which provider.
        provider: String,
        /// The revision that the caller saw.
        revision: u64,
    },
    /// What waits for a run is due at `due`, if it was due later. What is held stays as it is. None is no conflict.
    HastenJobs {
        /// Which run.
        run: RunId,
        /// Which kind.
        kind: JobKind,
        /// Not before.
        due: Timestamp,
    },
    /// Removes the jobs of this kind that wait for a run (its expiry, once it was decided). None is no conflict.
    DropJobs {
        /// Which run.
        run: RunId,
        /// Which kind.
        kind: JobKind,
    },
    /// A new session or personal token.
    InsertToken(Token),
    /// Marks a token revoked. Conflict when it does not exist or is revoked already.
    RevokeToken {
        /// Which token.
        token: TokenId,
        /// When.
        at: Timestamp,
    },
    /// Notes when a token was last used (told at most once a minute). None is no conflict.
    TouchToken {
        /// Which token.
        token: TokenId,
        /// When.
        at: Timestamp,
    },
    /// Ties a requester's idempotency key to a run. Conflict when the key is taken.
    InsertIdempotencyKey {
        /// `principal kind/name`, so that keys of two people never meet.
        principal: String,
        /// The requester's key, 1–200 characters.
        key: String,
        /// Digest of what was submitted.
        request: Digest,
        /// The run it made.
        run: RunId,
        /// When.
        at: Timestamp,
    },
}

impl UnitOfWork {
    /// An empty unit.
    pub fn new() -> Self {
        Self::default()
    }
    /// Adds a change.
    #[must_use]
    pub fn with(mut self, change: Change) -> Self {
        self.changes.push(change);
        self
    }
    /// Adds a change.
    pub fn add(&mut self, change: Change) {
        self.changes.push(change);
    }
    /// Adds a new run.
    #[must_use]
    pub fn insert_run(self, run: Run) -> Self {
        self.with(Change::InsertRun(Box::new(run)))
    }
    /// Adds a record.
    #[must_use]
    pub fn append_record(self, record: Record) -> Self {
        self.with(Change::AppendRecord(Box::new(record)))
    }
    /// Adds an event of a run.
    #[must_use]
    pub fn append_event(self, run: RunId, at: Timestamp, kind: EventKind) -> Self {
        self.with(Change::AppendEvent { run, at, kind })
    }
    /// Adds a job.
    #[must_use]
    pub fn enqueue_job(self, job: Job) -> Self {
        self.with(Change::EnqueueJob(job))
    }
}

/// Why a unit of work did not become true. Nothing of it did.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommitError {
    /// The world was not as the caller believed.
    #[error("{what} is no longer as it was when this was decided")]
    Conflict {
        /// What was different, for instance `run 0192…: expected awaiting_approval`.
        what: String,
    },
    /// The store cannot take it (disk full, read-only, stopping).
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl CommitError {
    /// Of a write that is conditional on nothing: what conflicts there is the store's fault.
    pub fn into_store_error(self) -> StoreError {
        match self {
            Self::Store(error) => error,
            Self::Conflict { what } => StoreError::Engine(what),
        }
    }
}

/// A piece of durable work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// What is to be done.
    pub kind: JobKind,
    /// For which run; for which schedule ([`ScheduleId::as_run`]) with [`JobKind::FireSchedule`] and what is told of one.
    pub run: RunId,
    /// Not before.
    pub due: Timestamp,
    /// How often it was claimed, from 0.
    pub attempts: u32,
    /// Of jobs with the same key, one at a time is given out, in the order in which they were enqueued; see
    /// [`Jobs::claim_jobs`](crate::Jobs::claim_jobs).
    pub key: Option<String>,
    /// What it calls when it is performed: a worker that has as many of one bulkhead under way as it may is given others
    /// ([`Room`](crate::Room)). None: it calls nobody.
    pub bulkhead: Option<String>,
}

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    /// Performs a queued run.
    ExecuteRun,
    /// Ends a run nobody decided.
    ExpireRun,
    /// Asks a provider what became of a run whose answer never came.
    ReconcileRun,
    /// Tells people what happened to a run, through one channel.
    DeliverNotice,
    /// Makes a schedule's next run, or ends one that nobody decided on.
    FireSchedule,
}

/// Which workers take a job: what waits on one lane never keeps another waiting. Each channel has one of its own, so that a
/// receiver that hangs holds up nobody but itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Lane {
    /// What moves runs.
    Runs,
    /// What is told through the channel of this name.
    Channel(String),
}

impl Lane {
    /// The word in the store.
    pub fn word(&self) -> String {
        match self {
            Self::Runs => "runs".to_owned(),
            Self::Channel(name) => format!("channel/{name}"),
        }
    }
}

/// So many deliveries are forgotten at once: who writes meanwhile waits a moment for it.
pub const FORGOTTEN_AT_ONCE: u64 = 250;

/// Who was told of what, through which channel: whoever is written here is not told again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// What happened.
    pub event: Uuid,
    /// Name of the channel.
    pub channel: String,
    /// A person's name; empty for a channel that is one recipient as a whole.
    pub recipient: String,
    /// To which run it happened.
    pub run: RunId,
    /// When they were told, or were given up.
    pub at: Timestamp,
    /// They were not told, and will not be.
    pub given_up: bool,
}

impl JobKind {
    /// The word in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ExecuteRun => "execute_run",
            Self::ExpireRun => "expire_run",
            Self::ReconcileRun => "reconcile_run",
            Self::DeliverNotice => "deliver_notice",
            Self::FireSchedule => "fire_schedule",
        }
    }
}

/// A session or a personal access token as it is kept: never the secret, only its SHA-256.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Its id, which is public.
    pub id: TokenId,
    /// SHA-256 of the secret, 32 bytes.
    pub secret_sha256: [u8; 32],
    /// Session or personal token.
    pub kind: TokenKind,
    /// Whose: name of the person or account.
    pub principal: String,
    /// What it is for, in its owner's words.
    pub name: String,
    /// Effects it may be used for (`read`, `change`, `destroy`, `approve`); empty means all its owner may.
    pub scopes: Vec<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// After this it does not hold.
    pub expires_at: Timestamp,
    /// When it was last used, within a minute.
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// What kind of token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenKind {
    /// Made by signing in.
    Session,
    /// Made by its owner for a program.
    Personal,
}

impl TokenKind {
    /// The word in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Personal => "personal",
        }
    }
}
