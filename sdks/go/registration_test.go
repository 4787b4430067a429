package guichet

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestWhereATokenGoesAndHowLongAPauseIs(t *testing.T) {
	read := readVectors(t).Registering
	const own = "http://127.0.0.1:7100"
	for _, test := range read.Gateways {
		_, err := NewRegistration(test.URL, "secret-token", own, test.Insecure)
		if (err == nil) != test.Taken || tellsOf("secret", err) {
			t.Errorf("%+v: %v", test, err)
		}
	}
	for _, test := range read.Own {
		_, err := NewRegistration("https://gate", "secret-token", test.URL, false)
		if (err == nil) != test.Taken || tellsOf("secret", err) || tellsOf("se/cret", err) {
			t.Errorf("%+v: %v", test, err)
		}
	}
	log := logged(t)
	if keys, err := KeysFromGateway("http://ada:secret@127.0.0.1:1"); err != nil {
		t.Error(err)
	} else if _, _, err = keys.find("k4.pid.none"); err == nil || tellsOf("secret", err) || strings.Contains(log.String(), "secret") {
		t.Error(err, log)
	}
	if _, err := KeysFromGateway("ftp://ada:secret@gate"); err == nil || tellsOf("secret", err) {
		t.Error(err)
	}
	for _, test := range read.Leases {
		if err := new(Registration).LeaseSeconds(test.Seconds); (err == nil) != test.Taken {
			t.Errorf("%+v: %v", test, err)
		}
	}
	for _, test := range read.Pauses {
		registration := &Registration{leaseSeconds: test.LeaseSeconds}
		if pause := registration.pause(test.Failures); pause.Milliseconds() != test.Milliseconds {
			t.Errorf("%+v: %s", test, pause)
		}
	}
	pauses := make([]time.Duration, 50)
	for position := range pauses {
		pauses[position] = spreadOut(10 * time.Second)
	}
	if least, most := slices.Min(pauses), slices.Max(pauses); least < 8*time.Second || most > 10*time.Second || least == most {
		t.Errorf("%s to %s", least, most)
	}
}

func tellsOf(secret string, err error) bool {
	return err != nil && strings.Contains(err.Error(), secret)
}

func TestHowItRegistersIsToldByTheEnvironment(t *testing.T) {
	gateway, token := "GUICHET_GATEWAY=http://127.0.0.1:7000/", "GUICHET_TOKEN=t"
	read := func(pairs ...string) (Settings, error) {
		return ReadSettings(func(name string) string {
			for _, pair := range pairs {
				if known, value, _ := strings.Cut(pair, "="); known == name {
					return value
				}
			}
			return ""
		})
	}
	for _, good := range [][]string{{token}, {"GUICHET_TOKEN_FILE=/run/token"}, {token, "GUICHET_LEASE_SECONDS=10"}, {token, "GUICHET_LISTEN=0.0.0.0:1", "GUICHET_URL=http://10.0.0.1:1"}} {
		if settings, err := read(append(good, gateway)...); err != nil || settings.Registration == nil {
			t.Errorf("%v: %v", good, err)
		}
	}
	if settings, err := read(gateway); err != nil || settings.Registration != nil {
		t.Error(err)
	}
	for told, wrong := range map[string][]string{
		"no gateway":            {token, "GUICHET_PUBLIC_KEYS=" + readVectors(t).Token.Public},
		"set GUICHET_URL":       {token, gateway, "GUICHET_LISTEN=0.0.0.0:7100"},
		"cannot be told":        {token, gateway, "GUICHET_LISTEN=127.0.0.1:0"},
		"no number of seconds":  {token, gateway, "GUICHET_LEASE_SECONDS=soon"},
		"10 to 300 seconds":     {token, gateway, "GUICHET_LEASE_SECONDS=5"},
		"GUICHET_INSECURE=true": {token, "GUICHET_GATEWAY=http://gateway.example"},
		"is not of the form":    {token, gateway, "GUICHET_URL=7100"},
	} {
		if _, err := read(wrong...); err == nil || !strings.Contains(err.Error(), told) {
			t.Errorf("%v: %v", wrong, err)
		}
	}
}

// counter is a gateway that says what the test tells it to.
type counter struct {
	*httptest.Server
	mutex sync.Mutex
	calls []string
	said  []map[string]any
	// Each call is answered by the first of these, which goes unless it is the last.
	answers []http.HandlerFunc
	heard   chan struct{}
}

func (c *counter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var said map[string]any
	_ = json.Unmarshal(body, &said)
	c.mutex.Lock()
	c.calls = append(c.calls, r.Method+" "+r.URL.EscapedPath()+" "+r.Header.Get("Authorization"))
	c.said = append(c.said, said)
	answer := c.answers[0]
	if len(c.answers) > 1 {
		c.answers = c.answers[1:]
	}
	c.mutex.Unlock()
	answer(w, r)
	c.heard <- struct{}{}
}

func answers(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

const (
	taken = `{"provider": "shop", "instance": "x", "lease_until": "2026-11-22T00:00:00Z", "environment": "staging"}`
	no    = `{"title": "No", "status": 403, "code": "refused", "detail": "no policy permits it", "next": "ask ops"}`
)

func counts(t *testing.T, answers ...http.HandlerFunc) *counter {
	counter := &counter{answers: answers, heard: make(chan struct{}, 100)}
	counter.Server = httptest.NewServer(counter)
	t.Cleanup(counter.Close)
	return counter
}

// logged is what is on the log from now on.
func logged(t *testing.T) *bytes.Buffer {
	var log bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	t.Cleanup(func() { slog.SetDefault(before) })
	return &log
}

func TestItSaysThatItIsThereUntilItTakesLeave(t *testing.T) {
	log := logged(t)
	hangUp := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	gateway := counts(t, answers(403, no), answers(403, no), answers(500, "oh"), hangUp, answers(200, taken), answers(200, taken), answers(204, ""))
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("secret-one\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	registration, err := registrationWith(gateway.URL+"/prefix/", tokenOf(file), "http://127.0.0.1:7100/guichet/", false)
	if err != nil {
		t.Fatal(err)
	}
	// So that its pauses are a third of a second.
	registration.leaseSeconds = 1
	app := bench(t, (&shop{}).provider()).App
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		registration.keep(ctx, app)
	}()
	hear := func() {
		select {
		case <-gateway.heard:
		case <-time.After(5 * time.Second):
			t.Fatal("nothing more is said")
		}
	}
	hear()
	if err := os.WriteFile(file, []byte("secret-two\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		gateway.mutex.Lock()
		heard := len(gateway.calls)
		gateway.mutex.Unlock()
		if heard >= 6 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("it does not go on")
		}
	}
	stop()
	leaving := time.Now()
	<-ended
	if lingered := time.Since(leaving); lingered < linger || lingered > linger+3*time.Second {
		t.Errorf("it lingered for %s", lingered)
	}
	where := "/prefix/v1/providers/shop"
	want := []string{"PUT " + where + " Bearer secret-one"}
	for range 5 {
		want = append(want, "PUT "+where+" Bearer secret-two")
	}
	want = append(want, "DELETE "+where+"/instances/"+registration.Instance()+" Bearer secret-two")
	if !slices.Equal(gateway.calls, want) {
		t.Errorf("%q", gateway.calls)
	}
	said := gateway.said[5]
	if said["instance"] != registration.Instance() || said["url"] != "http://127.0.0.1:7100/guichet" || said["document"] != app.desk().etag || said["lease_seconds"] != 1.0 {
		t.Errorf("%v", said)
	}
	told := log.String()
	for _, once := range []string{"no policy permits it (refused): ask ops", "it answers 500", "msg=registered", "sends nothing more here"} {
		if strings.Count(told, once) != 1 {
			t.Errorf("%q is told %d times: %s", once, strings.Count(told, once), told)
		}
	}
	if strings.Contains(told, "secret") {
		t.Error(told)
	}
}

func TestATokenGoesToNobodyElse(t *testing.T) {
	log := logged(t)
	other := counts(t, answers(200, taken))
	gateway := counts(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL+r.URL.Path, http.StatusTemporaryRedirect)
	})
	registration, err := NewRegistration(gateway.URL, "secret-token", "http://127.0.0.1:7100", false)
	if err != nil {
		t.Fatal(err)
	}
	app := bench(t, (&shop{}).provider()).App
	if _, refused, err := registration.say(app); err == nil || refused || !strings.Contains(err.Error(), "307") {
		t.Error(err)
	}
	if len(other.calls) != 0 {
		t.Errorf("%q", other.calls)
	}
	registration.token = func() (string, error) { return "secret\x00token", nil }
	if _, _, err := registration.say(app); err == nil || strings.Contains(err.Error(), "secret") {
		t.Error(err)
	}
	gateway.Close()
	registration.token = tokenOf(filepath.Join(t.TempDir(), "none"))
	if _, _, err := registration.say(app); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Error(err)
	}
	if strings.Contains(log.String(), "secret") {
		t.Error(log)
	}
}

func TestItMountsBesideARouter(t *testing.T) {
	gateway := counts(t, answers(200, taken), answers(204, ""))
	shop := &shop{}
	bench := bench(t, shop.provider())
	registration, err := NewRegistration(gateway.URL, "token", "http://127.0.0.1:1/guichet", false)
	if err != nil {
		t.Fatal(err)
	}
	var hooks []string
	hook := func(name string) func(context.Context) error {
		return func(context.Context) error {
			hooks = append(hooks, name)
			return nil
		}
	}
	provider := shop.provider().AtStart(hook("start")).AtStop(func(ctx context.Context) error {
		// Who is told twice finishes all the same.
		toldToStop(t)
		time.Sleep(100 * time.Millisecond)
		return hook("stop")(ctx)
	})
	mounted, err := provider.Mount(Settings{Listen: freeAddress(t), Keys: bench.App.desk().keys, Registration: registration})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "at home") })
	mux.Handle(mounted.At("guichet/"))
	// Through the program's own router, a member with a slash in it comes as it was sent.
	bench.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.URL.Path, r.URL.RawPath = "/guichet"+r.URL.Path, "/guichet"+r.URL.EscapedPath()
		mux.ServeHTTP(w, r)
	})
	var heard stop
	if err := bench.Call("look", map[string]any{"identifier": "a/b c", "pid": 7}, &heard); err != nil || heard.Identifier != "a/b c" {
		t.Fatalf("%+v, %v", heard, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- mounted.ListenAndServe(context.Background(), mux) }()
	<-gateway.heard
	home := "http://" + mounted.Listen()
	for path, want := range map[string]string{"/": "at home", "/other": "at home", "/guichet/healthz": "ok\n"} {
		if told := get(t, home+path); told != want {
			t.Errorf("%s: %q", path, told)
		}
	}
	if !strings.Contains(get(t, home+"/guichet/openapi.json"), `"shop"`) {
		t.Error("there is no document")
	}
	toldToStop(t)
	<-gateway.heard
	if told := get(t, home+"/guichet/healthz"); told != "ok\n" {
		t.Errorf("it took leave and answers no more: %q", told)
	}
	if err := <-ended; err != nil || !slices.Equal(hooks, []string{"start", "stop"}) {
		t.Error(err, hooks)
	}
}

// toldToStop sends this process SIGTERM.
func toldToStop(t *testing.T) {
	process, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = process.Signal(syscall.SIGTERM)
	}
	if err != nil {
		t.Error(err)
	}
}

func TestASignalEndsAHookThatBegins(t *testing.T) {
	provider := (&shop{}).provider().AtStart(func(ctx context.Context) error {
		toldToStop(t)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Second):
			return nil
		}
	})
	bench := bench(t, (&shop{}).provider())
	if err := provider.Serve(context.Background(), Settings{Listen: freeAddress(t), Keys: bench.App.desk().keys}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func freeAddress(t *testing.T) string {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	return server.Listener.Addr().String()
}

func get(t *testing.T, url string) string {
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestFactsThatPoliciesRead(t *testing.T) {
	facts := (&shop{}).provider().actions[0].Fact("user", Of[string]()).Fact("pids", Of[[]int32]()).Fact("forced", Of[bool]())
	if err := facts.Check(); err != nil {
		t.Fatal(err)
	}
	said, err := plain(facts.document()["x-guichet"])
	if err != nil {
		t.Fatal(err)
	}
	declared := said.(map[string]any)["facts"].(map[string]any)
	if declared["user"].(map[string]any)["type"] != "string" || declared["pids"].(map[string]any)["items"].(map[string]any)["type"] != "integer" {
		t.Errorf("%v", declared)
	}
	for told, wrong := range map[string]*Action{
		"policies read no `float64`": (&shop{}).provider().actions[0].Fact("lag", Of[float64]()),
		"policies read no `[][]":     (&shop{}).provider().actions[0].Fact("all", Of[[][]string]()),
		"policies read no `[]uint8`": (&shop{}).provider().actions[0].Fact("key", Of[[]byte]()),
		"policies read no `*[]uint8": (&shop{}).provider().actions[0].Fact("key", Of[*[]byte]()),
		"told by plans":              New("x").Action("a", Do(func(*Context, NoInput) (int, error) { return 0, nil })).Fact("a", Of[int]()),
	} {
		if err := wrong.Check(); err == nil || !strings.Contains(err.Error(), told) {
			t.Errorf("%s: %v", told, err)
		}
	}
}
