//! Waiting in tests: until something is so, and never for ever. Whoever waits in vain fails, and says what for.

use std::{
    io,
    process::{Command, Output, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

/// Longer than anything here takes on a busy machine; only a failing test waits so long.
pub const PATIENCE: Duration = Duration::from_mins(2);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Asks until there is an answer.
///
/// # Panics
/// There is none within [`PATIENCE`].
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, ask: impl FnMut() -> F) -> T {
    until_within(PATIENCE, what, ask).await
}

/// Asks until there is an answer, for at most so long.
///
/// # Panics
/// There is none by then.
pub async fn until_within<T, F: Future<Output = Option<T>>>(
    patience: Duration,
    what: &str,
    mut ask: impl FnMut() -> F,
) -> T {
    let asked = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    within(patience, what, asked).await
}

/// What comes of it, within so long.
///
/// # Panics
/// It takes longer.
#[expect(clippy::panic, reason = "a test that waits in vain has failed")]
pub async fn within<F: Future>(patience: Duration, what: &str, awaited: F) -> F::Output {
    if let Ok(came) = tokio::time::timeout(patience, awaited).await {
        return came;
    }
    panic!("waited in vain for {what}, {} s", patience.as_secs())
}

/// How a program ends, and what it says. One that does not end within so long is killed, with an error that has its words.
///
/// # Errors
/// It cannot be started, or does not end.
pub fn output_within(patience: Duration, what: &str, command: &mut Command) -> io::Result<Output> {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let id = child.id().to_string();
    let (say, said) = mpsc::channel();
    thread::spawn(move || say.send(child.wait_with_output()));
    if let Ok(ended) = said.recv_timeout(patience) {
        return ended;
    }
    Command::new("kill").args(["-KILL", &id]).status()?;
    // Somebody else may hold its pipes.
    let told = match said.recv_timeout(LOOK_EVERY * 50) {
        Ok(Ok(told)) => [told.stdout, told.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()),
        _ => Default::default(),
    };
    let told = told.join("\n");
    Err(io::Error::other(format!("waited in vain for {what}, {} s; it said:\n{told}", patience.as_secs())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_does_not_end_is_ended_and_its_words_are_told() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo here I am; exec sleep 600"]);
        let error = output_within(Duration::from_millis(500), "its end", &mut command).unwrap_err();
        let told = error.to_string();
        assert!(told.contains("waited in vain for its end") && told.contains("here I am"), "{told}");
    }

    #[tokio::test]
    #[should_panic(expected = "waited in vain for a word")]
    async fn what_does_not_come_is_not_waited_for_for_ever() {
        until_within(Duration::from_millis(50), "a word", || async { None::<()> }).await;
    }
}
