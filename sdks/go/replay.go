package guichet

import (
	"container/list"
	"sync"
	"time"
)

// Bounds of the memory of changes. What is under way is never forgotten.
const (
	rememberedEntries = 10_000
	rememberedBytes   = 64 << 20
	rememberedFor     = 24 * time.Hour
)

type replayKey struct{ operation, key string }

type entry struct {
	digest  string
	story   *story
	endedAt time.Time
	weight  int
	place   *list.Element
}

// replay is the memory of changes by Idempotency-Key: the same call twice is done once and answered twice.
type replay struct {
	mutex   sync.Mutex
	clock   func() time.Time
	entries map[replayKey]*entry
	// ended has the keys of ended entries, the longest unused first.
	ended    *list.List
	weight   int
	since    time.Time
	stopping bool
}

func newReplay(clock func() time.Time) *replay {
	return &replay{clock: clock, entries: map[replayKey]*entry{}, ended: list.New(), since: clock()}
}

// stop: the process ends: what keeps a journal is put away after its present step, and goes on in another.
func (r *replay) stop() {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.stopping = true
	for _, entry := range r.entries {
		entry.story.journal.stop()
	}
}

// look is what is known of a call, without making it; and since when what was called would be known.
func (r *replay) look(key replayKey, digest string) (*story, time.Time) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if entry, known := r.entries[key]; known && entry.digest == digest {
		return entry.story, r.since
	}
	return nil, r.since
}

// enter is the story of this call and whether it is new; no story where the key was used with another input.
func (r *replay) enter(key replayKey, digest string, kept bool) (*story, bool) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.forgetOld()
	if entry, known := r.entries[key]; known {
		if entry.place != nil {
			r.ended.MoveToBack(entry.place)
		}
		if entry.digest != digest {
			return nil, false
		}
		return entry.story, false
	}
	journal := newJournal(kept)
	journal.stopping = r.stopping
	story := newStory(journal)
	r.entries[key] = &entry{digest: digest, story: story}
	return story, true
}

// finish ends the work with this answer, which is kept when it is an end.
func (r *replay) finish(key replayKey, end answer, resumable bool) {
	if !end.isKept() || (resumable && end.kind == isLost) {
		r.giveBack(key, end)
		return
	}
	r.mutex.Lock()
	entry := r.entries[key]
	entry.endedAt, entry.weight, entry.place = r.clock(), end.weight(), r.ended.PushBack(key)
	r.weight += entry.weight
	for r.ended.Len() > rememberedEntries || (r.weight > rememberedBytes && r.ended.Len() > 0) {
		r.forgetOldest()
	}
	r.mutex.Unlock()
	entry.story.conclude(end)
}

// giveBack: nothing was begun, or it goes on elsewhere: forgets the key, and tells whoever joined meanwhile.
func (r *replay) giveBack(key replayKey, end answer) {
	r.mutex.Lock()
	entry := r.entries[key]
	delete(r.entries, key)
	r.mutex.Unlock()
	entry.story.conclude(end)
}

func (r *replay) forgetOld() {
	for front := r.ended.Front(); front != nil; front = r.ended.Front() {
		if r.clock().Sub(r.entries[front.Value.(replayKey)].endedAt) <= rememberedFor {
			return
		}
		r.forgetOldest()
	}
}

func (r *replay) forgetOldest() {
	front := r.ended.Front()
	key := front.Value.(replayKey)
	entry := r.entries[key]
	r.ended.Remove(front)
	delete(r.entries, key)
	r.weight -= entry.weight
	if entry.endedAt.After(r.since) {
		r.since = entry.endedAt
	}
}
