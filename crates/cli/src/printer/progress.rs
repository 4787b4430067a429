//! How a run goes, while one waits: live lines on a terminal, one for the run and one for each step under way, above
//! them what was told and the steps that ended; plain lines at changes elsewhere.

use std::{collections::BTreeMap, io::Write as _, time::Duration};

use console::style;
use guichet_contract::{
    Run, RunState, StepState, UNDOING,
    approval::{all_lifted, lifted_by},
};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;

use crate::printer::{
    card::who,
    text::{duration, moment, plain, words},
};

/// Shows one run. Leaves nothing behind on a terminal when it is dropped.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    lines: MultiProgress,
    steps: Steps,
    colours: bool,
    last: String,
    /// Where the run stood when it was last looked at.
    stood: String,
    /// Nothing is more worth telling than where it stands: somebody is waited for, or it shall be stopped.
    held: bool,
    /// What its provider said last of how far it is.
    said: String,
    /// The pause it is in, and its end.
    pause: Option<(String, Timestamp)>,
}

impl Progress {
    pub(super) fn new(terminal: bool, colours: bool) -> Self {
        let lines = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        let bar = terminal.then(|| {
            let bar = lines.add(ProgressBar::no_length());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        let (steps, last, stood, said) = (Steps::default(), String::new(), String::new(), String::new());
        let progress = Self { bar, lines, steps, colours, last, stood, held: true, said, pause: None };
        progress.style("{spinner} {wide_msg}");
        progress
    }

    /// Whether the line should be drawn anew every second.
    pub(crate) fn is_live(&self) -> bool {
        self.bar.is_some()
    }

    fn style(&self, template: &str) {
        let template = if self.colours {
            template.replace("{spinner}", "{spinner:.cyan}").replace("{bar:24}", "{bar:24.cyan/dim}")
        } else {
            template.to_owned()
        };
        if let (Some(bar), Ok(style)) = (&self.bar, ProgressStyle::with_template(&template)) {
            bar.set_style(style);
        }
    }

    /// Where the run stands now. Elsewhere than on a terminal it is told once per change.
    pub(crate) fn stands(&mut self, run: &Run, now: Timestamp) {
        let line = describe(run);
        let asks = run.state == RunState::AwaitingApproval && !is_lifted(run);
        let short = run.id.short();
        if self.is_live() {
            self.stood = if asks {
                let left = run.expires_at.map(|at| duration(at.duration_since(now)));
                let left = left.map(|left| format!(" · {left} left")).unwrap_or_default();
                plain(&format!("{line}{left} · guichet approvals approve {short}"))
            } else {
                plain(&line)
            };
            self.held = run.state != RunState::Running || run.cancel_asked.is_some();
            self.show(now);
        } else if self.last != line {
            let hint = if asks { format!(" (guichet approvals approve {short})") } else { String::new() };
            let _ = writeln!(std::io::stderr().lock(), "{}{}", plain(&line), plain(&hint));
            self.last = line;
        }
    }

    /// What the run's own line says: the pause it is in, else how far it is, else where it stands. A pause is over at its
    /// end, whether anything was heard of what comes next or not.
    fn show(&mut self, now: Timestamp) {
        self.pause.take_if(|(_, until)| *until <= now);
        let Some(bar) = &self.bar else { return };
        bar.set_message(match &self.pause {
            _ if self.held => self.stood.clone(),
            Some((name, until)) => waiting(name, *until, now),
            None if self.said.is_empty() => self.stood.clone(),
            None => self.said.clone(),
        });
    }

    /// A line of the provider's log.
    pub(crate) fn log(&self, line: &str) {
        match &self.bar {
            Some(_) => {
                let _ = self.lines.println(plain(line));
            }
            None => {
                let _ = writeln!(std::io::stderr().lock(), "{}", plain(line));
            }
        }
    }

    /// How far the provider is.
    pub(crate) fn advanced(&mut self, percent: Option<f64>, message: Option<&str>, now: Timestamp) {
        let message = plain(message.unwrap_or_default());
        self.pause = None;
        if let Some(bar) = &self.bar {
            if let Some(percent) = percent.filter(|percent| percent.is_finite()) {
                self.style("{spinner} {bar:24} {percent:>3}% {wide_msg}");
                bar.set_length(1000);
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1000")]
                bar.set_position((percent.clamp(0.0, 100.0) * 10.0) as u64);
            }
            self.said = message;
            return self.show(now);
        }
        let line = match percent {
            Some(percent) => format!("{percent:.0} % {message}"),
            None => message,
        };
        if self.last != line {
            let _ = writeln!(std::io::stderr().lock(), "{}", line.trim_end());
            self.last = line;
        }
    }

    /// A step of the provider's began or ended.
    pub(crate) fn step(&mut self, name: &str, state: StepState, at: Timestamp, why: Option<&str>) {
        self.pause = None;
        self.show(at);
        if name == UNDOING {
            return self.log("undoing what was done");
        }
        let took = self.steps.took(name, state, at);
        let took = |before: &str| took.as_ref().map(|took| format!("{before}{took}")).unwrap_or_default();
        let (sign, name) = (self.sign(state), plain(name));
        let why = why.map(|why| format!(": {}", plain(why))).unwrap_or_default();
        let Some(bar) = &self.bar else {
            let line = match state {
                StepState::Began => format!("{name} …"),
                StepState::Noted | StepState::Done => format!("{name}: done{}", took(" in ")),
                StepState::Failed => format!("{name}: failed{}{why}", took(" after ")),
            };
            let _ = writeln!(std::io::stderr().lock(), "{line}");
            return;
        };
        if state == StepState::Began {
            let line = self.lines.insert_before(bar, ProgressBar::no_length());
            if let Ok(style) = ProgressStyle::with_template(&format!("{} {{wide_msg}}", self.spinner())) {
                line.set_style(style);
            }
            line.set_message(name.clone());
            line.enable_steady_tick(Duration::from_millis(120));
            self.steps.show(&name, line);
            return;
        }
        self.steps.hide(&name);
        let _ = self.lines.println(format!("{sign} {name}{}{why}", took("  ")));
    }

    /// The run only waits.
    pub(crate) fn waits(&mut self, name: &str, until: Timestamp, now: Timestamp) {
        self.pause = Some((name.to_owned(), until));
        if self.is_live() {
            return self.show(now);
        }
        let _ = writeln!(std::io::stderr().lock(), "{}", waiting(name, until, now));
    }

    fn spinner(&self) -> &'static str {
        if self.colours { "{spinner:.cyan}" } else { "{spinner}" }
    }

    fn sign(&self, state: StepState) -> String {
        let sign = if state == StepState::Failed { style("✗").red() } else { style("✓").green() };
        sign.for_stderr().force_styling(self.colours).to_string()
    }

    /// Takes the live lines away.
    pub(crate) fn end(&self) {
        self.steps.hide_all();
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// The steps that are under way.
#[derive(Default)]
struct Steps {
    began: BTreeMap<String, Timestamp>,
    shown: BTreeMap<String, ProgressBar>,
}

impl Steps {
    /// How long a step took, once it ended.
    fn took(&mut self, name: &str, state: StepState, at: Timestamp) -> Option<String> {
        if state == StepState::Began {
            let _ = self.began.insert(name.to_owned(), at);
            return None;
        }
        let took = at.duration_since(self.began.remove(name)?);
        Some(if took.as_secs() < 60 { format!("{:.1} s", took.as_secs_f64()) } else { duration(took) })
    }

    /// A step that is begun once more has its line still.
    fn show(&mut self, name: &str, line: ProgressBar) {
        if let Some(before) = self.shown.insert(name.to_owned(), line) {
            before.finish_and_clear();
        }
    }

    fn hide(&mut self, name: &str) {
        if let Some(line) = self.shown.remove(name) {
            line.finish_and_clear();
        }
    }

    fn hide_all(&self) {
        for line in self.shown.values() {
            line.finish_and_clear();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}

fn waiting(name: &str, until: Timestamp, now: Timestamp) -> String {
    let left = until.duration_since(now);
    let left = if left.is_positive() { format!(", {} from now", duration(left)) } else { String::new() };
    format!("{}: waiting until {}{left}", plain(name), moment(until))
}

/// Everybody who was asked has said yes; the gateway is about to tell the new state.
fn is_lifted(run: &Run) -> bool {
    all_lifted(&run.approvals, &run.decisions)
}

/// State, and who is waited for.
fn describe(run: &Run) -> String {
    let short = run.id.short();
    if run.state == RunState::AwaitingApproval && is_lifted(run) {
        return format!("run {short}: approved");
    }
    if let Some(asked) = run.cancel_asked.as_ref().filter(|_| run.state == RunState::Running) {
        return format!("run {short}: running; {} asked that it be stopped, not confirmed yet", asked.by);
    }
    if run.state != RunState::AwaitingApproval {
        return format!("run {short}: {}", words(run.state.as_str()));
    }
    let mut open: Vec<String> = run
        .approvals
        .iter()
        .filter(|approval| lifted_by(approval, &run.decisions) < usize::from(approval.count))
        .map(|approval| {
            format!("{} ({} of {})", who(approval), lifted_by(approval, &run.decisions), approval.count)
        })
        .collect();
    // Two conditions can ask for the same people: told once.
    open.sort();
    open.dedup();
    format!("run {short}: awaiting approval by {}", open.join(" and "))
}
