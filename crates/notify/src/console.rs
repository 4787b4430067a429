//! A line on the gateway's log.

use guichet_contract::Message;

/// Says it. This cannot fail.
pub(crate) fn say(channel: &str, message: &Message) {
    let to: Vec<&str> = message.to.iter().map(|to| to.name.as_str()).collect();
    tracing::info!(
        channel,
        event = %message.id,
        occasion = message.occasion.as_str(),
        environment = message.environment,
        run = %message.run,
        action = %message.action,
        resource = message.resource,
        to = to.join(", "),
        command = message.command,
        "{}", message.sentence
    );
}
