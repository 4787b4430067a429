package guichet

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"time"
)

const (
	// parked is how long a handler waits to be told that its step is durable, before it is put away.
	parked = 5 * time.Minute
	// short: a pause that is shorter is waited for in memory.
	short     = 250 * time.Millisecond
	notUndone = "; NOT undone: "
)

// Context is one call: who asks, for which run, until when. It is a context.Context too: of a read or a plan it ends with the
// deadline and with the caller, of a change with neither.
type Context struct {
	context.Context
	operation string
	claims    *claims
	planned   string
	deadline  time.Time
	story     *story
	journal   *journal
	clock     func() time.Time
}

// Principal is who asks.
func (c *Context) Principal() Principal { return c.claims.principal() }

// Environment is the gateway's: production.
func (c *Context) Environment() string { return c.claims.Environment }

// Operation is the operationId that is called.
func (c *Context) Operation() string { return c.operation }

// Run is the run that is performed; empty for reads, and for a plan that belongs to no run yet.
func (c *Context) Run() string { return c.claims.run() }

// ApprovedBy are the people who approved this run.
func (c *Context) ApprovedBy() []string { return slices.Clone(c.claims.ApprovedBy) }

// Remaining is how long someone still waits for the answer.
func (c *Context) Remaining() time.Duration { return max(0, time.Until(c.deadline)) }

// Planned is what the approved plan was bound to ([Plan.BoundTo]); false when the call follows no such plan. Act on this and on
// nothing else.
func Planned[T any](c *Context) (bound T, there bool, err error) {
	if c.planned == "" {
		return bound, false, nil
	}
	text, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(c.planned, "="))
	if err != nil {
		return bound, false, Failed("the header Guichet-Plan is not base64url: %s", err)
	}
	if err := unmarshal(text, &bound); err != nil {
		return bound, false, Conflict("the plan was made by another version of this provider: %s", err).
			Next("run the command again to plan anew")
	}
	return bound, true, nil
}

// Log is a line for whoever follows the run; for actions that are not long it goes to the provider's log.
func (c *Context) Log(line string) {
	if c.story == nil {
		slog.Info(line, "operation", c.operation, "run", c.Run())
		return
	}
	if len(line) > keptLine {
		line = strings.ToValidUTF8(line[:keptLine], "")
	}
	c.story.tell("log", map[string]any{"line": line})
}

// Progress is how far it is, 0–100, and what it is doing; a negative number says that it cannot be told.
func (c *Context) Progress(percent float64, message string) {
	if c.story == nil {
		return
	}
	data := map[string]any{"percent": nil, "message": message}
	if percent >= 0 {
		data["percent"] = min(100, percent)
	}
	c.story.tell("progress", data)
}

// Note tells that something is done; nothing rests on it. [Step] does a step and keeps it.
func (c *Context) Note(name string, result any) {
	if c.story == nil {
		return
	}
	// Now, and not when somebody listens: what the handler changes later would be read while it is written.
	text, err := encode(result)
	if err != nil {
		slog.Error("a note's result cannot be written as JSON", "operation", c.operation, "run", c.Run(), "note", name, "error", err)
		text = []byte("null")
	}
	c.story.tell("step", map[string]any{"name": name, "state": "noted", "result": json.RawMessage(text)})
}

// Key is what to give to others as their idempotency key: {run}/{step}, the same each time this step is tried.
func (c *Context) Key(step string) string { return c.Run() + "/" + step }

// IsCancelled says whether somebody asked that this run be stopped. Steps and sleeps look by themselves.
func (c *Context) IsCancelled() bool { return c.journal.isCancelled() }

// Cancelled waits until somebody asks that this run be stopped, at most this long; whether somebody did. Answer with [Cancelled]
// then.
func (c *Context) Cancelled(most time.Duration) bool {
	return c.journal.until(func() bool { return c.journal.cancelled }, time.After(most))
}

// Step does a named step and gives its result; when this run did it before, gives that result and does nothing.
//
// Of a resumable action the result is durable before this returns. A step that was done while the process died before that is
// done again: give [Context.Key] to whoever else is called. Where a handler is put away its goroutine ends in here, with all that
// it deferred; so call it from the handler's own goroutine.
func Step[T any](c *Context, name string, work func() (T, error)) (T, error) {
	var done T
	if err := c.journal.takeName(name); err != nil {
		return done, err
	}
	if known, there := c.journal.look(name); there {
		if err := unmarshal(known, &done); err != nil {
			return done, Conflict("step `%s` was done by another version of this provider, whose result is another: %s", name, err)
		}
		return done, nil
	}
	if err := c.mayGoOn(); err != nil {
		return done, err
	}
	if err := c.journal.hasRoom(name, 0); err != nil {
		return done, err
	}
	if c.journal.kept && c.journal.until(func() bool { return c.journal.stopping }, closed) {
		c.goAway(answer{kind: isAbandoned})
	}
	c.tellStep(name, "began", nil)
	done, err := work()
	if err != nil {
		c.tellStep(name, "failed", asActionError(err).Problem.Detail)
		return done, err
	}
	result, err := encode(done)
	if err != nil {
		return done, Failed("step `%s` is done, but its result is no JSON: %s", name, err)
	}
	return done, c.makeDurable(name, result)
}

// Sleep waits this long from the first time it comes here. Of a resumable action the handler ends here and is called again when
// the time is over: nothing is held meanwhile.
func (c *Context) Sleep(name string, length time.Duration) error {
	return c.SleepUntil(name, c.clock().Add(length))
}

// SleepUntil waits until this moment, or, when this run came here before, until the moment it was given then.
func (c *Context) SleepUntil(name string, until time.Time) error {
	j := c.journal
	if err := j.takeName(name); err != nil {
		return err
	}
	var kept struct {
		Until time.Time `json:"until"`
	}
	text, known := j.look(name)
	if known && json.Unmarshal(text, &kept) == nil && !kept.Until.IsZero() {
		until = kept.Until
	}
	if failure := j.failure(); failure != nil && slices.Contains(failure.Slept, name) {
		c.slept(name)
		return nil
	}
	if err := c.mayGoOn(); err != nil {
		return err
	}
	left := until.Sub(c.clock())
	if j.kept && left > short {
		if !known {
			if err := j.hasRoom(name, 0); err != nil {
				return err
			}
		}
		c.goAway(answer{kind: isWaiting, name: name, until: until.UTC().Format(time.RFC3339Nano)})
	}
	_ = j.until(func() bool { return j.cancelled }, time.After(left))
	if err := c.mayGoOn(); err != nil {
		return err
	}
	c.slept(name)
	return nil
}

func (c *Context) slept(name string) {
	c.journal.mutex.Lock()
	defer c.journal.mutex.Unlock()
	c.journal.slept = append(c.journal.slept, name)
}

// Undo is what undoes what was done: it runs when the handler fails or is cancelled, the last one first. Say it before the step
// that may need it, or after: what is not said yet is not undone.
func (c *Context) Undo(name string, work func() error) error {
	j := c.journal
	if err := j.takeName("undo " + name); err != nil {
		return err
	}
	// On the way back it is there already, and room was kept for it.
	if j.failure() == nil {
		if err := j.hasRoom("undo "+name, 1); err != nil {
			return err
		}
	}
	j.mutex.Lock()
	defer j.mutex.Unlock()
	j.undos = append(j.undos, compensation{name, work})
	return nil
}

// closed is for a look without waiting.
var closed = func() <-chan time.Time {
	over := make(chan time.Time)
	close(over)
	return over
}()

// mayGoOn: nothing new is begun once it failed, shall stop, or was put away.
func (c *Context) mayGoOn() error {
	if c.journal.isAway() != nil {
		runtime.Goexit()
	}
	if failure := c.journal.failure(); failure != nil {
		return &ActionError{failure.Problem}
	}
	if c.IsCancelled() {
		return Cancelled()
	}
	return nil
}

// goAway ends the handler here; another call goes on from the journal.
func (c *Context) goAway(away answer) {
	c.journal.putAway(away)
	runtime.Goexit()
}

func (c *Context) tellStep(name, state string, result any) {
	if c.story == nil {
		return
	}
	data := map[string]any{"name": name, "state": state}
	if state != "began" {
		data["result"] = result
	}
	c.story.tell("step", data)
}

// makeDurable tells it, and waits until it comes back.
func (c *Context) makeDurable(name string, result json.RawMessage) error {
	j := c.journal
	if err := j.fits(name, result); err != nil {
		return err
	}
	c.tellStep(name, "done", result)
	if c.story == nil || !j.kept {
		return nil
	}
	isDurable := false
	j.until(func() bool {
		_, isDurable = j.durable[name]
		return isDurable || j.stopping
	}, time.After(parked))
	if !isDurable {
		c.goAway(answer{kind: isAbandoned})
	}
	return nil
}

// conclude is the end of a change: what its handler answered, and, when that is no success, what was undone.
func (c *Context) conclude(result json.RawMessage, err error) answer {
	j := c.journal
	failure := j.failure()
	if failure == nil && err == nil {
		return answer{kind: isDone, result: result}
	}
	var problem Problem
	wanted := []string{}
	if failure != nil {
		// What was journaled is why it failed; what it stumbles over on the way back is not.
		problem, wanted = failure.Problem, failure.Undo
	} else {
		problem = asActionError(err).Problem
	}
	problem = problem.begun()
	if undoing := j.undoing(problem); len(undoing.Undo) > 0 {
		if failure == nil {
			text, err := encode(undoing)
			if err == nil {
				err = c.makeDurable(undoingStep, text)
			}
			if err != nil {
				problem.Detail += "; " + asActionError(err).Problem.Detail
			}
		}
		c.undoAll(&problem, wanted)
	}
	if c.IsCancelled() {
		if problem.Code == "run-cancelled" && !strings.Contains(problem.Detail, notUndone) {
			return answer{kind: isCancelled}
		}
		return answer{kind: isCancelled, problem: &problem}
	}
	return answer{kind: isProblem, problem: &problem}
}

func (c *Context) undoAll(problem *Problem, wanted []string) {
	var left []string
	for undo, there := c.journal.nextUndo(); there; undo, there = c.journal.nextUndo() {
		wanted = slices.DeleteFunc(wanted, func(other string) bool { return other == undo.name })
		step := "undo " + undo.name
		if _, done := c.journal.look(step); done {
			continue
		}
		c.tellStep(step, "began", nil)
		err := undo.work()
		if err == nil {
			err = c.makeDurable(step, json.RawMessage("null"))
		}
		if err != nil {
			detail := asActionError(err).Problem.Detail
			c.tellStep(step, "failed", detail)
			left = append(left, undo.name+" ("+detail+")")
		}
	}
	// Only of a handler that takes another way each time.
	for _, name := range wanted {
		if _, done := c.journal.look("undo " + name); !done {
			left = append(left, name+" (not come by again)")
		}
	}
	if len(left) > 0 {
		problem.Detail += notUndone + strings.Join(left, ", ")
		problem.Next = "look at what is not undone, and undo it by hand"
	}
}
