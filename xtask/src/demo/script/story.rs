//! How the story is told and checked: commands of people, their words, their exits.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::{
    cargo::binary,
    demo::Demo,
    process::{self, Errors, Finished, Running, wait_until},
};

/// Longer than any command of the story takes.
const LIMIT: Duration = Duration::from_mins(1);

/// The story as it goes.
pub(super) struct Story<'a> {
    pub(super) demo: &'a mut Demo,
    guichet: PathBuf,
    /// dana's command that waits for a decision, and how much of its words was shown.
    waiting: Option<(String, Running, usize)>,
    /// Runs whose card was shown: once is enough for the reader.
    cards: RefCell<BTreeSet<String>>,
    /// Short ids of runs that later steps speak of.
    runs: BTreeMap<&'static str, String>,
    /// The key that signs the ledger, as `guichet` met it.
    pub(super) ledger_key: String,
}

/// What a command said and how it ended.
pub(super) struct Said {
    line: String,
    finished: Finished,
}

impl<'a> Story<'a> {
    pub(super) fn new(demo: &'a mut Demo) -> Result<Self> {
        Ok(Self {
            demo,
            guichet: binary("guichet")?,
            waiting: None,
            cards: RefCell::default(),
            runs: BTreeMap::new(),
            ledger_key: String::new(),
        })
    }

    /// A person runs `guichet`; it is shown with all it says.
    pub(super) fn run(&self, person: &str, words: &[&str]) -> Result<Said> {
        self.run_with(person, words, "", "")
    }

    /// The same with an input, and with words of a shell after the command.
    pub(super) fn run_with(&self, person: &str, words: &[&str], input: &str, shell: &str) -> Result<Said> {
        let line = format!("{person} $ {}{shell}", command_line(words));
        println!("{line}");
        let command = self.demo.people.get(person)?.guichet(&self.guichet, words);
        let finished = process::run(command, input, Errors::Among, LIMIT).with_context(|| line.clone())?;
        self.show(&finished.out);
        Ok(Said { line, finished })
    }

    /// A person runs `guichet` and keeps what it prints.
    pub(super) fn keep(&self, person: &str, words: &[&str], file: &Path) -> Result<()> {
        println!("{person} $ {} > {}", command_line(words), name_of(file));
        let command = self.demo.people.get(person)?.guichet(&self.guichet, words);
        let finished = process::run(command, "", Errors::Apart, LIMIT)?;
        ensure!(finished.code == Some(0), "it ended with {:?}: {}", finished.code, finished.err);
        std::fs::write(file, finished.out).with_context(|| format!("cannot write {}", file.display()))
    }

    /// A machine's look at the same thing: not shown.
    pub(super) fn look(&self, person: &str, words: &[&str]) -> Result<Value> {
        let command =
            self.demo.people.get(person)?.guichet(&self.guichet, &[words, &["--output", "json"]].concat());
        let finished = process::run(command, "", Errors::Apart, LIMIT)?;
        ensure!(
            finished.code == Some(0),
            "`{}` ended with {:?}: {}",
            command_line(words),
            finished.code,
            finished.err
        );
        serde_json::from_str(&finished.out).with_context(|| format!("`{}` gave no JSON", command_line(words)))
    }

    /// dana runs a command that waits, in a terminal of its own. Gives the short id of the run it waits for.
    pub(super) fn ask(&mut self, name: &'static str, pid: i32, words: &[&str]) -> Result<String> {
        let line = format!("dana $ {}", command_line(words));
        println!("{line}");
        let command = self.demo.people.get("dana")?.guichet(&self.guichet, words);
        let mut running = Running::start(command, "", Errors::Among)?;
        // In any state: on a busy machine a short wait may be over before it is seen.
        let run = wait_until("dana's run", LIMIT, || {
            let runs = self.look("dana", &["runs", "list"])?;
            let of_pid = |run: &&Value| run["input"]["pid"] == pid;
            let found = runs["items"].as_array().into_iter().flatten().find(of_pid).map(short_id);
            ensure!(
                found.is_some() || running.is_alive()?,
                "it does not wait; it said: {}",
                running.so_far().0
            );
            Ok(found)
        })?;
        let waits = format!("run {run}: awaiting approval");
        let shown = wait_until("dana's command told that it waits", LIMIT, || {
            let said = running.so_far().0;
            ensure!(said.contains(&waits) || running.is_alive()?, "it does not wait; it said: {said}");
            Ok(said.contains(&waits).then_some(said))
        })?;
        self.show(&shown);
        println!("  (it waits; the others go on in their own terminals)");
        self.runs.insert(name, run.clone());
        self.waiting = Some((line, running, shown.len()));
        Ok(run)
    }

    /// dana's waiting command comes to its end; what it says now is shown.
    pub(super) fn answer(&mut self) -> Result<Said> {
        let (line, running, shown) = self.waiting.take().context("no command waits")?;
        println!("  (in dana's terminal:)");
        let finished = running.finish(LIMIT).with_context(|| line.clone())?;
        self.show(finished.out.get(shown..).unwrap_or_default());
        Ok(Said { line, finished })
    }

    /// Prints what a program said; a card that the reader has seen is not repeated.
    fn show(&self, text: &str) {
        let mut hidden = false;
        for line in text.trim_end().lines() {
            if let Some(run) = line.strip_prefix("Run  ").and_then(|rest| rest.split_whitespace().next()) {
                hidden = !self.cards.borrow_mut().insert(run.to_owned());
                if hidden {
                    println!("  (the card of run {run}, as above)");
                }
            }
            if !hidden {
                println!("{line}");
            }
            // The card's last line.
            hidden &= !line.starts_with("Binding  ");
        }
    }

    /// The reader shall see cards again.
    pub(super) fn forget_cards(&self) {
        self.cards.borrow_mut().clear();
    }

    /// The short id of a run that an earlier step made.
    pub(super) fn run_id(&self, name: &str) -> Result<&str> {
        self.runs.get(name).map(String::as_str).with_context(|| format!("no step made the run `{name}`"))
    }

    /// The whole id of a run that an earlier step made.
    pub(super) fn full_id(&self, name: &str) -> Result<String> {
        let run = self.look("dana", &["runs", "show", self.run_id(name)?])?;
        Ok(run["id"].as_str().context("a run without an id")?.to_owned())
    }

    /// Remembers a run.
    pub(super) fn remember(&mut self, name: &'static str, run: String) {
        self.runs.insert(name, run);
    }

    /// PostgreSQL itself says so, within half a minute.
    pub(super) fn truly(&self, what: &str, question: &str) -> Result<()> {
        self.demo.database.wait_for(what, question)?;
        println!("  ✓ PostgreSQL confirms: {what}");
        Ok(())
    }

    /// PostgreSQL itself says so now.
    pub(super) fn still(&self, what: &str, question: &str) -> Result<()> {
        ensure!(self.demo.database.ask(question)? == "t", "PostgreSQL denies it: {what}");
        println!("  ✓ PostgreSQL confirms: {what}");
        Ok(())
    }
}

impl Said {
    /// It ended with this exit code.
    pub(super) fn exits(self, code: i32) -> Result<Self> {
        let ended = self.finished.code;
        ensure!(ended == Some(code), "`{}` must exit with {code} and ended with {ended:?}", self.line);
        if code != 0 {
            println!("  (exit {code})");
        }
        Ok(self)
    }

    /// It said this.
    pub(super) fn says(self, words: &str) -> Result<Self> {
        ensure!(self.finished.out.contains(words), "`{}` must say `{words}`", self.line);
        Ok(self)
    }

    /// All it said.
    pub(super) fn text(&self) -> &str {
        &self.finished.out
    }
}

/// The last eight digits of a run's id.
pub(super) fn short_id(run: &Value) -> String {
    let id = run["id"].as_str().unwrap_or_default().replace('-', "");
    id[id.len().saturating_sub(8)..].to_owned()
}

fn command_line(words: &[&str]) -> String {
    let quote = |word: &&str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@+".contains(c);
        if word.chars().all(plain) { (*word).to_owned() } else { format!("\"{word}\"") }
    };
    let words: Vec<String> = words.iter().map(quote).collect();
    format!("guichet {}", words.join(" "))
}

fn name_of(file: &Path) -> String {
    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_can_be_typed_as_it_is_shown() {
        assert_eq!(command_line(&["a", "--reason", "it hangs"]), "guichet a --reason \"it hangs\"");
    }

    #[test]
    fn short_ids_are_the_last_eight_digits() {
        let run = serde_json::json!({"id": "01936d2e-7c1a-7000-8000-0123456789ab"});
        assert_eq!(short_id(&run), "456789ab");
    }
}
