//! Work in steps: each is done once, whoever dies meanwhile; it sleeps without holding anything, and is undone when it fails
//! or somebody cancels it.

use std::time::Duration;

use guichet_provider_sdk::{ActionError, Context, Provider, Settings, owner, provider};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Deserialize, JsonSchema)]
struct Move {
    /// The bucket to move.
    bucket: String,
    /// Where to.
    region: String,
    /// Seconds that readers have to notice the new one.
    #[serde(default)]
    #[schemars(range(max = 3600))]
    settle_seconds: u64,
}

#[derive(Serialize, JsonSchema)]
struct Moved {
    from: String,
    to: String,
    objects: u32,
}

async fn move_bucket(context: Context, wanted: Move) -> Result<Moved, ActionError> {
    let to = format!("{}-{}", wanted.bucket, wanted.region);

    // Said before the step: should the process die right after it, the next one still knows how to undo it.
    let (made, asking) = (to.clone(), context.clone());
    context.undo("create the bucket", || async move {
        asking.log(format!("deleting {made}"));
        Ok(())
    })?;
    let bucket = || async {
        // The storage sees the same key each time this step is tried, so a second try makes no second bucket.
        context.log(format!("creating {to} as request {}", context.key("create the bucket")));
        Ok(to.clone())
    };
    let to: String = context.step("create the bucket", bucket).await?;

    let mut objects = 0;
    for part in 1..=3 {
        // Names are unique within a run; what a step gives back is small.
        objects += context
            .step(format!("copy part {part}"), || async { copied(&wanted.bucket, part).await })
            .await?;
        context.progress(f64::from(part) / 3.0 * 100.0, format!("{objects} objects copied"));
    }

    // Hours would cost no more than this: nothing is held, neither here nor at the gateway.
    context.sleep("let readers notice", Duration::from_secs(wanted.settle_seconds)).await?;
    context.step("delete the old bucket", || async { Ok(()) }).await?;
    Ok(Moved { from: wanted.bucket, to, objects })
}

async fn copied(bucket: &str, part: u32) -> Result<u32, ActionError> {
    // As long as copying may take, so that there is something to see.
    tokio::time::sleep(Duration::from_millis(400)).await;
    if bucket == "locked" && part == 2 {
        return Err(
            ActionError::conflict("object invoices/2031.pdf is locked").next("unlock it, and try again")
        );
    }
    Ok(part * 100)
}

pub(crate) fn buckets() -> Provider {
    provider("buckets")
        .action("move-bucket", move_bucket)
        .resumable()
        .timeout("4h")
        .command("buckets move")
        .resource("buckets/{bucket}")
        .approval(owner())
        .done()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    buckets().serve(Settings::from_env()?).await?;
    Ok(())
}
