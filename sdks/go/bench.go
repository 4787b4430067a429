package guichet

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"time"

	"aidanwoods.dev/go-paseto"
)

// Bench tries a provider without a gateway: calls are signed with a key of the bench's own and go through the provider's
// handler, so that what holds here holds behind a gateway.
type Bench struct {
	// App is the provider's handler.
	App *App
	// Handler is where calls go: App, unless something stands before it.
	Handler http.Handler
	// Principal is who calls.
	Principal Principal
	secret    paseto.V4AsymmetricSecretKey
	kid       string
}

// NewBench makes one. Its error is what is declared wrongly.
func NewBench(provider *Provider) (*Bench, error) {
	secret := paseto.NewV4AsymmetricSecretKey()
	public := "k4.public." + base64.RawURLEncoding.EncodeToString(secret.Public().ExportBytes())
	keys, err := FixedKeys(public)
	if err != nil {
		return nil, err
	}
	app, err := provider.App(keys)
	return &Bench{app, app, Principal{Name: "bench", Kind: "person", Teams: []string{}}, secret, kidOf(public)}, err
}

// Sent is a call before it is signed.
type Sent struct {
	// Operation and Input are what is called, by the names that the provider gave its members.
	Operation string
	Input     map[string]any
	// Run is the Idempotency-Key; a new one when it is empty.
	Run string
	// Claims and Headers are put over those of a good call; nil and "" remove one.
	Claims  map[string]any
	Headers map[string]string
	// Journal is what is handed over.
	Journal map[string]json.RawMessage
}

// Call performs an operation with its members, as a run of its own when it is a change, and reads its result into result.
func (b *Bench) Call(operation string, input map[string]any, result any) error {
	return Result(b.Send(context.Background(), Sent{Operation: operation, Input: input}), result)
}

// Plan asks for the plan.
func (b *Bench) Plan(operation string, input map[string]any) (*Plan, error) {
	var plan Plan
	sent := Sent{Operation: operation, Input: input, Headers: map[string]string{"Guichet-Mode": "plan"}}
	return &plan, Result(b.Send(context.Background(), sent), &plan)
}

// Perform performs an operation with what the plan is bound to, as after its approval.
func (b *Bench) Perform(operation string, input map[string]any, plan *Plan, result any) error {
	bound, err := encode(plan.Bound)
	if err != nil {
		return err
	}
	headers := map[string]string{"Guichet-Plan": base64.RawURLEncoding.EncodeToString(bound)}
	return Result(b.Send(context.Background(), Sent{Operation: operation, Input: input, Headers: headers}), result)
}

// Send signs a call and gives the whole answer.
func (b *Bench) Send(ctx context.Context, sent Sent) *httptest.ResponseRecorder {
	answer := httptest.NewRecorder()
	action := b.App.desk().provider.find(sent.Operation)
	if action == nil {
		answer.WriteHeader(http.StatusNotFound)
		return answer
	}
	path, body, err := spread(action, sent.Input)
	if err == nil && sent.Journal != nil {
		if body == nil {
			body = []byte("null")
		}
		body, err = encode(map[string]any{"input": json.RawMessage(body), "journal": sent.Journal})
	}
	if err != nil {
		http.Error(answer, err.Error(), http.StatusBadRequest)
		return answer
	}
	method, _ := action.route()
	request := httptest.NewRequest(method, path, bytes.NewReader(body)).WithContext(ctx)
	claims := b.claims(action, &sent, request.Header)
	footer, _ := encode(map[string]string{"kid": b.kid})
	token, err := paseto.NewTokenFromClaimsJSON(claims, footer)
	if err != nil {
		http.Error(answer, err.Error(), http.StatusBadRequest)
		return answer
	}
	request.Header.Set("Authorization", "Bearer "+token.V4Sign(b.secret, nil))
	for name, value := range sent.Headers {
		request.Header.Set(name, value)
		if value == "" {
			request.Header.Del(name)
		}
	}
	b.Handler.ServeHTTP(answer, request)
	return answer
}

func (b *Bench) claims(action *Action, sent *Sent, header http.Header) []byte {
	now := b.App.desk().provider.clock().UTC()
	claims := map[string]any{
		"iss": "guichet/bench", "aud": b.App.desk().provider.name, "sub": b.Principal.Name, "kind": b.Principal.Kind,
		"teams": b.Principal.Teams, "environment": "bench", "action": action.operation, "jti": rand.Text(),
		"iat": now, "nbf": now, "exp": now.Add(time.Minute),
	}
	if b.Principal.Agent != "" {
		claims["agent"] = b.Principal.Agent
	}
	if action.effectOf() != "read" {
		if sent.Run == "" {
			sent.Run = rand.Text()
		}
		flat := map[string]any{}
		for name, value := range sent.Input {
			flat[action.flatName(name)] = value
		}
		digest, _ := digestOf(flat)
		claims["run"], claims["input"], claims["approved_by"] = sent.Run, digest, []string{}
		header.Set("Idempotency-Key", sent.Run)
	}
	if sent.Journal != nil {
		claims["journal"], _ = digestOf(sent.Journal)
		header.Set("Guichet-Journal", "body")
	}
	for name, value := range sent.Claims {
		claims[name] = value
		if value == nil {
			delete(claims, name)
		}
	}
	text, _ := encode(claims)
	return text
}

// Result reads what an answer says; its error is an [ActionError] with the problem.
func Result(answer *httptest.ResponseRecorder, result any) error {
	text := answer.Body.Bytes()
	switch {
	case answer.Code >= 200 && answer.Code < 300 && len(text) == 0:
		return nil
	case answer.Code >= 200 && answer.Code < 300:
		return json.Unmarshal(text, result)
	case answer.Header().Get("Content-Type") == problemKind:
		var problem Problem
		if err := json.Unmarshal(text, &problem); err != nil {
			return err
		}
		return &ActionError{problem}
	}
	return problem("provider-silent", "%s", strings.TrimSpace(string(text)))
}

// LongRun is a run of a resumable action, call by call. Each call may go to another [Bench], which is another process.
type LongRun struct {
	Operation string
	Input     map[string]any
	// ID is the Idempotency-Key of each call.
	ID string
	// Journal has the steps that are durable.
	Journal map[string]json.RawMessage
	// Done are the steps that were told as done, in order.
	Done []string
	// Cancelled: the next call says that somebody wants it stopped.
	Cancelled bool
}

// Outcome is the last event of a stream.
type Outcome struct {
	Status  string          `json:"status"`
	Result  json.RawMessage `json:"result"`
	Problem *Problem        `json:"problem"`
	Name    string          `json:"name"`
	Until   string          `json:"until"`
}

// NewLongRun is a run that was not called for yet.
func NewLongRun(operation string, input map[string]any) *LongRun {
	return &LongRun{Operation: operation, Input: input, ID: rand.Text()}
}

// Call makes one call, to the end of its stream: the outcome; nil when the stream was cut.
func (l *LongRun) Call(bench *Bench) (*Outcome, error) {
	sent := Sent{Operation: l.Operation, Input: l.Input, Run: l.ID, Journal: l.Journal, Headers: map[string]string{}}
	if l.Cancelled {
		sent.Headers["Guichet-Cancel"] = "asked"
	}
	answer := bench.Send(context.Background(), sent)
	if answer.Code != http.StatusOK {
		return nil, Result(answer, nil)
	}
	var outcome *Outcome
	for _, block := range strings.Split(answer.Body.String(), "\n\n") {
		name, data, found := strings.Cut(block, "\ndata: ")
		if !found {
			continue
		}
		var said struct {
			Outcome
			State string `json:"state"`
		}
		if err := json.Unmarshal([]byte(data), &said); err != nil {
			return nil, err
		}
		switch {
		case name == "event: outcome":
			outcome = &said.Outcome
			if said.Status == "waiting" {
				l.remember(said.Name, json.RawMessage(fmt.Sprintf(`{"until":%q}`, said.Until)))
			}
		case name == "event: step" && said.State == "done":
			l.Done = append(l.Done, said.Name)
			l.remember(said.Name, said.Result)
		}
	}
	return outcome, nil
}

func (l *LongRun) remember(step string, result json.RawMessage) {
	if l.Journal == nil {
		l.Journal = map[string]json.RawMessage{}
	}
	if result == nil {
		result = json.RawMessage("null")
	}
	l.Journal[step] = result
}

// ToItsEnd calls until it ends, or only waits.
func (l *LongRun) ToItsEnd(bench *Bench) (*Outcome, error) {
	for {
		outcome, err := l.Call(bench)
		if err != nil {
			return nil, err
		}
		if outcome == nil {
			return nil, problem("provider-silent", "the stream was cut")
		}
		if outcome.Status != "noted" {
			return outcome, nil
		}
	}
}

// spread gives path with query, and body, as the gateway spreads a flat input.
func spread(action *Action, input map[string]any) (string, []byte, error) {
	_, path := action.route()
	query, body := url.Values{}, map[string]any{}
	for name, value := range input {
		switch action.placeOf(name) {
		case "path":
			path = strings.ReplaceAll(path, "{"+name+"}", url.PathEscape(textOf(value)))
		case "query":
			values, several := value.([]any)
			if !several {
				values = []any{value}
			}
			for _, one := range values {
				query.Add(name, textOf(one))
			}
		default:
			body[name] = value
		}
	}
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	for name := range action.members() {
		if action.placeOf(name) == "body" {
			text, err := encode(body)
			return path, text, err
		}
	}
	return path, nil, nil
}

func textOf(value any) string {
	if text, is := value.(string); is {
		return text
	}
	text, _ := encode(value)
	return string(text)
}
