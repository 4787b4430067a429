package guichet

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
)

const (
	// bodyTime is how long a caller may take to send its body.
	bodyTime = 30 * time.Second
	// journalRoom is how much larger than the body alone it may be with a journal.
	journalRoom = 1 << 20
)

// work is one call, checked.
type work struct {
	*ready
	claims   *claims
	planned  string
	deadline time.Time
	input    []byte
}

func (a *desk) call(w http.ResponseWriter, r *http.Request) error {
	action, members, err := a.find(w, r)
	if err != nil {
		return err
	}
	mode, err := action.mode(r.Header.Get("Guichet-Mode"))
	if err != nil {
		return err
	}
	claims, err := a.verify(r.Header, action.operation)
	if err != nil {
		return err
	}
	handed := r.Header.Get("Guichet-Journal") != ""
	var body []byte
	if action.hasBody || handed {
		limit := a.provider.bodyLimit
		if handed {
			limit += journalRoom
		}
		if body, err = readBody(w, r, limit); err != nil {
			return err
		}
	}
	journal := map[string]json.RawMessage{}
	if handed {
		if body, journal, err = action.apart(body); err != nil {
			return err
		}
	}
	flat, digest, err := a.gather(action, members, r.URL, body)
	if err != nil {
		return err
	}
	key := r.Header.Get("Idempotency-Key")
	if mode != "read" {
		if err := claims.belong(mode, key, digest); err != nil {
			return err
		}
		if err := claims.hand(handed, journal); err != nil {
			return err
		}
	}
	if err := validate(action.validator, flat); err != nil {
		return err
	}
	input, err := encode(flat)
	if err != nil {
		return err
	}
	done := &work{action, claims, r.Header.Get("Guichet-Plan"), time.Now().Add(remaining(r, action.timeout)), input}
	switch {
	case mode == "plan":
		return a.look(w, r, done, a.plans)
	case mode == "read" && action.long:
		return a.streamRead(w, r, done)
	case mode == "read":
		return a.look(w, r, done, a.reads)
	case key == "":
		return problem("bad-request", "a change needs the header Idempotency-Key")
	case mode == "change":
		return a.change(w, r, done, replayKey{action.operation, key}, digest, journal)
	}
	return a.remembered(w, replayKey{action.operation, key}, digest, mode == "cancel")
}

func (a *desk) find(w http.ResponseWriter, r *http.Request) (*ready, map[string]string, error) {
	var others []string
	parts := strings.Split(r.URL.EscapedPath(), "/")
	for _, action := range a.actions {
		members, matches, err := match(action.segments, parts)
		switch {
		case err != nil:
			return nil, nil, err
		case matches && action.method == r.Method:
			return action, members, nil
		case matches:
			others = append(others, action.method)
		}
	}
	if len(others) > 0 {
		w.Header().Set("Allow", strings.Join(others, ", "))
		return nil, nil, problem("method-not-allowed", "%s is not offered with %s", r.URL.Path, r.Method)
	}
	return nil, nil, problem("not-found", "the provider has no operation at %s", r.URL.Path)
}

// match gives the path's members, when it is this one.
func match(segments, parts []string) (map[string]string, bool, error) {
	members := map[string]string{}
	if len(segments) != len(parts) {
		return nil, false, nil
	}
	for position, segment := range segments {
		part := parts[position]
		before, rest, filled := strings.Cut(segment, "{")
		if !filled {
			if segment != part {
				return nil, false, nil
			}
			continue
		}
		name, behind, _ := strings.Cut(rest, "}")
		if !strings.HasPrefix(part, before) || !strings.HasSuffix(part, behind) || len(part) <= len(before)+len(behind) {
			return nil, false, nil
		}
		text, err := url.PathUnescape(part[len(before) : len(part)-len(behind)])
		if err != nil || strings.ToValidUTF8(text, "") != text {
			return nil, false, problem("bad-request", "`%s` in the path is not UTF-8", name)
		}
		members[name] = text
	}
	return members, true, nil
}

func (a *ready) mode(said string) (string, error) {
	read := a.effectOf() == "read"
	switch {
	case said == "" || said == "perform":
		if read {
			return "read", nil
		}
		return "change", nil
	case said == "plan" && a.Action.plan != nil:
		return said, nil
	case said == "plan":
		return "", problem("not-offered", "operation `%s` makes no plans", a.operation)
	case (said == "outcome" || said == "cancel") && !read:
		return said, nil
	}
	return "", problem("bad-request", "`%s` is no Guichet-Mode here: plan, perform, outcome or cancel", said)
}

// belong: the token is for this run and this input, not only for this operation.
func (c *claims) belong(mode, key, digest string) error {
	switch {
	case c.Input == nil && mode != "plan":
		return denied("the token names no input, which a change needs")
	case c.Input != nil && *c.Input != digest:
		return denied("the token is for another input than the call carries")
	case mode == "plan":
		return nil
	case c.Run == nil:
		return denied("the token names no run, which a change needs")
	case *c.Run != key:
		return denied("the token is for another run than the header Idempotency-Key names")
	}
	return nil
}

// hand: the journal is the one that the token names.
func (c *claims) hand(handed bool, journal map[string]json.RawMessage) error {
	if !handed && c.Journal == nil {
		return nil
	}
	digest, err := digestOf(journal)
	if err != nil {
		return problem("bad-request", "the journal cannot be read: %s", err)
	}
	if !handed || c.Journal == nil || *c.Journal != digest {
		return denied("the token is for another journal than the call carries")
	}
	return nil
}

func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	tooLarge := problem("body-too-large", "the body is larger than the %d bytes this provider takes", limit)
	if r.ContentLength > limit {
		return nil, tooLarge
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTime))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	var over *http.MaxBytesError
	if errors.As(err, &over) {
		return nil, tooLarge
	}
	if err != nil {
		return nil, problem("bad-request", "the body cannot be read: %s", err)
	}
	return body, nil
}

// apart gives the body that the action takes, and the journal beside it.
func (a *ready) apart(body []byte) ([]byte, map[string]json.RawMessage, error) {
	if !a.resumable {
		return nil, nil, problem("bad-request", "operation `%s` keeps no journal", a.operation)
	}
	var both struct {
		Input   json.RawMessage            `json:"input"`
		Journal map[string]json.RawMessage `json:"journal"`
	}
	if err := json.Unmarshal(body, &both); err != nil {
		return nil, nil, problem("bad-request", "the journal cannot be read: %s", err)
	}
	if both.Journal == nil {
		return nil, nil, problem("bad-request", "the journal cannot be read: there is none in `journal`")
	}
	if string(both.Input) == "null" {
		both.Input = nil
	}
	return both.Input, both.Journal, nil
}

// gather gives the flat input with our names, and its digest with the gateway's.
func (a *desk) gather(action *ready, members map[string]string, from *url.URL, body []byte) (map[string]any, string, error) {
	flat := map[string]any{}
	if action.hasBody && len(body) > 0 {
		value, err := decode(body)
		if err != nil {
			return nil, "", problem("bad-request", "the body is not JSON: %s", err)
		}
		object, is := value.(map[string]any)
		if !is {
			return nil, "", problem("invalid-input", "the body is not a JSON object")
		}
		for name, value := range object {
			if _, known := action.schemas[name]; known && action.placeOf(name) != "body" {
				return nil, "", Invalid("/"+name, "it belongs in the path or query, not in the body")
			}
			flat[name] = value
		}
	}
	for name, text := range members {
		flat[name] = a.provider.schemas.texts(action.schemas[name], []string{text})
	}
	query, err := url.ParseQuery(from.RawQuery)
	if err != nil {
		return nil, "", problem("bad-request", "the query cannot be read: %s", err)
	}
	for name, texts := range query {
		if _, known := action.schemas[name]; !known || action.placeOf(name) != "query" {
			return nil, "", Invalid("/"+name, "there is no such member in the query")
		}
		flat[name] = a.provider.schemas.texts(action.schemas[name], texts)
	}
	named := map[string]any{}
	for name, value := range flat {
		if theirs, renamed := action.renamed[name]; renamed {
			name = theirs
		}
		named[name] = value
	}
	digest, err := digestOf(named)
	if err != nil {
		return nil, "", problem("bad-request", "the input cannot be digested: %s", err)
	}
	return flat, digest, nil
}

func remaining(r *http.Request, timeout time.Duration) time.Duration {
	said, err := strconv.ParseInt(r.Header.Get("Guichet-Deadline-Ms"), 10, 64)
	if err != nil || said < 0 {
		return timeout
	}
	// A day is the longest an action may take.
	return time.Duration(min(said, 86_400_000)) * time.Millisecond
}

func (w *work) context(ctx context.Context, a *desk, story *story, journal *journal) *Context {
	return &Context{ctx, w.operation, w.claims, w.planned, w.deadline, story, journal, a.provider.clock}
}

// change does the work once, in a goroutine of its own, and waits for its answer.
func (a *desk) change(w http.ResponseWriter, r *http.Request, do *work, key replayKey, digest string, journal map[string]json.RawMessage) error {
	story, first := a.replay.enter(key, digest, do.resumable)
	if story == nil {
		return problem("idempotency-conflict", "`%s` was used for this operation with another input", key.key)
	}
	position := story.journal.handOver(journal, r.Header.Get("Guichet-Cancel") != "")
	if first {
		position = 0
		if busy := a.takePlace(); busy != nil {
			a.replay.giveBack(key, answer{kind: isProblem, problem: &busy.Problem})
			return busy
		}
		a.tasks.Add(1)
		go func() {
			defer a.tasks.Done()
			end := a.perform(do, story)
			<-a.places
			a.replay.finish(key, end, do.resumable)
		}()
	}
	if do.long {
		stream(w, r, story, position)
		return nil
	}
	// No deadline here: an answer «too late» would read as «not done».
	for end := story.ended(); ; end = story.ended() {
		if end != nil {
			replyAnswer(w, *end)
			return nil
		}
		if r.Context().Err() != nil {
			return nil
		}
		_, _, _ = story.next(r.Context(), 1<<62, keepAlive)
	}
}

// perform is a change to its end with all that is undone, or until it is put away.
func (a *desk) perform(do *work, story *story) answer {
	told := story
	if !do.long {
		told = nil
	}
	ctx := do.context(context.Background(), a, told, story.journal)
	ended := make(chan answer, 1)
	go func() {
		end, concluded := answer{kind: isLost}, false
		defer func() {
			if broken := recover(); broken != nil {
				slog.Error("the handler broke", "operation", do.operation, "panic", broken, "stack", string(debug.Stack()))
			} else if away := story.journal.isAway(); away != nil && !concluded {
				end = *away
			}
			ended <- end
		}()
		value, err := do.Action.perform.call(ctx, do.input)
		var result json.RawMessage
		if err == nil {
			result, err = encode(value)
			switch {
			case err == nil:
			case do.resumable:
				// It would be the same each time it is called again: it fails, and what its steps did is undone.
				err = Failed("done, but the result cannot be written as JSON: %s", err)
			default:
				// It is done: a problem would say «not done».
				slog.Error("done, but the result cannot be written as JSON", "operation", do.operation, "run", ctx.Run(), "error", err)
				return
			}
		}
		end = ctx.conclude(result, err)
		concluded = true
	}()
	return <-ended
}

// look does a read or a plan: within the deadline, and only as long as someone listens.
func (a *desk) look(w http.ResponseWriter, r *http.Request, do *work, looking func(*Context, *work) answer) error {
	if busy := a.takePlace(); busy != nil {
		return busy
	}
	if end := a.looked(r, do, nil, looking); r.Context().Err() == nil {
		replyAnswer(w, end)
	}
	return nil
}

// looked gives the place that its caller took back when the handler is over, whoever waits for it.
func (a *desk) looked(r *http.Request, do *work, story *story, looking func(*Context, *work) answer) answer {
	ctx, cancel := context.WithDeadline(r.Context(), do.deadline)
	defer cancel()
	ended := make(chan answer, 1)
	go func() {
		defer func() { <-a.places }()
		end := answer{kind: isProblem, problem: broken()}
		defer func() {
			if broken := recover(); broken != nil {
				slog.Error("the handler broke", "operation", do.operation, "panic", broken, "stack", string(debug.Stack()))
			}
			ended <- end
		}()
		end = looking(do.context(ctx, a, story, newJournal(false)), do)
	}()
	select {
	case end := <-ended:
		return end
	case <-ctx.Done():
		late := problem("provider-silent", "the provider had no answer before the call's deadline")
		return answer{kind: isProblem, problem: &late.Next("try again; ask for less, if that can be").Problem}
	}
}

func (a *desk) reads(ctx *Context, do *work) answer {
	return answered(do.Action.perform.call(ctx, do.input))
}

func (a *desk) plans(ctx *Context, do *work) answer {
	plan, err := do.Action.plan.call(ctx, do.input)
	if err == nil {
		if name, twice := plan.repeated(); twice {
			err = Failed("the plan has more than one fact called `%s`, and no gateway takes it", name).
				Next("make it one fact with a list, or name each apart")
		}
	}
	return answered(plan, err)
}

func answered(value any, err error) answer {
	if err == nil {
		var result json.RawMessage
		if result, err = encode(value); err == nil {
			return answer{kind: isDone, result: result}
		}
	}
	why := asActionError(err).Problem.begun()
	return answer{kind: isProblem, problem: &why}
}

func (a *desk) streamRead(w http.ResponseWriter, r *http.Request, do *work) error {
	if busy := a.takePlace(); busy != nil {
		return busy
	}
	story := newStory(newJournal(false))
	go func() { story.conclude(a.looked(r, do, story, a.reads)) }()
	stream(w, r, story, 0)
	return nil
}

// remembered is what is known of a change, without doing it; when it is under way, it may be told to stop.
func (a *desk) remembered(w http.ResponseWriter, key replayKey, digest string, cancel bool) error {
	story, since := a.replay.look(key, digest)
	known := map[string]any{"known": story != nil}
	switch {
	case story == nil && a.provider.oneProcess:
		// Another process may know what this one does not.
		known["remembers_since"] = since.UTC().Format(time.RFC3339Nano)
	case story != nil:
		if cancel {
			story.journal.handOver(nil, true)
		}
		if end := story.ended(); end != nil {
			known["outcome"] = end.outcome()
		} else {
			known["under_way"] = true
		}
	}
	text, err := encode(known)
	if err != nil {
		return err
	}
	reply(w, http.StatusOK, "application/json", text)
	return nil
}

// takePlace takes one of the places for calls; when none is free it says so.
func (a *desk) takePlace() *ActionError {
	select {
	case a.places <- struct{}{}:
		return nil
	default:
	}
	return problem("provider-busy", "provider `%s` performs as many calls as it may; nothing was done", a.provider.name).
		Next("try again in a moment")
}

func broken() *Problem {
	return &Failed("the provider broke while it worked on this; its log says more").Next("tell the owners of the provider").Problem
}
