//! One run of a script: is it what was approved, run it, and say how it ended.

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt as _, future::BoxFuture};
use guichet_contract::Effect;
use guichet_provider_sdk::{ActionError, Context, Plan, Recalled};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::time::timeout;

use crate::{
    handed,
    header::Header,
    runner::{Ended, Following, Hidden, HowEnded, Job, Lasting, Memory, NotRun, Program, Runner},
    script::{PlannedBy, Script},
    settings::Settings,
};

/// How long a plan may take, the end of its script included.
const PLAN_TIME: Duration = Duration::from_secs(20);
/// How long is left of a call for the end of a plan.
const PLAN_MARGIN: Duration = Duration::from_secs(10);
/// The step that is durable before a program is started that outlives this process.
const LAID_DOWN: &str = "lay the job down";
/// How long may be looked for what an earlier process laid down.
const TAKING_BACK: Duration = Duration::from_secs(10);
/// Characters of a value that a plan's sentence tells.
const TOLD: usize = 80;

/// What all scripts share.
#[derive(Clone)]
pub(crate) struct Shop {
    pub(crate) settings: Arc<Settings>,
    pub(crate) runner: Arc<dyn Runner>,
}

/// What an approval is bound to: these bytes and no others.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Bound {
    script: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    plan: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    side: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    image: Option<String>,
}

impl Bound {
    fn of(script: &Script, runner: &dyn Runner) -> Self {
        let digest = |program: &Program| program.digest.to_string();
        Self {
            script: digest(&script.program),
            plan: script.plan_program().map(digest),
            side: script.side.as_ref().map(digest),
            image: runner.image(script.header.image.as_deref()),
        }
    }
}

fn another(script: &Script) -> ActionError {
    let what = format!(
        "the script {} is not what was planned and approved: its file has changed since; nothing was run",
        script.program.name
    );
    ActionError::conflict(what).next("run the command again, so that the new script is planned and approved")
}

fn as_read(script: &Script) -> Result<(), ActionError> {
    match script.is_as_read() {
        Ok(true) => Ok(()),
        Ok(false) => Err(another(script)),
        Err(why) => Err(ActionError::unavailable(format!("{why}; nothing was run"))
            .next("try again; tell the owners of the provider when it lasts")),
    }
}

/// Does it.
pub(crate) async fn perform(
    shop: Shop,
    script: Arc<Script>,
    context: Context,
    input: Value,
) -> Result<Value, ActionError> {
    let is_read = script.header.effect() == Effect::Read;
    if let (Some(lasting), Some(run), false) = (shop.runner.lasting(), context.run(), is_read) {
        return perform_lasting(&shop, lasting, run, &script, &context, &input).await;
    }
    is_what_was_planned(&shop, &script, &context)?;
    let input = handed::whole(&script.header, &input);
    let time = time_left(&shop, &script, &context);
    let asked = context.clone();
    let stop = async move {
        if is_read {
            std::future::pending::<()>().await;
        } else {
            asked.cancelled().await;
        }
    };
    let arguments = handed::arguments(&script.header, &input)?;
    let of = Work { program: &script.program, arguments, time };
    let ended = run(&shop, &script.header, &context, &input, of, stop.boxed()).await?;
    let ended = succeeded(&script, ended)?;
    Ok(match ended.result {
        Some(result) => result,
        // Nobody follows a read, so what it says is its answer.
        None if is_read && ended.is_cut => json!({"output": ended.lines.join("\n"), "is_cut": true}),
        None if is_read => json!({"output": ended.lines.join("\n")}),
        None => Value::Null,
    })
}

/// The same where the program outlives this process: it is laid down, that is made durable, and only then is it started. Another
/// process that is called with this run finds the same one, and looks neither at the folder nor at the plan again.
async fn perform_lasting(
    shop: &Shop,
    lasting: &dyn Lasting,
    run: &str,
    script: &Script,
    context: &Context,
    input: &Value,
) -> Result<Value, ActionError> {
    let input = handed::whole(&script.header, input);
    let laid = context
        .step(LAID_DOWN, || async {
            is_what_was_planned(shop, script, context)?;
            let arguments = handed::arguments(&script.header, &input)?;
            let of = Work { program: &script.program, arguments, time: time_left(shop, script, context) };
            let job = job(shop, &script.header, context, &input, of)?;
            lasting.lay_down(run, &job).await.map_err(not_run)
        })
        .await;
    let laid: String = match laid {
        Ok(laid) => laid,
        // It may have been laid down by another process, that died before this was durable.
        Err(error) if context.is_cancelled() => {
            lasting.remove(run).await.map_err(not_run)?;
            return Err(error);
        }
        Err(error) => return Err(taken_back(lasting, run, error).await),
    };
    let following = Following {
        time: time_left(shop, script, context),
        hidden: hidden(shop, &script.header, context, &input)
            .map_err(|error| ActionError::unknown(error.problem().detail.clone()))?,
    };
    let tell = |line: &str| context.log(line);
    let going = lasting.go_on(run, &laid, following, &tell, context.cancelled().boxed());
    let ended = context.attend(going).await.map_err(not_run)?;
    Ok(succeeded(script, ended)?.result.unwrap_or(Value::Null))
}

/// What is told of a run that is not laid down as far as this process goes. An earlier one may have come so far and died, and what
/// lies there would lie there with all that it was given, and nobody would begin it: it is taken back.
async fn taken_back(lasting: &dyn Lasting, run: &str, error: ActionError) -> ActionError {
    match timeout(TAKING_BACK, lasting.recall(run, &Hidden::default())).await {
        Ok(Ok(Memory::Nothing | Memory::NotBegun(_))) => error,
        Ok(Ok(Memory::UnderWay | Memory::Ended(_))) => ActionError::unknown(format!(
            "{}; but it was begun, by another process of this provider",
            error.problem().detail
        )),
        Ok(Err(why)) => {
            tracing::warn!(run, why, "it cannot be seen whether something was laid down for this run");
            error
        }
        Err(_) => {
            tracing::warn!(run, "it is not told in time whether something was laid down for this run");
            error
        }
    }
}

/// What became of a run whose program outlives this process.
pub(crate) async fn recall(
    shop: Shop,
    script: Arc<Script>,
    context: Context,
    input: Value,
) -> Result<Recalled, ActionError> {
    let (Some(lasting), Some(run)) = (shop.runner.lasting(), context.run()) else {
        return Ok(Recalled::Nothing);
    };
    let input = handed::whole(&script.header, &input);
    let hidden = hidden(&shop, &script.header, &context, &input)?;
    Ok(match lasting.recall(run, &hidden).await.map_err(ActionError::unavailable)? {
        Memory::Nothing => Recalled::Nothing,
        Memory::UnderWay => Recalled::UnderWay,
        Memory::NotBegun(why) => Recalled::Ended(Err(not_run(NotRun::NotBegun(why)))),
        Memory::Ended(ended) => {
            Recalled::Ended(succeeded(&script, ended).map(|ended| ended.result.unwrap_or(Value::Null)))
        }
    })
}

fn is_what_was_planned(shop: &Shop, script: &Script, context: &Context) -> Result<(), ActionError> {
    let planned = context.planned::<Bound>()?;
    let is_another = planned.is_some_and(|bound| bound != Bound::of(script, &*shop.runner));
    if is_another {
        return Err(another(script));
    }
    as_read(script)
}

/// How long it may take.
fn time_left(shop: &Shop, script: &Script, context: &Context) -> Duration {
    let left = context.remaining().saturating_sub(shop.runner.margin()).max(Duration::from_secs(1));
    Duration::from_secs(script.seconds).min(left)
}

fn not_run(why: NotRun) -> ActionError {
    match why {
        NotRun::NotBegun(why) => ActionError::unavailable(why)
            .next("tell the owners of the provider; its check says what is wrong"),
        NotRun::Unknown(why) => ActionError::unknown(why),
    }
}

/// Says what it would do.
pub(crate) async fn plan(
    shop: Shop,
    script: Arc<Script>,
    context: Context,
    input: Value,
) -> Result<Plan, ActionError> {
    as_read(&script)?;
    let input = handed::whole(&script.header, &input);
    let mut arguments = handed::arguments(&script.header, &input)?;
    let program = match &script.planned_by {
        PlannedBy::Provider => None,
        PlannedBy::Argument(argument) => {
            arguments.insert(0, argument.clone());
            Some(&script.program)
        }
        PlannedBy::Script(_, program) => Some(program),
    };
    let mut plan = Plan::new(sentence(&script, &input));
    if let Some(program) = program {
        let time = PLAN_TIME.min(context.remaining().saturating_sub(PLAN_MARGIN)).max(Duration::from_secs(1));
        let of = Work { program, arguments, time };
        let never = std::future::pending().boxed();
        let ended = run(&shop, &script.header, &context, &input, of, never).await?;
        let ended = well(program, time, ended).map_err(|error| {
            ActionError::conflict(format!("it cannot be planned: {}", error.problem().detail))
                .next("look at what the script says, and run the command again")
        })?;
        match ended.result.map(serde_json::from_value::<Plan>) {
            Some(Ok(told)) => plan = told,
            // Nobody says yes to what they were not shown.
            Some(Err(_)) | None if ended.is_cut => {
                let what = format!("the plan that {} tells is longer than can be shown", program.name);
                return Err(ActionError::conflict(what).next(
                    "let it say less than 200 lines of 4,096 characters, or a plan as JSON in its last line",
                ));
            }
            Some(Err(_)) | None if ended.lines.is_empty() => {}
            Some(Err(_)) | None => plan = plan.fact("what it says", json!(ended.lines)),
        }
    }
    plan.facts.retain(|fact| fact.name != "script" && !fact.name.starts_with("sha256"));
    let bound = Bound::of(&script, &*shop.runner);
    plan = plan.fact("script", script.program.name.clone()).fact("sha256", bound.script.clone());
    if let Some(digest) = &bound.plan {
        plan = plan.fact("sha256 of the plan", digest.clone());
    }
    if let Some(digest) = &bound.side {
        plan = plan.fact("sha256 of the side file", digest.clone());
    }
    if let Some(image) = &bound.image {
        plan.facts.retain(|fact| fact.name != "image");
        plan = plan.fact("image", image.clone());
    }
    Ok(plan.bound_to(json!(bound)))
}

/// What runs, with what.
struct Work<'a> {
    program: &'a Program,
    arguments: Vec<String>,
    time: Duration,
}

async fn run(
    shop: &Shop,
    header: &Header,
    context: &Context,
    input: &Map<String, Value>,
    work: Work<'_>,
    stop: BoxFuture<'_, ()>,
) -> Result<Ended, ActionError> {
    let job = job(shop, header, context, input, work)?;
    let tell = |line: &str| context.log(line);
    shop.runner.run(job, &tell, stop).await.map_err(not_run)
}

fn job(
    shop: &Shop,
    header: &Header,
    context: &Context,
    input: &Map<String, Value>,
    work: Work<'_>,
) -> Result<Job, ActionError> {
    let environment = handed::environment(header, &shop.settings, context, input, work.time.as_millis())?;
    Ok(Job {
        program: work.program.clone(),
        image: header.image.clone(),
        run: context.run().map(str::to_owned),
        arguments: work.arguments,
        hidden: handed::hidden(header, &environment),
        environment,
        input: Value::Object(input.clone()).to_string().into_bytes(),
        time: work.time,
    })
}

/// What is hidden in the output of a program that was laid down before.
fn hidden(
    shop: &Shop,
    header: &Header,
    context: &Context,
    input: &Map<String, Value>,
) -> Result<Hidden, ActionError> {
    let environment = handed::environment(header, &shop.settings, context, input, 0)?;
    Ok(handed::hidden(header, &environment))
}

fn succeeded(script: &Script, ended: Ended) -> Result<Ended, ActionError> {
    well(&script.program, Duration::from_secs(script.seconds), ended)
}

fn well(program: &Program, time: Duration, ended: Ended) -> Result<Ended, ActionError> {
    let name = &program.name;
    let how = match ended.how {
        HowEnded::Exited(0) => return Ok(ended),
        HowEnded::Stopped => return Err(ActionError::cancelled()),
        HowEnded::TimedOut => {
            format!("{name} did not end within its {:.0} s and was stopped", time.as_secs_f64())
        }
        HowEnded::Exited(126) => {
            format!("{name} could not be executed (exit code 126): is what its first line names there?")
        }
        HowEnded::Exited(127) => format!("{name}, or a program that it calls, was not found (exit code 127)"),
        HowEnded::Exited(code) if code > 128 => {
            format!("{name} was ended by signal {} (exit code {code})", code - 128)
        }
        HowEnded::Exited(code) => format!("{name} ended with exit code {code}"),
    };
    let mut detail = how;
    if !ended.complaints.is_empty() {
        detail = format!("{detail}; its last words: {}", ended.complaints.join(" / "));
    }
    Err(ActionError::failed(detail).next("look at the log of the run: what it did before it failed is done"))
}

fn sentence(script: &Script, input: &Map<String, Value>) -> String {
    let told = input.iter().map(|(name, value)| {
        if script.header.inputs.get(name).is_none_or(|member| member.sensitive) {
            return format!("{name}=[redacted]");
        }
        let value = value.as_str().map_or_else(|| value.to_string(), |text| Value::from(text).to_string());
        let mut short: String = value.chars().take(TOLD).collect();
        if short.len() < value.len() {
            short.push('…');
        }
        format!("{name}={short}")
    });
    let told: Vec<String> = told.collect();
    if told.is_empty() {
        return format!("Runs {}", script.program.name);
    }
    format!("Runs {} with {}", script.program.name, told.join(", "))
}
