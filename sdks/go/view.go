package guichet

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// ApprovalBy is who must say yes before an action runs; [Team] or [Owner] make it.
type ApprovalBy struct {
	by, because string
	count       int
	expires     time.Duration
}

// Team: a member of this team must approve.
func Team(name string) ApprovalBy { return ApprovalBy{by: "team:" + name, count: 1} }

// Owner: a member of the team that owns the resource must approve.
func Owner() ApprovalBy { return ApprovalBy{by: "owner", count: 1} }

// Count is how many distinct people, 1–20.
func (by ApprovalBy) Count(people int) ApprovalBy {
	by.count = people
	return by
}

// Because says why, in a few words, for the approver's card.
func (by ApprovalBy) Because(reason string) ApprovalBy {
	by.because = reason
	return by
}

// Expires is how long the request waits for people, between 1 minute and 30 days.
func (by ApprovalBy) Expires(length time.Duration) ApprovalBy {
	by.expires = length
	return by
}

func (by ApprovalBy) document() (map[string]any, error) {
	said := map[string]any{"by": by.by, "count": by.count}
	if by.because != "" {
		said["because"] = by.because
	}
	if by.count < 1 || by.count > 20 {
		return said, fmt.Errorf("approval by %d people: the count must be 1 to 20", by.count)
	}
	if name, team := strings.CutPrefix(by.by, "team:"); team && strings.TrimSpace(name) == "" {
		return said, errors.New("approval by a team without a name")
	}
	if by.expires != 0 {
		length, err := within(by.expires, time.Minute, 30*24*time.Hour)
		if err != nil {
			return said, fmt.Errorf("approval: %w", err)
		}
		said["expires"] = lengthText(length)
	}
	return said, nil
}

// Table draws a result as a table; [TableOf] makes it.
type Table struct {
	RowsAt  string   `json:"rows"`
	Shown   []string `json:"columns"`
	Indent  *indent  `json:"tree,omitempty"`
	Offered []string `json:"row_actions"`
}

type indent struct {
	Depth  string `json:"depth"`
	Column string `json:"column"`
}

// TableOf is a table whose rows are the array at this JSON pointer in the result: "" when the result is the array.
func TableOf(rows string) *Table { return &Table{RowsAt: rows, Shown: []string{}, Offered: []string{}} }

// Columns are members of a row to show, in order; all of them when never called.
func (t *Table) Columns(names ...string) *Table {
	t.Shown = names
	return t
}

// Tree: rows come depth first, each with its depth (0 for a root) in member depth; column is indented by it.
func (t *Table) Tree(depth, column string) *Table {
	t.Indent = &indent{depth, column}
	return t
}

// RowActions are operations of this provider that apply to a row.
func (t *Table) RowActions(operations ...string) *Table {
	t.Offered = operations
	return t
}

// OptionsFrom is where live values of a member come from; [From] makes it.
type OptionsFrom struct {
	operation, rows, value string
	labels                 []string
	given                  map[string]string
}

// From: live values from the rows that this reading operation answers.
func From(operation string) *OptionsFrom {
	return &OptionsFrom{operation: operation, labels: []string{}, given: map[string]string{}}
}

// Rows is a JSON pointer to the rows in its result; the result itself when never called.
func (o *OptionsFrom) Rows(pointer string) *OptionsFrom {
	o.rows = pointer
	return o
}

// Value is a JSON pointer to the value in a row; the row itself when never called.
func (o *OptionsFrom) Value(pointer string) *OptionsFrom {
	o.value = pointer
	return o
}

// Label is a JSON pointer to something in a row that helps a person choose. May be called several times.
func (o *OptionsFrom) Label(pointer string) *OptionsFrom {
	o.labels = append(o.labels, pointer)
	return o
}

// With: member theirs of that operation's input takes the value of member ours of this one's.
func (o *OptionsFrom) With(theirs, ours string) *OptionsFrom {
	o.given[theirs] = ours
	return o
}

func (o *OptionsFrom) document() Schema {
	return Schema{"operation": o.operation, "with": o.given, "rows": o.rows, "value": o.value, "label": o.labels}
}
