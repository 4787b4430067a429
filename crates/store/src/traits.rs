//! What can be asked of a store: one small trait per noun. Writing is [`Store::commit`].

use std::sync::Arc;

use async_trait::async_trait;
use guichet_contract::{
    ActionId, Clock, Delivery, DeliveryId, DeliveryState, Digest, JobId, Notice, PrincipalKind, Record,
    Registration, Review, Run, RunEvent, RunId, RunState, Schedule, ScheduleId, TokenId,
    record::LedgerRecord,
};
use jiff::Timestamp;
use uuid::Uuid;

use crate::{
    room::Room,
    wakes::Wakes,
    work::{CommitError, Job, Lane, Token, Told, UnitOfWork},
};

/// The store cannot answer. `Display` says what happened and what to do.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The disk is full.
    #[error("the store's disk is full ({0}): free some space; nothing was changed")]
    DiskFull(String),
    /// The file or the file system is read-only.
    #[error("the store is read-only ({0}): check the file's owner and the mount; nothing was changed")]
    ReadOnly(String),
    /// There is no connection to it.
    #[error(
        "the store cannot be reached ({0}): look whether the database is up and can be reached from here; nothing was changed"
    )]
    Unreachable(String),
    /// The connection broke while it was writing, and what became of it could not be found out.
    #[error("it is not known whether the store has written this ({0}): look before you do it again")]
    Unknown(String),
    /// It did not get to it in time, because of others.
    #[error(
        "the store did not get to it in time ({0}): somebody keeps a lock in the database, or it has too much to do; try \
         again in a moment; nothing was changed"
    )]
    Busy(String),
    /// A search that was given up.
    #[error(
        "the search took too long ({0}): narrow it, for instance to a shorter time, or try again in a moment"
    )]
    TooLong(String),
    /// It stops or has stopped.
    #[error("the store is closing")]
    Closed,
    /// A cursor that this store did not give.
    #[error("the cursor is none that this gateway gave")]
    BadCursor,
    /// What is in it cannot be understood.
    #[error("the store holds something that cannot be read: {0}")]
    Corrupt(String),
    /// Anything else the engine reports.
    #[error("the store reports: {0}")]
    Engine(String),
}

/// A part of a list, newest first unless said otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Hand this in to read on; `None` at the end.
    pub next: Option<String>,
}

/// Which part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// At most so many rows, 1–500.
    pub limit: usize,
    /// `Page::next` of the page before. Opaque; one that is not understood is `StoreError::BadCursor`.
    pub cursor: Option<String>,
}

/// Which runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunsFilter {
    /// In one of these states; any when empty.
    pub states: Vec<RunState>,
    /// Of this action.
    pub action: Option<ActionId>,
    /// Asked for by this person (name).
    pub requested_by: Option<String>,
}

/// Which records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordsFilter {
    /// By this person (name).
    pub principal: Option<String>,
    /// Of this action.
    pub action: Option<ActionId>,
    /// On this resource or what lies under it: `postgres/shop` also finds `postgres/shop/checkout`.
    pub resource: Option<String>,
    /// On what this team owns.
    pub owner: Option<String>,
    /// Of this run.
    pub run: Option<RunId>,
    /// Of this W3C trace id, 32 lower-case hexadecimal digits.
    pub trace: Option<String>,
    /// With each of these words in reason, detail, problem or the values of the input, whatever the case. A word of at
    /// least three letters also finds those that begin with it.
    pub text: Option<String>,
    /// With this verb (its word on the wire).
    pub verb: Option<String>,
    /// With this verdict (its word on the wire).
    pub verdict: Option<String>,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
}

/// Which deliveries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeliveriesFilter {
    /// In one of these states; any when empty.
    pub states: Vec<DeliveryState>,
    /// Through this channel.
    pub channel: Option<String>,
    /// Of this run, or of the schedule of this id.
    pub run: Option<RunId>,
    /// Of this event.
    pub event: Option<Uuid>,
    /// Of what happened not before.
    pub since: Option<Timestamp>,
}

/// Runs.
#[async_trait]
pub trait Runs {
    /// The run, or none.
    async fn run(&self, id: RunId) -> Result<Option<Run>, StoreError>;
    /// Ids of at most 10 runs whose [`RunId::short`] is this.
    async fn runs_by_short_id(&self, short: &str) -> Result<Vec<RunId>, StoreError>;
    /// Newest first.
    async fn runs(&self, filter: &RunsFilter, page: &PageRequest) -> Result<Page<Run>, StoreError>;
    /// How many runs are in each state that is not final (for `/metrics`).
    async fn open_runs(&self) -> Result<Vec<(RunState, u64)>, StoreError>;
    /// How many runs of this requester have not ended. Its cost does not grow with those that have.
    async fn open_runs_of(&self, kind: PrincipalKind, name: &str) -> Result<u64, StoreError>;
}

/// Event streams of runs.
#[async_trait]
pub trait Events {
    /// Events of a run with `seq` greater than `after`, in order, at most `limit`.
    async fn events(&self, run: RunId, after: u64, limit: usize) -> Result<Vec<RunEvent>, StoreError>;
}

/// Reviews of runs that broke the glass.
#[async_trait]
pub trait Reviews {
    /// Of this run, open or closed.
    async fn review(&self, run: RunId) -> Result<Option<Review>, StoreError>;
    /// Open ones that are due before this moment, the most urgent first, at most `limit`; behind `after` (due, run), the
    /// last one of the call before, when it is given.
    async fn open_reviews(
        &self,
        due_before: Timestamp,
        after: Option<(Timestamp, RunId)>,
        limit: usize,
    ) -> Result<Vec<Review>, StoreError>;
}

/// Schedules.
#[async_trait]
pub trait Schedules {
    /// The schedule, or none.
    async fn schedule(&self, id: ScheduleId) -> Result<Option<Schedule>, StoreError>;
    /// The one of this name, or none.
    async fn schedule_by_name(&self, name: &str) -> Result<Option<Schedule>, StoreError>;
    /// By name, byte for byte, those behind `after` when it is given; at most `limit`.
    async fn schedules(&self, after: Option<&str>, limit: usize) -> Result<Vec<Schedule>, StoreError>;
}

/// Providers that registered themselves.
#[async_trait]
pub trait Registrations {
    /// The one of this provider, or none.
    async fn registration(&self, provider: &str) -> Result<Option<Registration>, StoreError>;
    /// All of them, by provider, byte for byte; at most `limit`.
    async fn registrations(&self, limit: usize) -> Result<Vec<Registration>, StoreError>;
}

/// Durable work.
#[async_trait]
pub trait Jobs {
    /// Claims as many jobs of this lane that are due as there is room for, oldest first, for the holder named `lease`, until
    /// `until`. A job whose lease has run out can be claimed again. Counts the attempt.
    ///
    /// Jobs behind a bulkhead that is full are passed over, however many they are, and cost the claim nothing.
    ///
    /// Of jobs with the same key only the first in line is given out: one that was claimed before and is not finished
    /// (it is held, its lease ran out, or it is to be tried again) keeps all others waiting; of those that were never
    /// claimed and are due, the one that was enqueued first comes first. One that is not yet due keeps nobody waiting.
    async fn claim_jobs(
        &self,
        lane: &Lane,
        lease: &str,
        now: Timestamp,
        until: Timestamp,
        room: &Room,
    ) -> Result<Vec<Job>, StoreError>;
    /// Prolongs a lease; false when it was lost.
    async fn extend_lease(&self, job: JobId, lease: &str, until: Timestamp) -> Result<bool, StoreError>;
    /// When the next job of this lane is due or the next lease on one runs out, if any is kept. Jobs that wait for
    /// another of their key do not count: the end of that one wakes them. Nor do those for which there is no room.
    async fn next_due(&self, lane: &Lane, room: &Room) -> Result<Option<Timestamp>, StoreError>;
    /// The runs of this key in the order in which they go: the one under way first, then those that are due.
    async fn line(&self, key: &str, now: Timestamp) -> Result<Vec<RunId>, StoreError>;
    /// Frees every lease. Only for a store that one process owns alone, when it starts: who held them is gone.
    async fn free_all_leases(&self) -> Result<u64, StoreError>;
}

/// What people are to be told, and who was told.
#[async_trait]
pub trait Notices {
    /// What this job is to tell; none when it is finished or of another kind.
    async fn notice(&self, job: JobId) -> Result<Option<Notice>, StoreError>;
    /// Who was told of this event through this channel, or was given up, by name.
    async fn told(&self, event: Uuid, channel: &str) -> Result<Vec<Told>, StoreError>;
    /// The delivery with its tries, the latest 500 at most; or none. It waits as long as its job is there. Where the job went
    /// and nobody wrote down what that meant (a gateway of before there was a log did it), who was told tells.
    async fn delivery(&self, id: DeliveryId) -> Result<Option<Delivery>, StoreError>;
    /// Newest first, without their tries but the latest of each.
    async fn deliveries(
        &self,
        filter: &DeliveriesFilter,
        page: &PageRequest,
    ) -> Result<Page<Delivery>, StoreError>;
    /// When that happened which the `keep`-th newest delivery tells of; none when there are fewer.
    async fn oldest_kept_delivery(&self, keep: u64) -> Result<Option<Timestamp>, StoreError>;
    /// Forgets deliveries that are at their end and tell of what happened before this moment, with their tries and with who was
    /// told; and who was told before it of what is in no log. The oldest first, [`FORGOTTEN_AT_ONCE`](crate::FORGOTTEN_AT_ONCE)
    /// of each at most; says how many that were.
    async fn forget_deliveries(&self, before: Timestamp) -> Result<u64, StoreError>;
    /// Somebody has these channels in their configuration at this moment.
    async fn note_channels(&self, channels: &[String], at: Timestamp) -> Result<(), StoreError>;
    /// When somebody last noted any channel.
    async fn channels_noted_at(&self) -> Result<Option<Timestamp>, StoreError>;
    /// Names of the channels that something waits for, other than `kept`, that nobody has noted since `seen_before`.
    async fn gone_channels(&self, kept: &[String], seen_before: Timestamp)
    -> Result<Vec<String>, StoreError>;
}

/// Sessions and personal tokens.
#[async_trait]
pub trait Tokens {
    /// By the SHA-256 of its secret; also when it has expired or was revoked.
    async fn token_by_secret(&self, secret_sha256: &[u8; 32]) -> Result<Option<Token>, StoreError>;
    /// By its id.
    async fn token(&self, id: TokenId) -> Result<Option<Token>, StoreError>;
    /// A person's personal tokens that were not revoked, newest first, at most 500.
    async fn personal_tokens(&self, principal: &str) -> Result<Vec<Token>, StoreError>;
}

/// Keys against double submission.
#[async_trait]
pub trait Idempotency {
    /// The request's digest and the run that this key made.
    async fn idempotent_run(&self, principal: &str, key: &str)
    -> Result<Option<(Digest, RunId)>, StoreError>;
}

/// The audit trail.
#[async_trait]
pub trait Records {
    /// Newest first. The list is complete, whatever [`Records::index_records`] has done; but a page can be short, even
    /// empty, and have a `next`: one call looks at a bounded number of records.
    async fn records(
        &self,
        filter: &RecordsFilter,
        page: &PageRequest,
    ) -> Result<Page<LedgerRecord>, StoreError>;
    /// Leaves from index `from`, in order, at most `limit`: index and the exact text that is hashed.
    async fn leaves(&self, from: u64, limit: usize) -> Result<Vec<(u64, String)>, StoreError>;
    /// Makes about `limit` more records quick to find. Says how many still wait. Called in the background.
    async fn index_records(&self, limit: u64) -> Result<u64, StoreError>;
    /// Index of the first record that is there: 0 until some are pruned.
    async fn first_record(&self) -> Result<u64, StoreError>;
    /// How many records were ever appended: the index of the next one.
    async fn record_count(&self) -> Result<u64, StoreError>;
}

/// The ledger's Merkle tiles and signed checkpoints (C2SP tlog-tiles). Written by the sealer alone.
#[async_trait]
pub trait Checkpoints {
    /// The latest signed checkpoint: tree size and the signed note.
    async fn latest_checkpoint(&self) -> Result<Option<(u64, String)>, StoreError>;
    /// The hashes of a tile as far as they are known: 32 × 1–256 bytes.
    async fn tile(&self, level: u8, index: u64) -> Result<Option<Vec<u8>>, StoreError>;
    /// Writes tiles (level, index, hashes) and a checkpoint of `size` in one transaction. A tile replaces a
    /// shorter one of its place. Conflict when a checkpoint of the same or a greater size exists.
    async fn seal(
        &self,
        size: u64,
        note: &str,
        at: Timestamp,
        tiles: &[(u8, u64, Vec<u8>)],
    ) -> Result<(), CommitError>;
}

/// A store: all nouns, and one way to write.
#[async_trait]
pub trait Store:
    Runs
    + Events
    + Reviews
    + Schedules
    + Registrations
    + Jobs
    + Notices
    + Tokens
    + Idempotency
    + Records
    + Checkpoints
    + Wakes
    + Send
    + Sync
    + 'static
{
    /// Makes the whole unit true, durably, or nothing of it.
    async fn commit(&self, work: UnitOfWork) -> Result<(), CommitError>;

    /// Hands a record over without waiting for the disk. Waits only while the store's queue (its limit is the
    /// implementation's) is full. Lost only when the process dies within about a second. For reads.
    async fn append_soon(&self, record: Record) -> Result<(), StoreError>;

    /// How many records that were handed over could not be written, since this store was opened.
    fn lost_records(&self) -> u64;

    /// Whether other processes use it at the same time. One that is not shared belongs to this process alone.
    fn is_shared(&self) -> bool {
        false
    }

    /// The clock by which all go that use it at the same time; none when this process uses it alone.
    fn clock(&self) -> Option<Arc<dyn Clock>> {
        None
    }

    /// Whether a write would succeed now: writes and takes back.
    async fn check_writable(&self) -> Result<(), StoreError>;

    /// Writes all that was handed over, then refuses more.
    async fn close(&self);
}
