//! One script as it was read: its bytes, their digest, what it says of itself.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use guichet_contract::{Digest, Effect};

use crate::{
    findings::Finding,
    handed,
    header::{self, Block, Header},
    runner::Program,
    settings::Settings,
};

/// Largest script, bytes.
const LARGEST: u64 = 16 * 1024 * 1024;

/// A script that is an action.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    pub(crate) path: PathBuf,
    /// Name of the action.
    pub(crate) operation: String,
    pub(crate) program: Program,
    /// The file beside it that has its header, where it has one.
    pub(crate) side: Option<Program>,
    pub(crate) header: Header,
    pub(crate) seconds: u64,
    pub(crate) planned_by: PlannedBy,
}

/// How a run of it is planned.
#[derive(Debug, Clone)]
pub(crate) enum PlannedBy {
    /// By the provider alone: it tells what would run.
    Provider,
    /// By the script itself, with this argument before all others.
    Argument(String),
    /// By another script beside it.
    Script(PathBuf, Program),
}

/// What a file of the folder is.
pub(crate) enum Found {
    Action(Box<Script>),
    /// Nothing that says it is an action.
    Nothing,
}

/// The name of an action: `restart_app.sh` → `restart-app`.
pub(crate) fn operation_of(name: &str) -> String {
    let stem = name.split_once('.').map_or(name, |(stem, _)| stem);
    stem.to_ascii_lowercase().replace('_', "-")
}

/// Reads a program, whole.
///
/// # Errors
/// Why it cannot be run.
pub(crate) fn read_program(path: &Path) -> Result<Program, String> {
    let size = fs::metadata(path).map_err(|error| format!("it cannot be read: {error}"))?.len();
    if size > LARGEST {
        return Err(format!("its {size} bytes are more than the {LARGEST} that are read"));
    }
    let bytes = fs::read(path).map_err(|error| format!("it cannot be read: {error}"))?;
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(Program { name, digest: Digest::of_bytes(&bytes), bytes: bytes.into() })
}

/// Whether the file is now, byte by byte, what was read.
///
/// # Errors
/// It cannot be read, though it is there.
pub(crate) fn is_still(path: &Path, program: &Program) -> Result<bool, String> {
    match read_program(path) {
        Ok(now) => Ok(now.digest == program.digest),
        Err(_) if !path.exists() => Ok(false),
        Err(why) => Err(format!("{} cannot be read at the moment: {why}", path.display())),
    }
}

/// Reads a file of the folder.
///
/// # Errors
/// Everything that keeps a script with a header from being an action.
pub(crate) fn read(path: &Path, settings: &Settings) -> Result<Found, Vec<Finding>> {
    let one = |line: Option<usize>, message: String| vec![Finding::fault(path, line, message)];
    let program = read_program(path).map_err(|why| one(None, why))?;
    let side = side_of(path);
    let beside = if side.exists() {
        Some(read_program(&side).map_err(|why| vec![Finding::fault(&side, None, why)])?)
    } else {
        None
    };
    let (place, block) = if let Some(beside) = &beside {
        let text = String::from_utf8_lossy(&beside.bytes).into_owned();
        (side.as_path(), Some(Block { text, after_line: 0 }))
    } else {
        let text = String::from_utf8_lossy(&program.bytes);
        (path, header::find(&text).map_err(|(line, why)| one(Some(line), why))?)
    };
    let Some(block) = block else { return Ok(Found::Nothing) };
    let header = header::read(&block).map_err(|(line, why)| vec![Finding::fault(place, Some(line), why)])?;
    let mut faults = Vec::new();
    runnable(path, &program, &mut faults);
    let seconds = header.timeout_seconds().unwrap_or_else(|why| {
        faults.push(why);
        1
    });
    let planned_by = planned_by(path, &header, &mut faults);
    faults.extend(handed::mistakes(&header, settings));
    if faults.is_empty() {
        let operation = operation_of(&program.name);
        let path = path.to_owned();
        let script = Script { path, operation, program, side: beside, header, seconds, planned_by };
        return Ok(Found::Action(Box::new(script)));
    }
    Err(faults.into_iter().map(|why| Finding::fault(place, None, why)).collect())
}

/// `SCRIPT.toml` beside the script `SCRIPT`.
pub(crate) fn side_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".toml");
    PathBuf::from(name)
}

fn runnable(path: &Path, program: &Program, faults: &mut Vec<String>) {
    let name = &program.name;
    let mode = fs::metadata(path).map_or(0, |data| data.permissions().mode());
    if mode & 0o111 == 0 {
        faults.push(format!("`{name}` is not executable: do `chmod +x {name}`"));
    }
    if mode & 0o002 != 0 {
        faults.push(format!("everybody on the machine may write `{name}`: do `chmod o-w {name}`"));
    }
    if !program.bytes.starts_with(b"#!") && !program.bytes.starts_with(b"\x7fELF") {
        faults.push(format!(
            "`{name}` does not say what runs it: begin its first line with `#!`, as in `#!/bin/bash`"
        ));
    }
}

fn planned_by(path: &Path, header: &Header, faults: &mut Vec<String>) -> PlannedBy {
    let Some(plan) = &header.plan else { return PlannedBy::Provider };
    if header.effect() == Effect::Read {
        faults.push("a read has no plan: take `plan` away, or give it another effect".to_owned());
        return PlannedBy::Provider;
    }
    if plan.starts_with('-') {
        return PlannedBy::Argument(plan.clone());
    }
    if plan.contains('/') || plan.starts_with('.') {
        faults.push(format!(
            "plan `{plan}`: name an argument such as `--dry-run`, or a script in the same folder"
        ));
        return PlannedBy::Provider;
    }
    let other = path.with_file_name(plan);
    match read_program(&other) {
        Ok(program) => {
            runnable(&other, &program, faults);
            PlannedBy::Script(other, program)
        }
        Err(why) => {
            faults.push(format!("plan `{plan}`: {why}"));
            PlannedBy::Provider
        }
    }
}

impl Script {
    /// Names of files that are plans of this script.
    pub(crate) fn plan_files(scripts: &[Self]) -> BTreeSet<PathBuf> {
        let of = |script: &Self| match &script.planned_by {
            PlannedBy::Script(path, _) => Some(path.clone()),
            _ => None,
        };
        scripts.iter().filter_map(of).collect()
    }

    /// What an approval of it is bound to.
    pub(crate) fn plan_program(&self) -> Option<&Program> {
        match &self.planned_by {
            PlannedBy::Script(_, program) => Some(program),
            _ => None,
        }
    }

    /// Whether its files are what was read.
    ///
    /// # Errors
    /// One of them cannot be read.
    pub(crate) fn is_as_read(&self) -> Result<bool, String> {
        let side = side_of(&self.path);
        let header = match &self.side {
            Some(read) => is_still(&side, read)?,
            None => !side.exists(),
        };
        let plan = match &self.planned_by {
            PlannedBy::Script(path, program) => is_still(path, program)?,
            _ => true,
        };
        Ok(header && plan && is_still(&self.path, &self.program)?)
    }

    /// Shared, for handlers.
    pub(crate) fn shared(self) -> Arc<Self> {
        Arc::new(self)
    }
}
