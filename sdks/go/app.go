package guichet

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// ready is an action with everything that can be made before the first call.
type ready struct {
	*Action
	method    string
	segments  []string
	schemas   map[string]Schema
	validator *jsonschema.Schema
	hasBody   bool
	renamed   map[string]string
}

// App is a provider that is ready to answer: an http.Handler, to be served or mounted on a mux of one's own (with
// http.StripPrefix where it has a prefix).
type App struct{ offered atomic.Pointer[desk] }

// desk is what answers at a moment: what is offered, and what stays when something else is.
type desk struct {
	*lasting
	provider *Provider
	document []byte
	etag     string
	actions  []*ready
}

type lasting struct {
	keys   *Keys
	replay *replay
	places chan struct{}
	tasks  sync.WaitGroup
}

// App makes it ready. Its error is what is declared wrongly.
func (p *Provider) App(keys *Keys) (*App, error) {
	desk, err := p.desk(&lasting{keys: keys, replay: newReplay(p.clock), places: make(chan struct{}, p.callsAtOnce)})
	if err != nil {
		return nil, err
	}
	app := &App{}
	app.offered.Store(desk)
	return app, nil
}

func (p *Provider) desk(lasting *lasting) (*desk, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	document, err := encode(p.Document())
	if err != nil {
		return nil, err
	}
	desk := &desk{lasting: lasting, provider: p, document: document, etag: `"` + digestOfBytes(document) + `"`}
	for _, action := range p.actions {
		validator, err := p.validator(action)
		if err != nil {
			return nil, err
		}
		method, path := action.route()
		ready := &ready{action, method, strings.Split(path, "/"), map[string]Schema{}, validator, false, map[string]string{}}
		for name, member := range action.inputSchema()["properties"].(map[string]any) {
			ready.schemas[name] = member.(Schema)
			ready.hasBody = ready.hasBody || action.placeOf(name) == "body"
			if flat := action.flatName(name); flat != name {
				ready.renamed[name] = flat
			}
		}
		desk.actions = append(desk.actions, ready)
	}
	// A part that is written out goes before one that a member fills.
	slices.SortStableFunc(desk.actions, func(a, b *ready) int { return a.placeholders() - b.placeholders() })
	return desk, nil
}

func (r *ready) placeholders() int {
	return len(placeholders(strings.Join(r.segments, "/")))
}

// Renew offers from now on what another provider of the same name declares. Calls under way go on as they were begun, and the
// memory of changes stays; the next answer tells the gateway that the document is another. How many calls are performed at once
// stays as it was. After an error (another name, or what is declared wrongly) what was offered stays.
func (a *App) Renew(provider *Provider) error {
	before := a.desk()
	if provider.name != before.provider.name {
		return fmt.Errorf("the provider is called `%s` as long as it runs, not `%s`", before.provider.name, provider.name)
	}
	desk, err := provider.desk(before.lasting)
	if err == nil {
		a.offered.Store(desk)
	}
	return err
}

// desk is what answers at this moment.
func (a *App) desk() *desk { return a.offered.Load() }

// Stop: resumable actions are put away after their present step from now on: another process goes on.
func (a *App) Stop() { a.desk().replay.stop() }

// Drain waits until no change is under way, or the context ends.
func (a *App) Drain(ctx context.Context) error {
	a.Stop()
	done := make(chan struct{})
	go func() {
		a.desk().tasks.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return errors.New("the provider stopped before everything was finished")
	}
}

// ServeHTTP answers one call, to its end with what is offered at its beginning.
func (a *App) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.desk().serve(w, r) }

// serve answers one call. Who calls is settled before the body is read, so that a stranger costs nothing; the input is
// checked before the memory of changes is asked, so that a wrong call leaves no trace there.
func (a *desk) serve(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Guichet-Document", a.etag)
	switch {
	case r.Method == http.MethodGet && r.URL.Path == "/healthz":
		reply(w, http.StatusOK, "text/plain", []byte("ok\n"))
	case r.Method == http.MethodGet && r.URL.Path == "/openapi.json":
		a.serveDocument(w, r)
	default:
		if err := a.call(w, r); err != nil {
			replyProblem(w, &asActionError(err).Problem)
		}
	}
}

func (a *desk) serveDocument(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("ETag", a.etag)
	for _, tag := range strings.Split(strings.Join(r.Header.Values("If-None-Match"), ","), ",") {
		if tag = strings.TrimPrefix(strings.TrimSpace(tag), "W/"); tag == "*" || tag == a.etag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	reply(w, http.StatusOK, "application/json", a.document)
}
