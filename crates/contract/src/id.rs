//! Ids: UUID version 7 in newtypes, so that a run's id is never taken for a token's.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Clock;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new one, later than all made before it.
            pub fn new(clock: &dyn Clock) -> Self {
                Self(clock.new_uuid())
            }
            /// The last eight hexadecimal digits: what people read and type. Random, so unique enough
            /// within what one person looks at; a clash is answered by asking for the whole id.
            pub fn short(&self) -> String {
                let text = self.0.simple().to_string();
                text[text.len() - 8..].to_owned()
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }
    };
}

id! {
    /// One run.
    RunId
}
id! {
    /// One session or personal access token.
    TokenId
}
id! {
    /// One piece of durable work.
    JobId
}
id! {
    /// One schedule.
    ScheduleId
}
id! {
    /// One notice on its way through one channel.
    DeliveryId
}

impl DeliveryId {
    /// The delivery that this job makes: the two share an id, so that there is never more than one job for it.
    pub fn of_job(job: JobId) -> Self {
        Self(job.0)
    }

    /// The job that makes it.
    pub fn as_job(self) -> JobId {
        JobId(self.0)
    }

    /// Where the id of a run is wanted: what an idempotency key stands for. No two nouns share an id.
    pub fn as_run(self) -> RunId {
        RunId(self.0)
    }

    /// The delivery that [`DeliveryId::as_run`] means.
    pub fn of_run(run: RunId) -> Self {
        Self(run.0)
    }
}

impl ScheduleId {
    /// Where the id of a run is wanted and a schedule is meant: for its jobs and for what people are told. No two nouns share
    /// an id.
    pub fn as_run(self) -> RunId {
        RunId(self.0)
    }

    /// The schedule that [`ScheduleId::as_run`] means.
    pub fn of_run(run: RunId) -> Self {
        Self(run.0)
    }
}
