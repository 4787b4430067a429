//! The flat input: put together again from path, query and body; and what is wrong with it.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::Ended;
use crate::{Kit, answer::Not};

/// What the echo heard of this input.
async fn echoed(kit: &Kit, input: &Value) -> Ended {
    let answer = kit.call("conformance-echo", input.clone())?.send().await?;
    let told = answer.result("what it heard")?;
    if told.get("input") == Some(input) {
        return Ok(());
    }
    Err(answer.not(&format!("`input` as it was sent: {input}")))
}

pub(super) async fn texts(kit: &Kit) -> Ended {
    for input in [
        json!({"word": "7"}),
        json!({"word": "x", "times": 3, "ratio": 0.5, "loud": true}),
        json!({"word": "true", "times": 10, "ratio": -2, "loud": false}),
        json!({"word": "x", "tags": ["a"]}),
        json!({"word": "x", "tags": ["1", "true", "null"]}),
    ] {
        echoed(kit, &input).await?;
    }
    Ok(())
}

pub(super) async fn characters(kit: &Kit) -> Ended {
    for word in ["a b", "a+b", "a/b", "50%", "a?b#c&d=e", "é…😀", "\"quoted\"", "a\\b", "%2F", "."] {
        // No path has a part that is empty or dots alone.
        let path = if word == "." { "dot" } else { word };
        echoed(kit, &json!({"word": path, "tags": [word, ""]})).await?;
        let name = crate::fresh("characters");
        let input = json!({"name": name, "amount": 1, "note": word});
        let answer = kit.call("conformance-add", input)?.send().await?;
        let _ = answer.result("its result: the digest of the body is that of the token")?;
    }
    Ok(())
}

pub(super) async fn numbers(kit: &Kit) -> Ended {
    let name = crate::fresh("numbers");
    for details in [
        json!({"b": 1, "a": {"d": [1, [2, {"f": null, "e": true}]], "c": ""}}),
        json!({"whole": [0, -1, 9_007_199_254_740_993_i64, i64::MIN, u64::MAX]}),
        json!({"floats": [0.1, 1.0, -2.5, 100.0, 1e15, 1e16, 1e17, 123_456_789.123, 1e-4, 1e-5, 1e-6, 1.5e-7]}),
        json!({"far": [1e21, 1e22, 1.5e300, -1e-300, 5e-324, f64::MAX, -0.0, 0.3, 2.0 / 3.0]}),
        json!({"text": "\u{0}\u{8}\t\n\u{b}\u{c}\r\u{1f}\"\\/\u{7f}\u{80}\u{2028}é😀"}),
        json!({"é": 1, "z": 2, "Z": 3, "\u{ffff}": 4, "😀": 5, "": 6, "a\"b": 7}),
    ] {
        let input = json!({"name": name, "amount": 1, "details": details});
        let call = kit.call("conformance-add", input)?;
        let answer = call.send().await?;
        let _ = answer.result("its result: the digest of the body is that of the token")?;
    }
    let answer =
        kit.call("conformance-add", json!({"name": name, "amount": 1, "ratio": 2.0}))?.send().await?;
    answer.result("its result: `2.0` stays `2.0` in what is digested").map(drop)
}

/// A wrong input of the change is 422 with a pointer, and nothing is done.
async fn refused(kit: &Kit, input: Value, pointer: &str) -> Ended {
    let name = input.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    let answer = kit.call("conformance-add", input)?.send().await?;
    let problem = answer.problem(&[422], &format!("`errors` with the pointer `{pointer}`"))?;
    let errors = problem.get("errors").and_then(Value::as_array).cloned().unwrap_or_default();
    let named = errors.iter().any(|error| {
        error.get("pointer").and_then(Value::as_str) == Some(pointer)
            && error.get("message").and_then(Value::as_str).is_some_and(|text| !text.is_empty())
    });
    if !named {
        return Err(answer.not(&format!("`errors` with `{{\"pointer\": \"{pointer}\", \"message\": …}}`")));
    }
    if name.is_empty() { Ok(()) } else { kit.done(&name, 0, &answer.sent).await }
}

pub(super) async fn wrong(kit: &Kit) -> Ended {
    let name = crate::fresh("wrong");
    refused(kit, json!({"name": name, "amount": "many"}), "/amount").await?;
    refused(kit, json!({"name": name, "amount": 0}), "/amount").await?;
    refused(kit, json!({"name": name, "amount": 101}), "/amount").await?;
    refused(kit, json!({"name": name, "amount": 1.5}), "/amount").await?;
    refused(kit, json!({"name": 7, "amount": 1}), "/name").await?;
    let answer = kit.call("conformance-echo", json!({"word": "x", "times": "often"}))?.send().await?;
    answer.problem(&[422], "`times` is no number").map(drop)
}

pub(super) async fn missing(kit: &Kit) -> Ended {
    let name = crate::fresh("missing");
    let answer = kit.call("conformance-add", json!({"name": name}))?.send().await?;
    let _ = answer.problem(&[422], "`amount` is missing")?;
    kit.done(&name, 0, &answer.sent).await
}

pub(super) async fn unknown(kit: &Kit) -> Ended {
    let name = crate::fresh("unknown");
    let answer = kit.call("conformance-add", json!({"name": name, "amount": 1, "amuont": 2}))?.send().await?;
    let _ = answer.problem(&[422], "the input has no `amuont`")?;
    kit.done(&name, 0, &answer.sent).await?;
    let answer = kit.call("conformance-echo", json!({"word": "x", "tmies": 2}))?.send().await?;
    answer.problem(&[422], "the input has no `tmies`").map(drop)
}

pub(super) async fn not_json(kit: &Kit) -> Ended {
    let name = crate::fresh("not-json");
    for body in ["{\"name\": ", "nonsense", "[1]", "{\"a\": NaN}", "\u{feff}x"] {
        let call = kit.call("conformance-add", json!({"name": name, "amount": 1}))?.body(body);
        let answer = call.send().await?;
        // Whether the token is looked at first is the provider's affair.
        let _ = answer.problem(&[400, 401, 422], "the body cannot be read")?;
    }
    kit.done(&name, 0, "bodies that are no JSON").await
}

pub(super) async fn too_large(kit: &Kit) -> Ended {
    let name = crate::fresh("large");
    let input = json!({"name": name, "amount": 1, "note": "x".repeat(2 << 20)});
    let call = kit.call("conformance-add", input)?;
    // Who stops reading may hang up before we have sent it all.
    if let Ok(answer) = call.heard().await {
        let _ = answer.problem(&[413], "the body is larger than what is taken")?;
    }
    kit.done(&name, 0, "a body of 2 MiB").await
}

pub(super) async fn who_asks(kit: &Kit) -> Ended {
    let call = kit.call("conformance-echo", json!({"word": "who"}))?;
    let call = call
        .claim("sub", json!("grace"))
        .claim("kind", json!("service_account"))
        .claim("teams", json!(["checkout", "dba"]))
        .claim("agent", json!("assistant"))
        .claim("environment", json!("staging"));
    let answer = call.send().await?;
    let told = answer.result("who asked")?;
    let expected = json!({"name": "grace", "kind": "service_account", "teams": ["checkout", "dba"], "agent": "assistant"});
    if told.get("asked_by") == Some(&expected) && told.get("environment") == Some(&json!("staging")) {
        return Ok(());
    }
    Err(answer.not(&format!("`asked_by`: {expected} and `environment`: \"staging\"")))
}

pub(super) async fn deadline(kit: &Kit) -> Ended {
    let call = kit.call("conformance-wait", json!({"milliseconds": 20_000}))?;
    let begun = Instant::now();
    let answer = call.header("guichet-deadline-ms", "300").send().await?;
    let took = begun.elapsed();
    let _ = answer.problem(&[504], "the deadline is over")?;
    if took < Duration::from_secs(10) {
        return Ok(());
    }
    Err(Not::held(
        &answer.sent,
        "an end soon after 300 ms",
        &format!("it ended after {} ms", took.as_millis()),
    ))
}
