//! Across providers: each command belongs to one action.

use guichet_contract::{
    Action,
    openapi::{RESERVED, Strictness, check_catalogue, read},
};
use serde_json::json;

/// An action of a provider with this command.
fn action(provider: &str, command: &str) -> Action {
    let operation = json!({"operationId": command.replace(' ', "-"), "x-guichet": {"command": command}});
    let document = super::document(json!({"/a": {"get": operation}}), json!({}));
    read(provider, &document, Strictness::Strict).unwrap().actions.remove(0)
}

#[test]
fn different_commands_live_together() {
    let actions = [
        action("kafka", "kafka topics list"),
        action("kafka", "kafka topics delete"),
        action("kafka", "kafka topicsx"),
        action("rds", "rds"),
    ];
    assert_eq!(check_catalogue(&actions), []);
    assert_eq!(check_catalogue::<Action>(&[]), []);
}

#[test]
fn clashes_are_told_with_both_names() {
    for (commands, pointer, words) in [
        (
            ["kafka topics list", "kafka topics list"],
            "/1/command",
            "`a.kafka-topics-list` and of `b.kafka-topics-list`",
        ),
        (["kafka topics", "kafka topics list"], "/1/command", "lies below `kafka topics`"),
        (["kafka topics list all", "kafka"], "/0/command", "lies below `kafka`"),
    ] {
        let findings = check_catalogue(&[action("a", commands[0]), action("b", commands[1])]);
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!(findings[0].pointer, pointer);
        assert!(findings[0].message.contains(words), "{}", findings[0]);
    }
    let twice = check_catalogue(&[action("a", "x"), action("a", "x")]);
    let pointers: Vec<&str> = twice.iter().map(|finding| finding.pointer.as_str()).collect();
    assert_eq!(pointers, ["/1/command", "/1/id"]);
}

#[test]
fn words_of_the_command_line_itself_are_kept() {
    for word in RESERVED {
        let findings = check_catalogue(&[action("a", &format!("{word} list"))]);
        assert_eq!(findings.len(), 1, "{word}");
        assert!(findings[0].message.contains(&format!("begins with `{word}`")), "{}", findings[0]);
    }
    assert_eq!(check_catalogue(&[action("a", "kafka login")]), [], "only the first word is kept");
    let mut wordless = action("a", "x");
    wordless.command.clear();
    assert!(check_catalogue(&[wordless])[0].message.contains("has no command"));
}
