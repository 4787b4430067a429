package guichet

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// world is what was done, by all processes together. Calls come one after the other.
type world struct{ did []string }

type buildInput struct {
	BreaksAt string `json:"breaks_at,omitempty"`
	Stays    string `json:"stays,omitempty"`
	Pause    int    `json:"pause,omitempty" doc:"Milliseconds."`
}

func (w *world) build(ctx *Context, input buildInput) ([]string, error) {
	var made []string
	for _, name := range []string{"a", "b", "c"} {
		if name == "c" && input.Pause > 0 {
			if err := ctx.Sleep("settle", time.Duration(input.Pause)*time.Millisecond); err != nil {
				return nil, err
			}
		}
		undo := func() error {
			if input.Stays == name {
				return Conflict("%s is in use", name)
			}
			w.did = append(w.did, "undo "+name)
			return nil
		}
		if err := ctx.Undo(name, undo); err != nil {
			return nil, err
		}
		result, err := Step(ctx, name, func() (string, error) {
			if input.BreaksAt == name {
				return "", Refused("%s breaks", name)
			}
			w.did = append(w.did, name)
			return name, nil
		})
		if err != nil {
			return nil, err
		}
		made = append(made, result)
	}
	return made, nil
}

func (w *world) bench(t *testing.T) *Bench {
	return bench(t, New("builder").Action("build", Do(w.build)).Resumable().Timeout(4*time.Hour).Done())
}

func (w *world) want(t *testing.T, did ...string) {
	t.Helper()
	if !slices.Equal(w.did, did) {
		t.Errorf("it did %v; want %v", w.did, did)
	}
}

func toItsEnd(t *testing.T, run *LongRun, bench *Bench) *Outcome {
	t.Helper()
	outcome, err := run.ToItsEnd(bench)
	if err != nil {
		t.Fatal(err)
	}
	return outcome
}

func TestEachCallMayMeetAnotherProcess(t *testing.T) {
	world, run := &world{}, NewLongRun("build", nil)
	for _, status := range []string{"noted", "noted", "noted", "succeeded"} {
		if outcome, err := run.Call(world.bench(t)); err != nil || outcome == nil || outcome.Status != status {
			t.Fatalf("%+v, %v; want %s", outcome, err, status)
		}
	}
	world.want(t, "a", "b", "c")
}

func TestAStepThatWasNotHandedBackIsToldAgainAndNotDoneAgain(t *testing.T) {
	world, run := &world{}, NewLongRun("build", nil)
	bench := world.bench(t)
	for range 2 {
		run.Journal = nil
		if _, err := run.Call(bench); err != nil {
			t.Fatal(err)
		}
	}
	world.want(t, "a")
	if !slices.Equal(run.Done, []string{"a", "a"}) {
		t.Error(run.Done)
	}
}

func TestAFailureUndoesInReverseAndSaysWhatStays(t *testing.T) {
	world := &world{}
	run := NewLongRun("build", map[string]any{"breaks_at": "c", "stays": "a"})
	outcome := toItsEnd(t, run, world.bench(t))
	if outcome.Status != "failed" || outcome.Problem.Detail != "c breaks; NOT undone: a (a is in use)" {
		t.Errorf("%+v", outcome)
	}
	world.want(t, "a", "b", "undo c", "undo b")
}

func TestUndoingGoesOnInAnotherProcessAlsoBehindAPause(t *testing.T) {
	world := &world{}
	run := NewLongRun("build", map[string]any{"breaks_at": "c", "pause": 400})
	first := world.bench(t)
	for run.Journal[undoingStep] == nil {
		outcome, err := run.Call(first)
		if err != nil {
			t.Fatal(err)
		}
		if outcome.Status == "waiting" {
			time.Sleep(450 * time.Millisecond)
		}
	}
	if outcome := toItsEnd(t, run, world.bench(t)); outcome.Problem.Detail != "c breaks" {
		t.Errorf("%+v", outcome)
	}
	world.want(t, "a", "b", "undo c", "undo b", "undo a")
}

func TestAPauseEndsTheCallAndACancelEndsThePause(t *testing.T) {
	world, run := &world{}, NewLongRun("build", map[string]any{"pause": 3_600_000})
	first := toItsEnd(t, run, world.bench(t))
	again := toItsEnd(t, run, world.bench(t))
	if first.Status != "waiting" || first.Name != "settle" || first.Until != again.Until {
		t.Fatalf("%+v, %+v", first, again)
	}
	run.Cancelled = true
	if outcome := toItsEnd(t, run, world.bench(t)); outcome.Status != "cancelled" || outcome.Problem != nil {
		t.Errorf("%+v", outcome)
	}
	world.want(t, "a", "b", "undo b", "undo a")
}

func TestAProcessThatEndsLeavesTheNextStepToAnother(t *testing.T) {
	world, run := &world{}, NewLongRun("build", nil)
	first := world.bench(t)
	if _, err := run.Call(first); err != nil {
		t.Fatal(err)
	}
	if err := first.App.Drain(context.Background()); err != nil {
		t.Fatal(err)
	}
	if outcome, err := run.Call(first); outcome != nil || err != nil {
		t.Fatalf("%+v, %v", outcome, err)
	}
	if outcome := toItsEnd(t, run, world.bench(t)); outcome.Status != "succeeded" {
		t.Errorf("%+v", outcome)
	}
	world.want(t, "a", "b", "c")
}

func TestNamesAreUniqueResultsSmallAndTheJournalBounded(t *testing.T) {
	number := func() (int, error) { return 1, nil }
	twice := func(ctx *Context, _ NoInput) (any, error) {
		if _, err := Step(ctx, "same", number); err != nil {
			return nil, err
		}
		return Step(ctx, "same", number)
	}
	large := func(ctx *Context, _ NoInput) (string, error) {
		return Step(ctx, "large", func() (string, error) { return strings.Repeat("x", 70_000), nil })
	}
	many := func(ctx *Context, _ NoInput) (any, error) {
		for step := range 1_001 {
			if _, err := Step(ctx, fmt.Sprint("step ", step), number); err != nil {
				return nil, err
			}
		}
		return nil, nil
	}
	bench := bench(t, New("odd").
		Action("twice", Do(twice)).Resumable().
		Action("large", Do(large)).Resumable().
		Action("many", Do(many)).Resumable().Done())
	full := NewLongRun("many", nil)
	full.Journal = map[string]json.RawMessage{}
	for step := range 1_000 {
		full.Journal[fmt.Sprint("step ", step)] = json.RawMessage("1")
	}
	for told, run := range map[string]*LongRun{
		"two steps of this run are named `same`": NewLongRun("twice", nil),
		"its result has 70002 bytes":             NewLongRun("large", nil),
		"has room for 1000 steps":                full,
	} {
		if outcome := toItsEnd(t, run, bench); outcome.Problem == nil || !strings.Contains(outcome.Problem.Detail, told) {
			t.Errorf("%+v; want %s", outcome, told)
		}
	}
}
