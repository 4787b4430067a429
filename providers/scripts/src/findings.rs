//! What is wrong, or only odd, with a folder of scripts, each with its place.

use std::{fmt, path::PathBuf};

/// One thing that whoever wrote the script should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The file.
    pub file: PathBuf,
    /// Line, from 1, where it can be told.
    pub line: Option<usize>,
    /// What is wrong, and what to do.
    pub message: String,
    /// The script is left out because of it. Otherwise it is only told.
    pub grave: bool,
}

impl Finding {
    /// What leaves a script out.
    pub fn fault(file: impl Into<PathBuf>, line: Option<usize>, message: impl Into<String>) -> Self {
        Self { file: file.into(), line, message: message.into(), grave: true }
    }

    /// What is only told.
    pub fn note(file: impl Into<PathBuf>, message: impl Into<String>) -> Self {
        Self { file: file.into(), line: None, message: message.into(), grave: false }
    }

    /// The same for people who need not know where the folder is.
    pub(crate) fn without_folder(&self) -> String {
        let name = self.file.file_name().map_or_else(|| self.file.clone(), PathBuf::from);
        let folder = self.file.parent().map(|folder| format!("{}/", folder.display())).unwrap_or_default();
        let message = self.message.clone();
        let message = if folder.len() > 1 { message.replace(&folder, "") } else { message };
        Self { file: name, message, ..self.clone() }.to_string()
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", self.message)
    }
}
