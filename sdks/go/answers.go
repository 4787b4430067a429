package guichet

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
)

const (
	problemKind = "application/problem+json"
	lostText    = "the provider stopped while it performed this run; nobody knows how far it came\n"
)

// stream tells the story as server-sent events.
func stream(w http.ResponseWriter, r *http.Request, story *story, position int) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	out := http.NewResponseController(w)
	_ = out.Flush()
	for r.Context().Err() == nil {
		var news []told
		var end *answer
		news, end, position = story.next(r.Context(), position, keepAlive)
		var text bytes.Buffer
		done := false
		for _, event := range news {
			writeEvent(&text, event)
			done = done || event.isStepDone()
		}
		over := end != nil
		if over {
			// Lost work ends without an outcome: the gateway takes that as unknown.
			if outcome := end.outcome(); outcome != nil {
				writeEvent(&text, told{"outcome", outcome})
			}
		} else if done && story.journal.kept {
			// A step that must be durable ends the stream: the call that hands it back goes on.
			writeEvent(&text, told{"outcome", map[string]any{"status": "noted"}})
			over = true
		}
		if text.Len() == 0 {
			text.WriteString(": keep-alive\n\n")
		}
		if _, err := w.Write(text.Bytes()); err != nil || out.Flush() != nil || over {
			return
		}
	}
}

func writeEvent(out *bytes.Buffer, event told) {
	data, err := encode(event.data)
	if err != nil {
		data = []byte("{}")
	}
	fmt.Fprintf(out, "event: %s\ndata: %s\n\n", event.name, data)
}

func replyAnswer(w http.ResponseWriter, end answer) {
	switch end.kind {
	case isDone:
		if string(end.result) == "null" {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		reply(w, http.StatusOK, "application/json", end.result)
	case isProblem, isCancelled:
		said := end.problem
		if said == nil {
			said = &Cancelled().Problem
		}
		replyProblem(w, said)
	default:
		// No problem+json: a problem would mean «not done». A bare 504 means that nobody knows.
		reply(w, http.StatusGatewayTimeout, "text/plain; charset=utf-8", []byte(lostText))
	}
}

func replyProblem(w http.ResponseWriter, said *Problem) {
	if said.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	text, err := encode(said)
	if err != nil {
		text = []byte("{}")
	}
	reply(w, said.Status, problemKind, text)
}

func reply(w http.ResponseWriter, status int, kind string, body []byte) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
