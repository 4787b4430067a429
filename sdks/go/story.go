package guichet

import (
	"context"
	"fmt"
	"time"
)

const (
	// keptEvents are kept for late listeners, keptLine are bytes kept of a line.
	keptEvents, keptLine = 1_000, 4_096
	// keepAlive: a stream that has nothing to tell says so this often.
	keepAlive = 15 * time.Second
)

type told struct {
	name string
	data map[string]any
}

func (t told) isStepDone() bool { return t.name == "step" && t.data["state"] == "done" }

// story is what is told about one piece of work, for whoever listens, also for those who come late.
type story struct {
	changes
	journal *journal
	dropped int
	events  []told
	end     *answer
}

func newStory(journal *journal) *story { return &story{changes: newChanges(), journal: journal} }

// tell is one event; after the end nothing is told.
func (s *story) tell(name string, data map[string]any) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.end != nil {
		return
	}
	if len(s.events) == keptEvents {
		s.events = append([]told{}, s.events[1:]...)
		s.dropped++
	}
	event := told{name, data}
	s.events = append(s.events, event)
	if event.isStepDone() {
		// Before anybody can hear it: who hands the step back at once must not be told it a second time.
		s.journal.told(fmt.Sprint(data["name"]), s.dropped+len(s.events))
	}
	s.changes.tell()
}

// conclude is the end, once; a second end is not heard.
func (s *story) conclude(end answer) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.end == nil {
		s.end = &end
		s.changes.tell()
	}
}

func (s *story) ended() *answer {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.end
}

// next gives the events from position on, the end, and the position behind them, waiting for news. Nothing when time is over or
// the listener has gone.
func (s *story) next(ctx context.Context, position int, most time.Duration) ([]told, *answer, int) {
	timer := time.NewTimer(most)
	defer timer.Stop()
	for {
		s.mutex.Lock()
		var news []told
		if missed := s.dropped - position; missed > 0 {
			news = append(news, told{"log", map[string]any{"line": fmt.Sprintf("(%d earlier events are not kept)", missed)}})
		}
		news = append(news, s.events[min(len(s.events), max(0, position-s.dropped)):]...)
		end, behind, wake := s.end, s.dropped+len(s.events), s.wake
		s.mutex.Unlock()
		if len(news) > 0 || end != nil {
			return news, end, behind
		}
		select {
		case <-wake:
		case <-timer.C:
			return nil, nil, position
		case <-ctx.Done():
			return nil, nil, position
		}
	}
}
