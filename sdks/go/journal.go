package guichet

import (
	"encoding/json"
	"slices"
	"sync"
	"time"
)

const (
	// undoingStep is the step that says that a run failed, before anything is undone.
	undoingStep = "guichet: undoing"
	// stepsMax is how many steps, pauses and compensations a run has at most.
	stepsMax = 1_000
	// resultMax and journalMax are bytes of JSON.
	resultMax, journalMax = 64 << 10, 512 << 10
)

// changes wakes whoever waits for something to become true.
type changes struct {
	mutex sync.Mutex
	wake  chan struct{}
}

func newChanges() changes { return changes{wake: make(chan struct{})} }

// tell says that something has changed. The mutex is held.
func (c *changes) tell() {
	close(c.wake)
	c.wake = make(chan struct{})
}

// answerKind is how one piece of work ended.
type answerKind int

const (
	isLost answerKind = iota
	isDone
	isProblem
	isCancelled
	// Put away until then; whoever calls again goes on from the journal.
	isWaiting
	// Put away; whoever calls again goes on from the journal.
	isAbandoned
)

type answer struct {
	kind    answerKind
	result  json.RawMessage
	problem *Problem
	name    string
	until   string
}

func (a answer) isKept() bool { return a.kind != isWaiting && a.kind != isAbandoned }

func (a answer) weight() int {
	weight := 256 + len(a.result)
	if a.problem != nil {
		weight += len(a.problem.Detail)
	}
	return weight
}

// outcome is the last event of a stream; nothing is claimed of what is lost.
func (a answer) outcome() map[string]any {
	switch a.kind {
	case isDone:
		return map[string]any{"status": "succeeded", "result": a.result}
	case isProblem:
		return map[string]any{"status": "failed", "problem": a.problem}
	case isCancelled:
		return map[string]any{"status": "cancelled", "problem": a.problem}
	case isWaiting:
		return map[string]any{"status": "waiting", "name": a.name, "until": a.until}
	}
	return nil
}

// undoing is what is journaled before anything is undone.
type undoing struct {
	Problem Problem  `json:"problem"`
	Slept   []string `json:"slept"`
	Undo    []string `json:"undo"`
}

type compensation struct {
	name string
	work func() error
}

// journal is what one piece of work has done so far, as the gateway has made it durable; whether it shall stop; what undoes it.
// A handler that finished a step waits until a call of the gateway hands the step back. Nothing else says that it is durable.
type journal struct {
	changes
	// kept: the gateway keeps it; otherwise nobody hands steps back, and nothing is waited for.
	kept      bool
	durable   map[string]json.RawMessage
	toldAt    map[string]int
	named     map[string]bool
	slept     []string
	weight    int
	cancelled bool
	stopping  bool
	away      *answer
	undos     []compensation
}

func newJournal(kept bool) *journal {
	return &journal{
		changes: newChanges(), kept: kept, durable: map[string]json.RawMessage{}, toldAt: map[string]int{}, named: map[string]bool{},
	}
}

// handOver takes in what a call hands over. Answers from where in the story the caller has not heard it.
func (j *journal) handOver(steps map[string]json.RawMessage, cancelled bool) int {
	j.mutex.Lock()
	defer j.mutex.Unlock()
	position := 0
	for name, result := range steps {
		if _, known := j.durable[name]; !known {
			j.durable[name] = result
			j.weight += len(name) + len(result)
		}
		position = max(position, j.toldAt[name])
	}
	j.cancelled = j.cancelled || cancelled
	j.tell()
	return position
}

func (j *journal) stop() {
	j.mutex.Lock()
	defer j.mutex.Unlock()
	j.stopping = true
	j.tell()
}

func (j *journal) told(step string, position int) {
	j.mutex.Lock()
	defer j.mutex.Unlock()
	j.toldAt[step] = position
}

func (j *journal) look(name string) (json.RawMessage, bool) {
	j.mutex.Lock()
	defer j.mutex.Unlock()
	result, there := j.durable[name]
	return result, there
}

func (j *journal) isCancelled() bool {
	j.mutex.Lock()
	defer j.mutex.Unlock()
	return j.cancelled
}

// failure is why it failed, when it is being undone already.
func (j *journal) failure() *undoing {
	text, there := j.look(undoingStep)
	var failure undoing
	if !there || json.Unmarshal(text, &failure) != nil {
		return nil
	}
	return &failure
}

// undoing is what is journaled before anything is undone.
func (j *journal) undoing(problem Problem) undoing {
	j.mutex.Lock()
	defer j.mutex.Unlock()
	undoing := undoing{problem, slices.Clone(j.slept), []string{}}
	if undoing.Slept == nil {
		undoing.Slept = []string{}
	}
	for _, undo := range j.undos {
		undoing.Undo = append(undoing.Undo, undo.name)
	}
	return undoing
}

// takeName takes a name, which is taken once in an attempt.
func (j *journal) takeName(name string) error {
	if name == "" || len(name) >= 8 && name[:8] == "guichet:" {
		return Failed("`%s` is no name for a step", name)
	}
	j.mutex.Lock()
	defer j.mutex.Unlock()
	if j.named[name] {
		return Failed("two steps of this run are named `%s`", name).
			Next("tell the provider's owners: name each after what it is about, such as `copy orders`")
	}
	j.named[name] = true
	return nil
}

// hasRoom says whether one more step or pause has room, beside all that would undo what was done so far, with undos more of it.
func (j *journal) hasRoom(name string, undos int) error {
	j.mutex.Lock()
	defer j.mutex.Unlock()
	undos += len(j.undos)
	if undos > 0 {
		// One step says that it failed, before anything is undone.
		undos++
	}
	if !j.kept || len(j.durable)+undos < stepsMax {
		return nil
	}
	return Failed("`%s` is not begun: the journal of a run has room for %d steps, pauses and what undoes them, and this run has them all", name, stepsMax).
		Next("tell the provider's owners: do more in one step, and wait longer in one pause")
}

// fits says whether a result still fits. What undoes always does: it must not fail for that.
func (j *journal) fits(name string, result json.RawMessage) error {
	if !j.kept || name == undoingStep || string(result) == "null" {
		return nil
	}
	if len(result) > resultMax {
		return Failed("step `%s` is done, but its result has %d bytes, and a journal takes %d", name, len(result), resultMax).
			Next("give back less from the step: an id, not the thing")
	}
	j.mutex.Lock()
	defer j.mutex.Unlock()
	if j.weight+len(name)+len(result) > journalMax {
		return Failed("step `%s` is done, but the journal of this run is full (%d bytes)", name, journalMax).
			Next("make fewer steps, or give back less from each")
	}
	return nil
}

// until waits until look says so, at most this long; nil is for ever. Whether it did. The mutex is held while it looks.
func (j *journal) until(look func() bool, most <-chan time.Time) bool {
	for {
		j.mutex.Lock()
		found, wake := look(), j.wake
		j.mutex.Unlock()
		if found {
			return true
		}
		select {
		case <-wake:
		case <-most:
			return false
		}
	}
}

// putAway marks that the handler ends here.
func (j *journal) putAway(away answer) {
	j.mutex.Lock()
	defer j.mutex.Unlock()
	if j.away == nil {
		j.away = &away
	}
	j.tell()
}

func (j *journal) isAway() *answer {
	j.mutex.Lock()
	defer j.mutex.Unlock()
	return j.away
}

func (j *journal) nextUndo() (compensation, bool) {
	j.mutex.Lock()
	defer j.mutex.Unlock()
	if len(j.undos) == 0 {
		return compensation{}, false
	}
	last := j.undos[len(j.undos)-1]
	j.undos = j.undos[:len(j.undos)-1]
	return last, true
}
