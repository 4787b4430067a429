//! How a provider ends that is told to.

use std::time::Duration;

use hyper::Method;
use serde_json::json;

use super::Ended;
use crate::{Kit, answer::Not, presence::Presence, process::Process};

/// How long after SIGTERM a farewell may come.
const FAREWELL: Duration = Duration::from_secs(5);

pub(super) async fn finishes(kit: &Kit) -> Ended {
    let Some(process) = &kit.process else {
        return Err(Not::Skipped(
            "the kit did not start this provider: `guichet provider check -- COMMAND`".to_owned(),
        ));
    };
    let slow = || kit.call("conformance-add", json!({"name": crate::fresh("slow"), "amount": 1}));
    let presence = kit.desk.presence();
    let registered = !presence.heard(&Method::PUT).is_empty();
    let stopping = async {
        tokio::time::sleep(Duration::from_millis(400)).await;
        let asked = process.ask_to_stop().await;
        if registered && asked {
            let late = async {
                farewell(presence, FAREWELL).await?;
                // Another gateway has not heard of it yet; and this one is not done when it stops to answer.
                tokio::time::sleep(Duration::from_secs(1)).await;
                let why = "its result: it came less than two seconds after the farewell";
                let call = slow()?;
                call.send().await?.result(why).map(drop)
            };
            presence.note_late(late.await);
        } else if asked {
            presence.note_late(Ok(()));
        }
        asked
    };
    let call = slow()?;
    let (answer, asked) = tokio::join!(call.send(), stopping);
    if !asked {
        return Err(Not::Skipped("no signal can be sent on this machine (`kill -TERM`)".to_owned()));
    }
    let _ = answer?.result("its result: it was under way when the provider was told to stop")?;
    stopped(process, Duration::from_secs(40)).await
}

/// It says within this time that it goes.
async fn farewell(presence: &Presence, within: Duration) -> Ended {
    if presence.wait(&Method::DELETE, 1, within).await.is_empty() {
        let expected = format!("a farewell within {} s", within.as_secs());
        return Err(Not::held("SIGTERM", &expected, "none by then"));
    }
    Ok(())
}

/// It ends within this time, and with it whatever it started.
async fn stopped(process: &Process, within: Duration) -> Ended {
    if process.ended(within).await.is_none() {
        return Err(Not::held("SIGTERM", "an end of the process within 30 s", "it runs on"));
    }
    if process.refuses(within).await {
        return Ok(());
    }
    Err(Not::held(
        "SIGTERM",
        "nobody who listens at its address once the process has ended",
        "something that it started still listens there: it was not told to stop, or does not",
    ))
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::{TcpListener, TcpStream},
    };

    use guichet_contract::{Clock as _, SystemClock};

    use super::*;
    use crate::{keys::KeyDesk, presence::Heard};

    #[tokio::test]
    async fn a_farewell_that_is_late_is_none() {
        let presence = Presence::new();
        let within = Duration::from_millis(10);
        assert!(matches!(farewell(&presence, within).await, Err(Not::Held { .. })));
        let leave = Heard {
            at: SystemClock.now(),
            method: Method::DELETE,
            path: "/v1/providers/greeter/instances/one".to_owned(),
            authorization: String::new(),
            body: serde_json::Value::Null,
        };
        let _ = presence.answer(leave, "http://127.0.0.1:1");
        assert!(farewell(&presence, within).await.is_ok());
    }

    /// What the commands below start: listens where it is told to, until somebody says a word.
    #[test]
    fn listens_until_a_word_comes() {
        // Whoever runs all tests has told it nothing.
        #[expect(clippy::disallowed_methods, reason = "it stands for a program of its own")]
        let Ok(address) = std::env::var("GUICHET_LISTEN") else { return };
        let listener = TcpListener::bind(address).unwrap();
        while listener.accept().unwrap().0.read(&mut [0]).unwrap() == 0 {}
    }

    /// Started by a shell that does not pass signals on, as `go run` does not.
    async fn started_by(shell: &str) -> Process {
        let own = std::env::current_exe().unwrap().display().to_string();
        let listener = ["cases::ending::tests::listens_until_a_word_comes", "--exact"];
        let words = [&["sh", "-c", shell, &own][..], &listener].concat();
        let words: Vec<String> = words.into_iter().map(str::to_owned).collect();
        let desk = KeyDesk::open("127.0.0.1:0".parse().unwrap()).await.unwrap();
        Process::start(&words, &desk).await.unwrap()
    }

    #[tokio::test]
    async fn what_the_command_started_is_told_to_stop_too() {
        let process = started_by("\"$0\" \"$@\" & wait").await;
        assert!(process.ask_to_stop().await);
        assert!(stopped(&process, Duration::from_secs(20)).await.is_ok());
    }

    #[tokio::test]
    async fn what_is_left_behind_is_made_to_end() {
        let process = started_by("\"$0\" \"$@\" & sleep 1").await;
        assert!(process.ended(Duration::from_secs(20)).await.is_some());
        assert!(!process.refuses(Duration::ZERO).await);
        process.end().await;
        assert!(process.refuses(Duration::ZERO).await);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn what_listens_on_when_the_command_has_ended_is_told() {
        let process = started_by("setsid \"$0\" \"$@\" & wait").await;
        assert!(process.ask_to_stop().await);
        let Err(Not::Held { came, .. }) = stopped(&process, Duration::from_secs(2)).await else {
            panic!("it is not seen")
        };
        assert!(came.starts_with("something that it started still listens"), "{came}");
        let address = process.url.trim_start_matches("http://");
        TcpStream::connect(address).unwrap().write_all(b"x").unwrap();
        assert!(process.refuses(Duration::from_secs(20)).await);
    }
}
