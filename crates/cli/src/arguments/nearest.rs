//! What a mistyped word or flag was probably meant to be.
//!
//! Clap's own measure misses two letters that changed places in a short word (`--pdi`), which is how people
//! mistype; this one counts such a swap as one mistake.

use clap::{
    Command,
    error::{ContextKind, ContextValue, ErrorKind},
};

/// What was typed, and the nearest thing that exists.
#[derive(Debug, PartialEq)]
pub(crate) struct Near {
    pub(crate) typed: String,
    pub(crate) nearest: Option<String>,
}

/// For an unknown command or flag; `None` for every other error. `words` lead to the command that was meant.
pub(crate) fn to_what_was_mistyped(root: &Command, error: &clap::Error, words: &[String]) -> Option<Near> {
    let kind = match error.kind() {
        ErrorKind::InvalidSubcommand => ContextKind::InvalidSubcommand,
        ErrorKind::UnknownArgument => ContextKind::InvalidArg,
        _ => return None,
    };
    let Some(ContextValue::String(typed)) = error.get(kind) else { return None };
    let typed = typed.split('=').next().unwrap_or(typed);
    let mut command = root;
    for word in words {
        match command.find_subcommand(word) {
            Some(below) => command = below,
            None => break,
        }
    }
    let names: Vec<String> = if error.kind() == ErrorKind::InvalidSubcommand {
        command.get_subcommands().map(|command| command.get_name().to_owned()).collect()
    } else {
        // A word where no word belongs has no flag near it.
        if !typed.starts_with("--") {
            return None;
        }
        let own = command.get_arguments().chain(root.get_arguments());
        own.filter_map(clap::Arg::get_long).map(|long| format!("--{long}")).collect()
    };
    Some(Near { typed: typed.to_owned(), nearest: nearest(typed, names).or_else(|| of_clap(error)) })
}

/// Clap's own suggestion: its measure sees longer words that only begin alike.
fn of_clap(error: &clap::Error) -> Option<String> {
    [ContextKind::SuggestedSubcommand, ContextKind::SuggestedArg].into_iter().find_map(|kind| {
        match error.get(kind)? {
            ContextValue::String(name) => Some(name.clone()),
            ContextValue::Strings(names) => names.first().cloned(),
            _ => None,
        }
    })
}

/// `; did you mean …?`, or nothing where none is near.
pub(crate) fn did_you_mean(typed: &str, names: &[&str]) -> String {
    let near = nearest(typed, names.iter().map(|name| (*name).to_owned()));
    near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default()
}

/// The nearest of these: at most one mistake in three letters, and where equal the first.
fn nearest(typed: &str, names: impl IntoIterator<Item = String>) -> Option<String> {
    let letters = typed.trim_start_matches('-').chars().count();
    let allowed = (letters / 3).clamp(1, 3);
    let measured = names.into_iter().map(|name| {
        let is_longer_form = letters > 2 && name.starts_with(typed);
        (if is_longer_form { 1 } else { mistakes(typed, &name) }, name)
    });
    measured
        .filter(|(mistakes, _)| *mistakes <= allowed)
        .min_by_key(|(mistakes, _)| *mistakes)
        .map(|(_, name)| name)
}

/// Letters left out, put in, exchanged, or swapped with their neighbour (optimal string alignment).
fn mistakes(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=other.len()).collect()];
    for (i, a) in one.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in other.iter().enumerate() {
            let mut best = (rows[i][j + 1] + 1).min(row[j] + 1).min(rows[i][j] + usize::from(a != b));
            if i > 0 && j > 0 && *a == other[j - 1] && one[i - 1] == *b {
                best = best.min(rows[i - 1][j - 1] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[one.len()][other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_mistake_in_three_letters_is_forgiven() {
        let names = || ["--pid", "--identifier", "--input", "rds", "runs", "queries"].map(str::to_owned);
        for (typed, meant) in [
            ("--pdi", Some("--pid")),
            ("--identifer", Some("--identifier")),
            ("--ident", Some("--identifier")),
            ("rsd", Some("rds")),
            ("query", None),
            ("querys", Some("queries")),
            ("kafka", None),
            ("--zzz", None),
        ] {
            assert_eq!(nearest(typed, names()).as_deref(), meant, "{typed}");
        }
    }
}
