//! How a result is drawn, and where live values of a member come from.

use std::collections::BTreeMap;

use guichet_contract::action::{Options, Tree, View};

/// Draws a result as a table.
#[derive(Debug, Clone)]
pub struct Table(View);

/// A table whose rows are the array at this JSON pointer in the result: `""` when the result is the array.
pub fn table(rows: impl Into<String>) -> Table {
    Table(View { rows: rows.into(), columns: Vec::new(), tree: None, row_actions: Vec::new() })
}

impl Table {
    /// Members of a row to show, in order; all of them when never called.
    #[must_use]
    pub fn columns<T: Into<String>>(mut self, columns: impl IntoIterator<Item = T>) -> Self {
        self.0.columns = columns.into_iter().map(Into::into).collect();
        self
    }

    /// Rows come depth first, each with its depth (0 for a root) in member `depth`; `column` is indented by it.
    #[must_use]
    pub fn tree(mut self, depth: impl Into<String>, column: impl Into<String>) -> Self {
        self.0.tree = Some(Tree { depth: depth.into(), column: column.into() });
        self
    }

    /// Operations of this provider that apply to a row.
    #[must_use]
    pub fn row_actions<T: Into<String>>(mut self, operations: impl IntoIterator<Item = T>) -> Self {
        self.0.row_actions = operations.into_iter().map(Into::into).collect();
        self
    }
}

impl From<Table> for View {
    fn from(table: Table) -> Self {
        table.0
    }
}

/// Where live values of a member come from.
#[derive(Debug, Clone)]
pub struct OptionsFrom(Options);

/// Live values from the rows that this reading operation answers.
pub fn from(operation: impl Into<String>) -> OptionsFrom {
    OptionsFrom(Options {
        operation: operation.into(),
        with: BTreeMap::new(),
        rows: String::new(),
        value: String::new(),
        label: Vec::new(),
    })
}

impl OptionsFrom {
    /// JSON pointer to the rows in its result; the result itself when never called.
    #[must_use]
    pub fn rows(mut self, pointer: impl Into<String>) -> Self {
        self.0.rows = pointer.into();
        self
    }

    /// JSON pointer to the value in a row; the row itself when never called.
    #[must_use]
    pub fn value(mut self, pointer: impl Into<String>) -> Self {
        self.0.value = pointer.into();
        self
    }

    /// JSON pointer to something in a row that helps a person choose. May be called several times.
    #[must_use]
    pub fn label(mut self, pointer: impl Into<String>) -> Self {
        self.0.label.push(pointer.into());
        self
    }

    /// Member `theirs` of that operation's input takes the value of member `ours` of this one's.
    #[must_use]
    pub fn with(mut self, theirs: impl Into<String>, ours: impl Into<String>) -> Self {
        self.0.with.insert(theirs.into(), ours.into());
        self
    }
}

impl From<OptionsFrom> for Options {
    fn from(from: OptionsFrom) -> Self {
        from.0
    }
}
