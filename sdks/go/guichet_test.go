package guichet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

type vectors struct {
	Canonical []struct{ JSON, Canonical, Digest string } `json:"canonical"`
	NotJSON   []string                                   `json:"not_json"`
	Token     struct {
		Public, Kid, Token string
		At                 time.Time
		Claims             map[string]any
	} `json:"token"`
	Registering struct {
		Gateways []struct {
			URL             string
			Insecure, Taken bool
		}
		Own []struct {
			URL   string
			Taken bool
		}
		Leases []struct {
			Seconds int
			Taken   bool
		}
		Pauses []struct {
			LeaseSeconds int `json:"lease_seconds"`
			Failures     int
			Milliseconds int64
		}
	} `json:"registering"`
}

// What both sides must write alike: the vectors that the gateway's own tests hold too.
func readVectors(t *testing.T) (read vectors) {
	text, err := os.ReadFile("../vectors.json")
	if err == nil {
		err = json.Unmarshal(text, &read)
	}
	if err != nil {
		t.Fatal(err)
	}
	return read
}

func TestCanonicalJSON(t *testing.T) {
	read := readVectors(t)
	for _, test := range read.Canonical {
		value, err := decode([]byte(test.JSON))
		if err != nil {
			t.Errorf("%s: %s", test.JSON, err)
			continue
		}
		if text, err := canonical(value); err != nil || text != test.Canonical {
			t.Errorf("%s: %s, %v; want %s", test.JSON, text, err, test.Canonical)
		}
		if digest, _ := digestOf(value); digest != test.Digest {
			t.Errorf("%s: %s; want %s", test.JSON, digest, test.Digest)
		}
	}
	for _, text := range read.NotJSON {
		if value, err := decode([]byte(text)); err == nil {
			t.Errorf("%s is taken as %v", text, value)
		}
	}
}

func TestTheTokenOfThePage(t *testing.T) {
	told := readVectors(t).Token
	keys, err := FixedKeys(told.Public)
	if err != nil {
		t.Fatal(err)
	}
	if _, known, _ := keys.find(told.Kid); !known {
		t.Fatalf("the key is not called %s", told.Kid)
	}
	app, err := New("greeter").Clock(func() time.Time { return told.At }).App(keys)
	if err != nil {
		t.Fatal(err)
	}
	claims, err := app.desk().verify(map[string][]string{"Authorization": {"Bearer " + told.Token}}, "say-hello")
	if err != nil || claims.Sub != "ada" || claims.run() != told.Claims["run"] {
		t.Fatalf("%+v, %v", claims, err)
	}
}

type stop struct {
	Identifier string   `json:"identifier" doc:"Which instance."`
	Pid        int32    `json:"pid" schema:"minimum=1"`
	Force      bool     `json:"force,omitempty"`
	Tags       []string `json:"tags,omitempty"`
	Timeout    *int     `json:"timeout"`
}

type shop struct {
	mutex   sync.Mutex
	stopped []int32
}

func (s *shop) did() []int32 {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return slices.Clone(s.stopped)
}

func (s *shop) stop(_ *Context, input stop) (map[string]any, error) {
	switch input.Identifier {
	case "slow":
		time.Sleep(200 * time.Millisecond)
	case "broken":
		panic("broken")
	case "none":
		return nil, NotFound("there is no `none`").Next("look at the list")
	case "passed on":
		return nil, problem("provider-busy", "the other has no room").Next("try again")
	case "plain":
		return nil, errors.New("no disk")
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.stopped = append(s.stopped, input.Pid)
	return map[string]any{"pid": input.Pid}, nil
}

func (s *shop) provider() *Provider {
	look := func(_ *Context, input stop) (stop, error) { return input, nil }
	plan := func(_ *Context, input stop) (*Plan, error) {
		return NewPlan(fmt.Sprintf("Stop %d", input.Pid)).Fact("user", "ada").Fact("user", "bob"), nil
	}
	return New("shop").
		Action("stop", Do(s.stop)).Plan(Planning(plan)).Approval(Team("dba").Count(2).Because("it hurts").Expires(2*time.Hour)).
		Resource("postgres/{identifier}").Timeout(15*time.Minute).Example("One", map[string]any{"identifier": "a", "pid": 7}).
		Action("look", Do(look)).Route("GET", "/instances/{identifier}").
		Done()
}

func bench(t *testing.T, provider *Provider) *Bench {
	t.Helper()
	bench, err := NewBench(provider)
	if err != nil {
		t.Fatal(err)
	}
	return bench
}

func TestTheWholeDeclarationIsInTheDocument(t *testing.T) {
	text, err := encode((&shop{}).provider().Document())
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{
		`"approval":{"because":"it hurts","by":"team:dba","count":2,"expires":"2h"}`,
		`"timeout":"15m"`, `"plan":true`, `"remembers":true`, `"resource":"postgres/{identifier}"`,
		`"description":"Which instance."`, `"maximum":2147483647,"minimum":1`, `"name":"body_timeout"`,
		`"required":["identifier","pid"]`, `"type":["integer","null"]`, `"additionalProperties":false`,
		`"x-guichet":{"provider":"shop"}`, `"effect":"read"`,
	} {
		if !strings.Contains(string(text), part) {
			t.Errorf("the document has no %s: %s", part, text)
		}
	}
}

func TestWhatIsDeclaredWronglyIsTold(t *testing.T) {
	nothing := Do(func(*Context, NoInput) (any, error) { return nil, nil })
	named := Do(func(*Context, stop) (any, error) { return nil, nil })
	text := Do(func(*Context, string) (any, error) { return nil, nil })
	for told, wrong := range map[string]*Action{
		"no name for a provider":  New("Wrong").Action("a", nothing),
		"lower-case letters":      New("x").Action("Wrong", nothing),
		"declared twice":          New("x").Action("a", nothing).Action("a", nothing),
		"`{nme}`":                 New("x").Action("a", named).Resource("queues/{nme}"),
		"a read has neither":      New("x").Action("a", nothing).Read().Approval(Owner()),
		"cannot be a GET":         New("x").Action("a", nothing).Route("GET", "/a").Change(),
		"is outside":              New("x").Action("a", nothing).Timeout(25 * time.Hour),
		"without a name":          New("x").Action("a", nothing).Approval(Team(" ")),
		"no read":                 New("x").Action("a", named).Options("identifier", From("b")),
		"example `x`":             New("x").Action("a", named).Example("x", map[string]any{"identifier": 7}),
		"is no struct":            New("x").Action("a", text),
		"journal travels in the":  New("x").Action("a", nothing).Read().Resumable(),
		"is no action of this":    New("x").Action("a", nothing).Undo("b", nil),
		"and it takes `guichet.s": New("x").Action("a", named).Plan(Planning(func(*Context, NoInput) (*Plan, error) { return nil, nil })),
	} {
		if err := wrong.Check(); err == nil || !strings.Contains(err.Error(), told) {
			t.Errorf("%s: %v", told, err)
		}
	}
}

func TestAReadGathersPathAndQuery(t *testing.T) {
	bench := bench(t, (&shop{}).provider())
	input := map[string]any{"identifier": "a/b c", "pid": 7, "force": true, "tags": []any{"1", "b"}}
	var heard stop
	if err := bench.Call("look", input, &heard); err != nil || !reflect.DeepEqual(heard, stop{"a/b c", 7, true, []string{"1", "b"}, nil}) {
		t.Fatalf("%+v, %v", heard, err)
	}
}

func TestAnotherDocumentIsOfferedWhileItRuns(t *testing.T) {
	slow, over := make(chan bool), make(chan bool)
	wait := func(*Context, NoInput) (string, error) {
		slow <- true
		<-over
		return "done", nil
	}
	say := func(*Context, NoInput) (string, error) { return "said", nil }
	before := bench(t, New("talker").Action("wait", Do(wait)).Done())
	tag := before.App.desk().etag
	first := make(chan string)
	go func() { first <- before.Send(context.Background(), Sent{Operation: "wait", Run: "one"}).Body.String() }()
	<-slow
	if before.App.Renew(New("talker").Action("Wrong", Do(say)).Done()) == nil || before.App.Renew(New("other").Action("say", Do(say)).Done()) == nil {
		t.Fatal("what is wrong is taken")
	}
	if before.App.desk().etag != tag {
		t.Fatal("after an error something else is offered")
	}
	if err := before.App.Renew(New("talker").Action("say", Do(say)).Done()); err != nil {
		t.Fatal(err)
	}
	close(over)
	if told := <-first; told != `"done"` {
		t.Error("the call under way", told)
	}
	var said string
	if err := before.Call("say", nil, &said); err != nil || said != "said" {
		t.Error(said, err)
	}
	answer := before.Send(context.Background(), Sent{Operation: "say"})
	if now := answer.Header().Get("Guichet-Document"); now == tag || now != before.App.desk().etag {
		t.Errorf("the gateway is not told: %s", now)
	}
	if err := before.App.Drain(context.Background()); err != nil {
		t.Error(err)
	}
}

type level uint8

func (l level) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "level %d", l), nil }

type blob struct {
	Data   []byte   `json:"data" doc:"What is kept."`
	Parts  [][]byte `json:"parts,omitempty"`
	Sign   *[]byte  `json:"sign"`
	Seal   [2]byte  `json:"seal"`
	Levels []level  `json:"levels,omitempty" schema:"maxItems=0"`
}

func TestBytesAreTextsInBase64(t *testing.T) {
	keep := func(_ *Context, input blob) (blob, error) { return input, nil }
	provider := New("keeper").Action("keep", Do(keep)).Done()
	document, err := encode(provider.Document())
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{
		`"data":{"contentEncoding":"base64","description":"What is kept.","type":"string"}`,
		`"parts":{"items":{"contentEncoding":"base64","type":"string"},"type":"array"}`,
		`"sign":{"contentEncoding":"base64","type":["string","null"]}`,
		`"seal":{"items":{"maximum":255,"minimum":0,"type":"integer"},"type":"array"}`,
		`"levels":{"items":{"maximum":255,"minimum":0,"type":"integer"},"maxItems":0,"type":"array"}`,
	} {
		if !strings.Contains(string(document), part) {
			t.Errorf("the document has no %s: %s", part, document)
		}
	}
	bench := bench(t, provider)
	input := map[string]any{"data": "aGkA/w==", "parts": []any{"aGk=", ""}, "seal": []any{1, 2}}
	var heard blob
	if err := bench.Call("keep", input, &heard); err != nil || string(heard.Data) != "hi\x00\xff" || string(heard.Parts[0]) != "hi" {
		t.Fatalf("%+v, %v", heard, err)
	}
	for pointer, data := range map[string]map[string]any{
		"/data":    {"data": "not base64!", "seal": []any{1, 2}},
		"/parts/1": {"data": "", "parts": []any{"aGk=", "a"}, "seal": []any{1, 2}},
	} {
		err := bench.Call("keep", data, nil)
		var wrong *ActionError
		if !errors.As(err, &wrong) || wrong.Problem.Status != 422 || wrong.Problem.Errors[0].Pointer != pointer {
			t.Errorf("%s: %+v", pointer, err)
		}
	}
}

func TestTheSameKeyIsDoneOnce(t *testing.T) {
	shop := &shop{}
	bench := bench(t, shop.provider())
	sent := Sent{Operation: "stop", Input: map[string]any{"identifier": "slow", "pid": 7}, Run: "one"}
	answers := make(chan string, 2)
	for range 2 {
		go func() { answers <- bench.Send(context.Background(), sent).Body.String() }()
	}
	if first, second := <-answers, <-answers; first != `{"pid":7}` || first != second || len(shop.did()) != 1 {
		t.Fatalf("%s, %s, %v", first, second, shop.did())
	}
	sent.Input = map[string]any{"identifier": "slow", "pid": 8}
	if code := bench.Send(context.Background(), sent).Code; code != 409 {
		t.Fatal(code)
	}
}

func TestAChangeGoesOnWhenItsCallerGoesAway(t *testing.T) {
	shop := &shop{}
	bench := bench(t, shop.provider())
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	bench.Send(ctx, Sent{Operation: "stop", Input: map[string]any{"identifier": "slow", "pid": 7}})
	if len(shop.did()) != 0 {
		t.Fatal("it was waited for")
	}
	if err := bench.App.Drain(context.Background()); err != nil || len(shop.did()) != 1 {
		t.Fatal(err, shop.did())
	}
}

func TestNotDoneAndUnknownAreTwoThings(t *testing.T) {
	bench := bench(t, (&shop{}).provider())
	for identifier, told := range map[string]struct {
		code int
		kind string
	}{"none": {404, problemKind}, "passed on": {503, problemKind}, "plain": {500, problemKind}, "broken": {504, "text/plain; charset=utf-8"}} {
		answer := bench.Send(context.Background(), Sent{Operation: "stop", Input: map[string]any{"identifier": identifier, "pid": 7}})
		if answer.Code != told.code || answer.Header().Get("Content-Type") != told.kind {
			t.Errorf("%s: %d %s", identifier, answer.Code, answer.Body)
		}
		if strings.Contains(answer.Body.String(), "provider-busy") {
			t.Errorf("who began cannot say that the call was not taken: %s", answer.Body)
		}
	}
	var twice *ActionError
	if _, err := bench.Plan("stop", map[string]any{"identifier": "a", "pid": 7}); !errors.As(err, &twice) || !strings.Contains(twice.Error(), "more than one fact called `user`") {
		t.Error(err)
	}
}

func TestAResultThatIsNoJSONIsUnknownAndOfAResumableActionAFailure(t *testing.T) {
	var did []string
	change := func(*Context, NoInput) (float64, error) {
		did = append(did, "change")
		return math.NaN(), nil
	}
	build := func(ctx *Context, _ NoInput) (float64, error) {
		if err := ctx.Undo("a", func() error { did = append(did, "undo a"); return nil }); err != nil {
			return 0, err
		}
		_, err := Step(ctx, "a", func() (int, error) { return 1, nil })
		return math.NaN(), err
	}
	bench := bench(t, New("odd").Action("change", Do(change)).Action("build", Do(build)).Resumable().Done())
	answer := bench.Send(context.Background(), Sent{Operation: "change"})
	if answer.Code != 504 || answer.Header().Get("Content-Type") == problemKind {
		t.Errorf("it is done, and this is told: %d %s", answer.Code, answer.Body)
	}
	outcome := toItsEnd(t, NewLongRun("build", nil), bench)
	if outcome.Status != "failed" || !strings.Contains(outcome.Problem.Detail, "done, but the result cannot be written as JSON") {
		t.Errorf("%+v", outcome)
	}
	if !slices.Equal(did, []string{"change", "undo a"}) {
		t.Error(did)
	}
}

func TestANoteIsToldAsItWas(t *testing.T) {
	copies := func(ctx *Context, _ NoInput) (any, error) {
		counts := map[string]int{"rows": 1}
		ctx.Note("copied", counts)
		counts["rows"]++
		ctx.Note("odd", math.Inf(1))
		return nil, nil
	}
	bench := bench(t, New("copier").Action("copy", Do(copies)).Long().Done())
	sent := Sent{Operation: "copy", Run: "one"}
	bench.Send(context.Background(), sent)
	// Who comes late hears it as it was.
	late := bench.Send(context.Background(), sent).Body.String()
	for _, told := range []string{`{"name":"copied","result":{"rows":1},"state":"noted"}`, `{"name":"odd","result":null,"state":"noted"}`} {
		if !strings.Contains(late, told) {
			t.Errorf("no %s: %s", told, late)
		}
	}
}

func TestOneReadTooManyIsRefusedAlsoWhereItIsLong(t *testing.T) {
	begun, over := make(chan bool), make(chan bool)
	hang := func(*Context, NoInput) (any, error) {
		begun <- true
		<-over
		return nil, nil
	}
	bench := bench(t, New("hanger").CallsAtOnce(1).Action("hang", Do(hang)).Read().Long().Done())
	first := make(chan int)
	go func() { first <- bench.Send(context.Background(), Sent{Operation: "hang"}).Code }()
	<-begun
	busy := bench.Send(context.Background(), Sent{Operation: "hang"})
	if busy.Code != 503 || busy.Header().Get("Content-Type") != problemKind {
		t.Errorf("%d %s", busy.Code, busy.Body)
	}
	close(over)
	if code := <-first; code != 200 {
		t.Error(code)
	}
}

func TestWhatIsWrongHasAPointer(t *testing.T) {
	shop := &shop{}
	bench := bench(t, shop.provider())
	for pointer, input := range map[string]map[string]any{
		"/pid":        {"identifier": "a", "pid": "7"},
		"/identifier": {"identifier": 1, "pid": 7},
		"":            {"identifier": "a"},
	} {
		err := bench.Call("stop", input, nil)
		var wrong *ActionError
		if !errors.As(err, &wrong) || wrong.Problem.Status != 422 || wrong.Problem.Errors[0].Pointer != pointer {
			t.Errorf("%s: %+v", pointer, err)
		}
	}
	if len(shop.did()) != 0 {
		t.Error("it was done")
	}
}

func TestWhoIsNotTheGatewayIsRefused(t *testing.T) {
	shop := &shop{}
	bench := bench(t, shop.provider())
	for _, sent := range []Sent{
		{Claims: map[string]any{"aud": "other"}},
		{Claims: map[string]any{"action": "look"}},
		{Claims: map[string]any{"exp": "2020-01-01T00:00:00Z"}},
		{Claims: map[string]any{"exp": nil}},
		{Claims: map[string]any{"run": "another"}},
		{Claims: map[string]any{"input": nil}},
		{Headers: map[string]string{"Authorization": ""}},
		{Headers: map[string]string{"Authorization": "Bearer v4.public.x.y"}},
	} {
		sent.Operation, sent.Input = "stop", map[string]any{"identifier": "a", "pid": 7}
		if code := bench.Send(context.Background(), sent).Code; code != 401 {
			t.Errorf("%d: %+v", code, sent)
		}
	}
	if len(shop.did()) != 0 {
		t.Error("it was done")
	}
}

func TestSettingsAreToldByTheEnvironment(t *testing.T) {
	read := func(pairs ...string) error {
		_, err := ReadSettings(func(name string) string {
			if at := slices.Index(pairs, name); at >= 0 {
				return pairs[at+1]
			}
			return ""
		})
		return err
	}
	if err := read("GUICHET_GATEWAY", "http://127.0.0.1:7000/"); err != nil {
		t.Error(err)
	}
	for _, wrong := range [][]string{
		{}, {"GUICHET_PUBLIC_KEYS", "k4.public.x"}, {"GUICHET_GATEWAY", "gateway"},
		{"GUICHET_LISTEN", "7100", "GUICHET_GATEWAY", "http://x"},
	} {
		if read(wrong...) == nil {
			t.Errorf("%v is taken", wrong)
		}
	}
}
