//! How a run goes, while one waits: a live line on a terminal, plain lines at changes elsewhere.

use std::{io::Write as _, time::Duration};

use guichet_contract::{
    Run, RunState,
    approval::{all_lifted, lifted_by},
};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;

use crate::printer::{
    card::who,
    text::{duration, plain, words},
};

/// Shows one run. Leaves nothing behind on a terminal when it is dropped.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    colours: bool,
    last: String,
    has_bar: bool,
}

impl Progress {
    pub(super) fn new(terminal: bool, colours: bool) -> Self {
        let bar = terminal.then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        let progress = Self { bar, colours, last: String::new(), has_bar: false };
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
        if let Some(bar) = &self.bar {
            if run.state == RunState::AwaitingApproval && !is_lifted(run) {
                let left = run.expires_at.map(|at| duration(at.duration_since(now)));
                let left = left.map(|left| format!(" · {left} left")).unwrap_or_default();
                let short = run.id.short();
                bar.set_message(plain(&format!("{line}{left} · guichet approvals approve {short}")));
            } else if !self.has_bar {
                bar.set_message(plain(&line));
            }
        } else if self.last != line {
            let hint = match run.state {
                RunState::AwaitingApproval if !is_lifted(run) => {
                    format!(" (guichet approvals approve {})", run.id.short())
                }
                _ => String::new(),
            };
            let _ = writeln!(std::io::stderr().lock(), "{}{}", plain(&line), plain(&hint));
            self.last = line;
        }
    }

    /// A line of the provider's log.
    pub(crate) fn log(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(plain(line)),
            None => {
                let _ = writeln!(std::io::stderr().lock(), "{}", plain(line));
            }
        }
    }

    /// How far the provider is.
    pub(crate) fn advanced(&mut self, percent: Option<f64>, message: Option<&str>) {
        let message = plain(message.unwrap_or_default());
        if let Some(bar) = &self.bar {
            if let Some(percent) = percent.filter(|percent| percent.is_finite()) {
                self.has_bar = true;
                self.style("{spinner} {bar:24} {percent:>3}% {wide_msg}");
                bar.set_length(1000);
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1000")]
                bar.set_position((percent.clamp(0.0, 100.0) * 10.0) as u64);
            }
            bar.set_message(message);
            return;
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

    /// Takes the live line away.
    pub(crate) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
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
