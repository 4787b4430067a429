//! A first look at the command line, before there is a grammar: the grammar depends on the context, and on
//! which commands need to be built.

use std::ffi::OsString;

use crate::{arguments::builtin, printer::Format};

/// What was seen.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Prescan {
    /// Value of `--context`.
    pub(crate) context: Option<String>,
    /// Value of `--output`; how errors are told even when the line cannot be read.
    pub(crate) output: Format,
    /// `--verbose`.
    pub(crate) verbose: bool,
    /// Everything that is no flag and no value of a global flag: among it the words of the command.
    pub(crate) words: Vec<String>,
}

impl Prescan {
    /// Looks through the arguments, the program's name first.
    pub(crate) fn of(arguments: &[OsString]) -> Self {
        let mut seen = Self::default();
        let mut rest = arguments.iter().skip(1).map(|argument| argument.to_string_lossy());
        while let Some(argument) = rest.next() {
            // What follows is another program's. Elsewhere it is not: the shell's completion writes `--` before the line.
            if argument == "--" && seen.words.first().is_some_and(|word| word == "provider") {
                break;
            }
            let (flag, mut value) = match argument.split_once('=') {
                Some((flag, value)) if flag.starts_with("--") => (flag, Some(value.to_owned())),
                _ => (&*argument, None),
            };
            let takes_value =
                matches!(flag, "--context" | "--output" | "-o" | "--reason" | "--approval-description");
            if takes_value && value.is_none() {
                value = rest.next().map(std::borrow::Cow::into_owned);
            }
            match flag {
                "--context" => seen.context = value,
                "--output" | "-o" => {
                    seen.output = value.and_then(|value| value.parse().ok()).unwrap_or_default();
                }
                "--verbose" => seen.verbose = true,
                _ if flag.starts_with('-') => {}
                _ => seen.words.push(argument.into_owned()),
            }
        }
        seen
    }

    /// Whether the line may be a provider's command, or asks for help that shows them.
    pub(crate) fn needs_catalogue(&self) -> bool {
        self.words.first().is_none_or(|word| !builtin::NAMES.contains(&word.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Prescan {
        Prescan::of(&line.split(' ').map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn sees_what_the_grammar_depends_on() {
        let seen = of("guichet --context prod rds --reason because queries -o json --identifier=shop");
        assert_eq!(seen.context.as_deref(), Some("prod"));
        assert_eq!(seen.output, Format::Json);
        assert_eq!(seen.words, ["rds", "queries"]);
        assert!(seen.needs_catalogue());
        assert!(!of("guichet --context=prod runs list").needs_catalogue());
        assert!(of("guichet --help").needs_catalogue());
        assert_eq!(of("guichet provider check -- prog -o json").output, Format::Table);
    }
}
