//! A result as rows and columns: by the action's view, or by what it looks like.

use comfy_table::{ColumnConstraint, ContentArrangement, Width, presets::NOTHING};
use console::measure_text_width;
use guichet_contract::action::View;
use serde_json::{Map, Value, json};

use crate::printer::text::cell;

/// Rows and columns, not yet drawn.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Table {
    columns: Vec<String>,
    rows: Vec<Vec<Value>>,
    /// What stands before a cell of this column when it is drawn.
    indent: Option<(usize, Vec<String>)>,
}

impl Table {
    /// From any result.
    pub(crate) fn of(value: &Value, view: Option<&View>) -> Self {
        let pointed = view.and_then(|view| value.pointer(&view.rows)).unwrap_or(value);
        let items: Vec<Value> = match pointed {
            Value::Array(items) => items.clone(),
            Value::Object(members) if view.is_none_or(|view| view.columns.is_empty()) => {
                // One thing: its members below each other.
                return Self::of_rows(
                    &members
                        .iter()
                        .map(|(name, value)| {
                            Map::from_iter([("name".into(), json!(name)), ("value".into(), value.clone())])
                        })
                        .collect::<Vec<_>>(),
                );
            }
            one => vec![one.clone()],
        };
        let rows: Vec<Map<String, Value>> = items
            .into_iter()
            .map(|item| match item {
                Value::Object(members) => members,
                scalar => Map::from_iter([("value".to_owned(), scalar)]),
            })
            .collect();
        let Some(view) = view else { return Self::of_rows(&rows) };
        let mut table = if view.columns.is_empty() {
            Self::of_rows(&rows)
        } else {
            let cells = |row: &Map<String, Value>| {
                view.columns.iter().map(|column| member(row, column)).collect::<Vec<_>>()
            };
            Self { columns: view.columns.clone(), rows: rows.iter().map(cells).collect(), indent: None }
        };
        if let Some(tree) = &view.tree {
            let depths: Vec<usize> = rows
                .iter()
                .map(|row| row.get(&tree.depth).and_then(Value::as_u64).unwrap_or(0))
                .map(|depth| usize::try_from(depth).unwrap_or(0).min(32))
                .collect();
            let at = table.columns.iter().position(|column| *column == tree.column);
            table.indent = at.map(|at| (at, branches(&depths)));
        }
        table
    }

    /// From rows whose members are the columns, in the order they first appear.
    pub(crate) fn of_rows(rows: &[Map<String, Value>]) -> Self {
        let mut columns: Vec<String> = Vec::new();
        for name in rows.iter().flat_map(Map::keys) {
            if !columns.contains(name) {
                columns.push(name.clone());
            }
        }
        let cells = |row: &Map<String, Value>| columns.iter().map(|column| member(row, column)).collect();
        let rows = rows.iter().map(cells).collect();
        Self { columns, rows, indent: None }
    }

    pub(crate) fn columns(&self) -> &[String] {
        &self.columns
    }

    pub(crate) fn values(&self) -> &[Vec<Value>] {
        &self.rows
    }

    /// What each column would take: its widest cell, or the longest word of its header, which may break.
    fn natural_widths(&self) -> Vec<usize> {
        let of_header = |column: &String| column.split(['_', ' ']).map(measure_text_width).max().unwrap_or(0);
        let mut widths: Vec<usize> = self.columns.iter().map(of_header).collect();
        for (at, row) in self.rows.iter().enumerate() {
            for (column, (value, width)) in row.iter().zip(&mut widths).enumerate() {
                let indent = self.indent.as_ref().filter(|(indented, _)| *indented == column);
                let branch = indent
                    .and_then(|(_, branches)| branches.get(at))
                    .map_or(0, |branch| measure_text_width(branch));
                *width = (*width).max(measure_text_width(&cell(value)) + branch);
            }
        }
        widths
    }

    /// As text. On a terminal of `width` columns every row is one line; elsewhere nothing is cut.
    pub(crate) fn draw(&self, width: Option<usize>, bold_header: bool) -> String {
        if self.rows.is_empty() {
            return "(no rows)\n".to_owned();
        }
        if self.columns == ["value"] {
            return self.rows.iter().flatten().map(|value| cell(value) + "\n").collect();
        }
        let mut table = comfy_table::Table::new();
        table.load_style(NOTHING).set_truncation_indicator("…");
        table.set_header(self.columns.iter().map(|column| column.replace('_', " ").to_uppercase()));
        for (at, row) in self.rows.iter().enumerate() {
            let mut cells: Vec<String> = row.iter().map(cell).collect();
            if let Some((column, branches)) = &self.indent
                && let (Some(cell), Some(branch)) = (cells.get_mut(*column), branches.get(at))
            {
                cell.insert_str(0, branch);
            }
            let mut row = comfy_table::Row::from(cells);
            row.max_height(1);
            table.add_row(row);
        }
        table.set_content_arrangement(ContentArrangement::Disabled);
        let widths = width.map(|width| fitted(&self.natural_widths(), width));
        for (at, column) in table.column_iter_mut().enumerate() {
            column.set_padding((0, GAP));
            if let Some(width) = widths.as_ref().and_then(|widths| widths.get(at)) {
                column.set_constraint(ColumnConstraint::Absolute(Width::Fixed(width + GAP)));
            }
        }
        if let Some(width) = width.and_then(|width| u16::try_from(width).ok()) {
            table.set_width(width).set_content_arrangement(ContentArrangement::Dynamic);
        }
        let mut text = String::new();
        for (at, line) in table.lines().enumerate() {
            let line = line.trim_end();
            if at == 0 && bold_header {
                text.push_str("\x1b[1m");
                text.push_str(line);
                text.push_str("\x1b[0m");
            } else {
                text.push_str(line);
            }
            text.push('\n');
        }
        text
    }
}

/// Between two columns.
const GAP: u16 = 2;
/// No column is narrower, unless it has no more to say.
const NARROWEST: usize = 6;

/// Widths that together fit into `width`: the widest columns give way first, so that a long query is cut and a short
/// name is not.
fn fitted(natural: &[usize], width: usize) -> Vec<u16> {
    let gaps = usize::from(GAP) * natural.len();
    let mut widths = natural.to_vec();
    while widths.iter().sum::<usize>() + gaps > width {
        let Some(widest) = widths.iter_mut().max() else { break };
        if *widest <= NARROWEST {
            break;
        }
        *widest -= 1;
    }
    widths.into_iter().map(|width| u16::try_from(width).unwrap_or(u16::MAX)).collect()
}

/// By name; by JSON pointer where the column begins with a slash.
fn member(row: &Map<String, Value>, column: &str) -> Value {
    match row.get(column) {
        Some(value) => value.clone(),
        None if column.starts_with('/') => {
            Value::Object(row.clone()).pointer(column).cloned().unwrap_or_default()
        }
        None => Value::Null,
    }
}

/// The strokes of a tree whose rows come depth first: `├─ ` before a row that has a later sibling, `└─ ` before
/// the last one, `│  ` where an ancestor goes on.
fn branches(depths: &[usize]) -> Vec<String> {
    let goes_on = |at: usize, depth: usize| {
        depths[at + 1..].iter().take_while(|later| **later >= depth).any(|later| *later == depth)
    };
    depths
        .iter()
        .enumerate()
        .map(|(at, &depth)| {
            let mut strokes = String::new();
            for level in 1..depth {
                strokes.push_str(if goes_on(at, level) { "│  " } else { "   " });
            }
            if depth > 0 {
                strokes.push_str(if goes_on(at, depth) { "├─ " } else { "└─ " });
            }
            strokes
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use guichet_contract::action::Tree;

    use super::*;

    #[test]
    fn a_tree_is_drawn_with_its_strokes() {
        assert_eq!(branches(&[0, 1, 2, 2, 1, 0, 1]), ["", "├─ ", "│  ├─ ", "│  └─ ", "└─ ", "", "└─ "]);
    }

    #[test]
    fn a_view_chooses_rows_and_columns() {
        let value = json!({"items": [
            {"pid": 1, "depth": 0, "query": "begin", "secret": 1},
            {"pid": 22, "depth": 1, "query": "update\n  t"},
        ]});
        let view = View {
            rows: "/items".to_owned(),
            columns: vec!["pid".to_owned(), "query".to_owned()],
            tree: Some(Tree { depth: "depth".to_owned(), column: "pid".to_owned() }),
            row_actions: Vec::new(),
        };
        let table = Table::of(&value, Some(&view));
        assert_eq!(table.draw(None, false), "PID    QUERY\n1      begin\n└─ 22  update t\n");
        assert_eq!(table.values()[1], [json!(22), json!("update\n  t")]);
    }

    #[test]
    fn without_a_view_a_result_is_drawn_by_what_it_is() {
        for (value, drawn) in [
            (json!("done"), "done\n"),
            (json!([1, 2]), "1\n2\n"),
            (json!([]), "(no rows)\n"),
            (json!({"a": 1, "b": [1, "x"]}), "NAME  VALUE\na     1\nb     1, x\n"),
            (json!([{"a": 1}, {"b": null, "a": 2}]), "A  B\n1\n2\n"),
        ] {
            assert_eq!(Table::of(&value, None).draw(None, false), drawn, "{value}");
        }
    }

    #[test]
    fn on_a_terminal_a_row_is_one_line() {
        let value = json!([{"pid": 1, "query": "select something that is far too long for this line"}]);
        let drawn = Table::of(&value, None).draw(Some(40), false);
        assert_eq!(drawn.lines().count(), 2, "{drawn}");
        assert!(drawn.lines().all(|line| line.chars().count() <= 40), "{drawn}");
        assert!(drawn.contains('…'), "{drawn}");
    }
}
