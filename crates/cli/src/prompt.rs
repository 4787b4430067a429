//! Asking a person, on a terminal only. Everything is asked on standard error, so that standard output
//! stays what the command gives.

use std::{cell::RefCell, fmt, io::IsTerminal as _};

use guichet_client::Secret;
use inquire::{Confirm, InquireError, Password, PasswordDisplayMode, Select, Text, validator::Validation};
use nucleo_matcher::{
    Config, Matcher, Utf32Str,
    pattern::{CaseMatching, Normalization, Pattern},
};
use serde_json::Value;

use crate::{exit::Exit, failure::Failure, printer::text::plain};

/// Whether there is a person to ask.
pub(crate) fn is_possible() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// One line of a picker.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Choice {
    /// What it stands for.
    pub(crate) value: Value,
    /// What is read and searched.
    pub(crate) label: String,
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.label)
    }
}

/// How well `text` answers to `words`, higher is better; `None` when it does not.
pub(crate) fn score(matcher: &mut Matcher, words: &str, text: &str) -> Option<u32> {
    let pattern = Pattern::parse(words, CaseMatching::Ignore, Normalization::Smart);
    let mut characters = Vec::new();
    pattern.score(Utf32Str::new(text, &mut characters), matcher)
}

/// A matcher for [`score`].
pub(crate) fn matcher() -> Matcher {
    Matcher::new(Config::DEFAULT)
}

/// One of these, found by typing some of its letters.
pub(crate) fn pick(message: &str, choices: Vec<Choice>) -> Result<Value, Failure> {
    let matcher = RefCell::new(matcher());
    let scorer = |words: &str, _: &Choice, text: &str, _: usize| -> Option<i64> {
        score(&mut matcher.borrow_mut(), words, text).map(i64::from)
    };
    Select::new(message, choices)
        .with_scorer(&scorer)
        .with_page_size(12)
        .with_help_message("type to search, ↑↓ to move, Enter to take, Esc to stop")
        .prompt()
        .map(|choice| choice.value)
        .map_err(stopped)
}

/// A text that `read` takes.
pub(crate) fn ask(
    message: &str,
    help: Option<&str>,
    read: impl Fn(&str) -> Result<Value, String> + Clone + 'static,
) -> Result<Value, Failure> {
    let check = read.clone();
    let validator = move |text: &str| {
        Ok(match check(text) {
            Ok(_) => Validation::Valid,
            Err(why) => Validation::Invalid(why.into()),
        })
    };
    let mut question = Text::new(message).with_validator(validator);
    question.help_message = help;
    let text = question.prompt().map_err(stopped)?;
    read(&text).map_err(Failure::usage)
}

/// A line with something in it.
pub(crate) fn ask_reason(message: &str, help: Option<&str>) -> Result<String, Failure> {
    let help = help.map(plain);
    let read = |text: &str| match text.trim() {
        "" => Err("it is needed".to_owned()),
        text => Ok(Value::from(text)),
    };
    Ok(ask(message, help.as_deref(), read)?.as_str().unwrap_or_default().to_owned())
}

/// A line, or nothing.
pub(crate) fn ask_optional(message: &str) -> Result<Option<String>, Failure> {
    let text = Text::new(message).with_help_message("Enter alone for none").prompt().map_err(stopped)?;
    Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty()))
}

/// A text that is not shown while it is typed.
pub(crate) fn ask_hidden(message: &str) -> Result<Secret, Failure> {
    Password::new(message)
        .with_display_mode(PasswordDisplayMode::Hidden)
        .without_confirmation()
        .prompt()
        .map(Secret::new)
        .map_err(stopped)
}

/// Yes or no; no is what Enter alone means.
pub(crate) fn confirm(message: &str) -> Result<bool, Failure> {
    Confirm::new(message).with_default(false).prompt().map_err(stopped)
}

fn stopped(error: InquireError) -> Failure {
    match error {
        InquireError::OperationCanceled => {
            Failure::new(Exit::Cancelled, "Stopped", "you left the question; nothing was done")
        }
        InquireError::OperationInterrupted => {
            Failure::new(Exit::Interrupted, "Interrupted", "nothing was done")
        }
        other => Failure::new(Exit::Failed, "Terminal", format!("it cannot be asked: {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_letters_in_order_find_a_line_and_the_nearest_is_first() {
        let mut matcher = matcher();
        let mut best = |words: &str| {
            let lines = ["shop-primary", "shop-replica", "billing-primary"];
            let mut found: Vec<(u32, &str)> = lines
                .into_iter()
                .filter_map(|line| Some((score(&mut matcher, words, line)?, line)))
                .collect();
            found.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
            found.into_iter().map(|(_, line)| line).collect::<Vec<_>>()
        };
        assert_eq!(best("shrep"), ["shop-replica"]);
        assert_eq!(best("replica"), ["shop-replica"]);
        assert_eq!(best("prim bill"), ["billing-primary"]);
        assert!(best("zzz").is_empty());
    }
}
