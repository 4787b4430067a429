//! JSON, YAML and CSV: whole values, nothing cut.

use serde::Serialize;
use serde_json::Value;

use crate::printer::{
    table::Table,
    text::{cell, tame},
};

/// Indented, with a line feed at its end.
pub(crate) fn json(value: &impl Serialize) -> Result<String, String> {
    serde_json::to_string_pretty(value).map(|text| text + "\n").map_err(|error| error.to_string())
}

/// YAML 1.2.
pub(crate) fn yaml(value: &impl Serialize) -> Result<String, String> {
    serde_saphyr::to_string(value)
        .map(|text| if text.ends_with('\n') { text } else { text + "\n" })
        .map_err(|error| error.to_string())
}

/// RFC 4180 with a header line; texts with their line ends, without what a terminal would obey.
pub(crate) fn csv(table: &Table) -> String {
    let field = |value: &Value| match value {
        Value::String(text) => tame(text),
        value => cell(value),
    };
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut written = writer.write_record(table.columns());
    for row in table.values() {
        written = written.and_then(|()| writer.write_record(row.iter().map(field)));
    }
    if written.is_err() || table.columns().is_empty() {
        return String::new();
    }
    writer.into_inner().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}
