//! In every fourth eight of seeds something is done every minute: no time makes two runs, and none is lost because the store did
//! not answer.

use std::{collections::BTreeSet, sync::Arc};

use guichet_contract::{Missed, Record, RecordVerdict, Run, ScheduleState, Verb, code};
use guichet_operations::{
    Attempt, change_schedule,
    create_schedule::{Times, create_schedule},
};
use guichet_store::{Schedules as _, memory::MemoryStore};
use guichet_testkit::Dice;
use serde_json::json;
use tokio::time::sleep;

use crate::{
    people::{People, call},
    story::Story,
};

const NAME: &str = "every-minute";
const WHO: &str = "dana";

/// Whether there is one in the story of this seed. All shapes of stories have some.
pub(crate) fn belongs_to(seed: u64) -> bool {
    (seed / 8) % 4 == 3
}

impl People {
    /// Makes it, again until there is an answer.
    pub(crate) async fn schedule(self: Arc<Self>, mut dice: Dice) {
        loop {
            let attempt = Attempt {
                action: "things.change".to_owned(),
                input: json!({"name": NAME}),
                reason: Some("a story".to_owned()),
            };
            let times = Times {
                name: NAME.to_owned(),
                expression: "* * * * *".to_owned(),
                zone: "UTC".to_owned(),
                missed: Missed::Skip,
                until: None,
            };
            let answer = self
                .any_replica(&mut dice)
                .ask(move |platform| async move {
                    create_schedule(&platform, &call(WHO), attempt, times).await.map(|_| ())
                })
                .await;
            match answer {
                Some(Ok(())) => return self.told.tell("something is done every minute"),
                Some(Err(refusal)) if refusal.problem.code == code::SCHEDULE_EXISTS => return,
                Some(Err(refusal)) => self.told.tell(format_args!("no schedule: {}", refusal.problem.detail)),
                None => self.told.tell("no schedule: no answer"),
            }
            sleep(dice.millis(100..5_000)).await;
        }
    }

    /// Halts it, once nothing fails any more.
    pub(crate) async fn halt(&self, dice: &mut Dice) {
        loop {
            let answer = self
                .any_replica(dice)
                .ask(async move |platform| {
                    change_schedule::pause_schedule(&platform, &call(WHO), NAME, None).await.map(|_| ())
                })
                .await;
            if let Some(Ok(())) = answer {
                return;
            }
            sleep(dice.millis(100..5_000)).await;
        }
    }
}

/// What became of its times.
pub(crate) async fn fired(story: &Story, store: &MemoryStore, runs: &[Run], records: &[Record]) {
    let Some(schedule) = store.schedules(None, 10).await.unwrap().into_iter().next() else { return };
    let wrong = |what: &str| story.told.wrong(format_args!("the schedule: {what}"));
    if schedule.state != ScheduleState::Paused || schedule.paused_by.as_deref() != Some(WHO) {
        wrong(&format!("it is {}: {:?}", schedule.state, schedule.because));
    }
    let made = runs.iter().filter(|run| run.schedule.as_deref() == Some(NAME)).count();
    let of_it = || records.iter().filter(|record| record.verb == Verb::FireSchedule);
    let allowed = of_it().filter(|record| record.verdict == RecordVerdict::Allowed).count();
    if made != allowed {
        wrong(&format!("{made} runs, and {allowed} records of times that made one"));
    }
    let mut times = BTreeSet::new();
    for record in of_it() {
        let detail = record.detail.as_deref().unwrap_or_default();
        let told = detail.split_once(", ").map_or(detail, |(_, told)| told);
        let (time, why) = told.split_at(told.find('Z').map_or(told.len(), |end| end + 1));
        if !times.insert(time.to_owned()) {
            wrong(&format!("{time} came twice"));
        }
        // Nobody is away for five minutes, and its provider is not asked before.
        if record.verdict != RecordVerdict::Allowed && !why.contains("of the time before has not ended") {
            wrong(&format!("a time is lost: {detail}"));
        }
    }
}
