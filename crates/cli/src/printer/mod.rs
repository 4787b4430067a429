//! The only place that prints. Results go to standard output, everything else to standard error; control
//! codes and colours only to a terminal, and never with `NO_COLOR`.
//!
//! What a provider or gateway sent is made harmless first ([`text::plain`]): no text of theirs can move the
//! cursor or rewrite what an approver reads.

pub(crate) mod card;
mod formats;
pub(crate) mod progress;
mod table;
pub(crate) mod text;

use std::{
    io::{IsTerminal as _, Write as _},
    str::FromStr,
};

use guichet_contract::{Problem, action::View, action::flag_name};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    exit::Exit,
    failure::Failure,
    printer::{card::Card, progress::Progress, text::plain},
};

/// Form of a result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Table,
    /// The whole value.
    Json,
    /// The whole value.
    Yaml,
    /// The rows, RFC 4180.
    Csv,
}

impl FromStr for Format {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let of = [Self::Table, Self::Json, Self::Yaml, Self::Csv];
        let found = Self::NAMES.iter().zip(of).find(|(name, _)| **name == text);
        found.map(|(_, format)| format).ok_or_else(|| format!("`{text}` is no form of output"))
    }
}

impl Format {
    /// As they are typed.
    pub(crate) const NAMES: [&str; 4] = ["table", "json", "yaml", "csv"];
}

/// A row of a built-in list: names and cells, in order.
pub(crate) type Row = Map<String, Value>;

/// Prints.
#[derive(Debug, Clone)]
pub(crate) struct Printer {
    format: Format,
    out_is_terminal: bool,
    err_is_terminal: bool,
    colours: bool,
    pub(crate) verbose: bool,
    place: Option<String>,
}

const BOLD: &str = "1";
const DIM: &str = "2";
const RED: &str = "1;31";
const GREEN: &str = "32";
const YELLOW: &str = "33";

impl Printer {
    /// For this process's standard output and error.
    pub(crate) fn new(format: Format, no_color: bool, verbose: bool) -> Self {
        Self {
            format,
            out_is_terminal: std::io::stdout().is_terminal(),
            err_is_terminal: std::io::stderr().is_terminal(),
            colours: !no_color,
            verbose,
            place: None,
        }
    }

    /// Whether results are for people: what can be mended by asking is asked then.
    pub(crate) fn is_for_people(&self) -> bool {
        self.format == Format::Table
    }

    /// Where the command goes; shown above tables on a terminal.
    pub(crate) fn set_environment(&mut self, place: Option<String>) {
        self.place = place;
    }

    fn paint(&self, terminal: bool, colour: &str, text: &str) -> String {
        if terminal && self.colours { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Standard output, as it is. A reader that went away is no error of ours.
    #[expect(clippy::unused_self, reason = "only who holds the printer prints")]
    pub(crate) fn raw(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }

    /// One line of bytes on standard output; `false` when the reader went away.
    #[expect(clippy::unused_self, reason = "only who holds the printer prints")]
    pub(crate) fn bytes_line(&self, line: &[u8]) -> bool {
        let mut out = std::io::stdout().lock();
        out.write_all(line).and_then(|()| out.write_all(b"\n")).is_ok()
    }

    #[expect(clippy::unused_self, reason = "only who holds the printer prints")]
    fn err(&self, text: &str) {
        let _ = writeln!(std::io::stderr().lock(), "{text}");
    }

    /// A line on standard error.
    pub(crate) fn note(&self, text: &str) {
        self.err(&plain(text));
    }

    /// A line on standard error, with `--verbose` only.
    pub(crate) fn detail(&self, text: &str) {
        if self.verbose {
            self.err(&self.paint(self.err_is_terminal, DIM, &plain(text)));
        }
    }

    /// How it ended, on standard error.
    pub(crate) fn outcome(&self, exit: Exit, text: &str) {
        let (word, rest) = text.split_once(':').unwrap_or((text, ""));
        let colour = match exit {
            Exit::Done => GREEN,
            Exit::Waiting | Exit::Cancelled => YELLOW,
            _ => RED,
        };
        let word = self.paint(self.err_is_terminal, colour, word);
        let colon = if rest.is_empty() { "" } else { ":" };
        self.err(&format!("{word}{colon}{}", plain(rest)));
    }

    fn place_line(&self) {
        if let Some(place) = &self.place
            && self.err_is_terminal
        {
            self.err(&self.paint(true, DIM, &plain(place)));
        }
    }

    /// An action's result, drawn by its view.
    pub(crate) fn result(&self, value: &Value, view: Option<&View>) {
        match self.format {
            Format::Json | Format::Yaml => self.whole(value),
            Format::Csv => self.raw(&formats::csv(&table::Table::of(value, view))),
            Format::Table if value.is_null() => {}
            Format::Table => {
                self.place_line();
                self.raw(
                    &table::Table::of(value, view).draw(self.width(), self.out_is_terminal && self.colours),
                );
            }
        }
    }

    /// A list of ours: `whole` for machines, `rows` for people and spreadsheets.
    pub(crate) fn list(&self, whole: &impl Serialize, rows: &[Row], when_empty: &str) {
        match self.format {
            Format::Json | Format::Yaml => self.whole(whole),
            Format::Csv => self.raw(&formats::csv(&table::Table::of_rows(rows))),
            Format::Table if rows.is_empty() => {
                self.place_line();
                self.note(when_empty);
            }
            Format::Table => {
                self.place_line();
                let table = table::Table::of_rows(rows);
                self.raw(&table.draw(self.width(), self.out_is_terminal && self.colours));
            }
        }
    }

    /// One thing of ours, as a card on standard output.
    pub(crate) fn card(&self, whole: &impl Serialize, card: &Card) {
        match self.format {
            Format::Json | Format::Yaml => self.whole(whole),
            Format::Csv => self.raw(&formats::csv(&table::Table::of_rows(&[card.row()]))),
            Format::Table => {
                self.raw(&card.draw(self.width(), |label| self.paint(self.out_is_terminal, BOLD, label)));
            }
        }
    }

    /// A card beside the result, on standard error.
    pub(crate) fn card_aside(&self, card: &Card) {
        let drawn = card.draw(self.err_width(), |label| self.paint(self.err_is_terminal, BOLD, label));
        self.err(drawn.trim_end_matches('\n'));
    }

    /// A thing that was done: the whole of it for machines, a line for people.
    pub(crate) fn done(&self, whole: &impl Serialize, text: &str) {
        match self.format {
            Format::Json | Format::Yaml => self.whole(whole),
            Format::Csv | Format::Table => self.outcome(Exit::Done, text),
        }
    }

    /// A secret alone on standard output; what it is beside it.
    pub(crate) fn secret(&self, whole: &impl Serialize, secret: &str, text: &str) {
        match self.format {
            Format::Json | Format::Yaml => self.whole(whole),
            Format::Csv | Format::Table => {
                self.outcome(Exit::Done, text);
                self.raw(&format!("{secret}\n"));
            }
        }
    }

    fn whole(&self, value: &impl Serialize) {
        let text = match self.format {
            Format::Yaml => formats::yaml(value),
            _ => formats::json(value),
        };
        match text {
            Ok(text) => self.raw(&text),
            Err(why) => self.err(&format!("the result cannot be written: {why}")),
        }
    }

    fn width(&self) -> Option<usize> {
        if !self.out_is_terminal {
            return None;
        }
        console::Term::stdout().size_checked().map(|(_, columns)| usize::from(columns).max(40))
    }

    fn err_width(&self) -> Option<usize> {
        if !self.err_is_terminal {
            return None;
        }
        console::Term::stderr().size_checked().map(|(_, columns)| usize::from(columns).max(40))
    }

    /// Shows how a run goes.
    pub(crate) fn progress(&self) -> Progress {
        Progress::new(self.err_is_terminal, self.colours)
    }

    /// Tells what went wrong, and gives the exit code.
    pub(crate) fn failure(&self, failure: &Failure) -> Exit {
        match failure {
            Failure::Clap(error) => self.clap(error),
            Failure::Problem(exit, problem) => {
                self.problem(problem);
                *exit
            }
        }
    }

    /// A problem on standard error: as JSON when the output is JSON, else in words.
    pub(crate) fn problem(&self, problem: &Problem) {
        if matches!(self.format, Format::Json | Format::Yaml) {
            let text = match self.format {
                Format::Json => formats::json(problem),
                _ => formats::yaml(problem),
            };
            if let Ok(text) = text {
                return self.err(text.trim_end());
            }
        }
        let red = self.paint(self.err_is_terminal, RED, "error:");
        self.err(&format!("{red} {}: {}", plain(&problem.title), plain(&problem.detail)));
        for error in &problem.errors {
            self.err(&format!("  {}: {}", plain(&flag_of(error)), plain(&error.message)));
        }
        if !problem.policies.is_empty() {
            self.err(&format!("  policy: {}", plain(&problem.policies.join(", "))));
        }
        if let Some(next) = &problem.next {
            let word = self.paint(self.err_is_terminal, BOLD, "next:");
            self.err(&format!("{word} {}", plain(next)));
        }
        if let Some(trace) = &problem.trace_id {
            self.detail(&format!("trace: {trace}"));
        }
    }

    fn clap(&self, error: &clap::Error) -> Exit {
        let is_help = !error.use_stderr();
        let terminal = if is_help { self.out_is_terminal } else { self.err_is_terminal };
        let text = if terminal && self.colours {
            error.render().ansi().to_string()
        } else {
            error.render().to_string()
        };
        if is_help {
            self.raw(&text);
            return Exit::Done;
        }
        self.err(text.trim_end());
        Exit::Usage
    }
}

/// The flag that a member's error is about.
fn flag_of(error: &guichet_contract::FieldError) -> String {
    if let Some(flag) = &error.flag {
        return flag.clone();
    }
    let mut segments = error.pointer.split('/').skip(1);
    match segments.next() {
        None | Some("") => "input".to_owned(),
        Some(member) => {
            segments.fold(format!("--{}", flag_name(member)), |flag, segment| flag + "/" + segment)
        }
    }
}
