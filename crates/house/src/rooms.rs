//! The table of rooms in `ARCHITECTURE.md`: the one place that says which room may use which.

use std::collections::{BTreeMap, BTreeSet};

/// Which rooms a room may use.
#[derive(Debug, PartialEq, Eq)]
pub enum MayUse {
    /// Any room: it wires or tests the whole.
    All,
    /// These and no others.
    Only(BTreeSet<String>),
}

/// Reads the rows under the header `| crate | … | may use | … |`: room → what it may use.
///
/// A room is named by its directory, less `crates/`: `contract`, `providers/postgres`, `xtask`.
pub fn read_table(page: &str) -> BTreeMap<String, MayUse> {
    let mut rooms = BTreeMap::new();
    let mut inside = false;
    for line in page.lines() {
        let cells: Vec<&str> = line.trim().trim_matches('|').split('|').map(str::trim).collect();
        match cells.as_slice() {
            ["crate", _, "may use", ..] => inside = true,
            [name, _, may_use, ..] if inside => {
                if name.starts_with('`') {
                    rooms.insert(name.trim_matches('`').to_owned(), read_cell(may_use));
                }
            }
            _ => inside = false,
        }
    }
    rooms
}

fn read_cell(cell: &str) -> MayUse {
    match cell {
        "all" => MayUse::All,
        "–" => MayUse::Only(BTreeSet::new()),
        list => MayUse::Only(list.split(',').map(|name| name.trim().trim_matches('`').to_owned()).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_read_and_other_tables_are_not() {
        let page = "| word | meaning | x |\n| --- | --- | --- |\n| `run` | … | contract |\n\n\
                    | crate | one line | may use | must not know |\n| --- | --- | --- | --- |\n\
                    | `contract` | words | – | SQL |\n| `client` | calls | contract, `ledger` | – |\n\
                    | `server` | wiring | all | – |\n\n| `later` | … | contract |\n";
        let only = |names: &[&str]| MayUse::Only(names.iter().map(|name| (*name).to_owned()).collect());
        let expected = [
            ("client".to_owned(), only(&["contract", "ledger"])),
            ("contract".to_owned(), only(&[])),
            ("server".to_owned(), MayUse::All),
        ];
        assert_eq!(read_table(page), BTreeMap::from(expected));
    }
}
