package guichet

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"regexp"
	"strings"
	"time"
)

// NoInput is the input of an action that takes none.
type NoInput struct{}

// Perform is a function that performs an action, with its types; [Do] makes it.
type Perform struct {
	input, output reflect.Type
	call          func(*Context, []byte) (any, error)
}

// MakePlan is a function that plans, with its type; [Planning] makes it.
type MakePlan struct {
	input reflect.Type
	call  func(*Context, []byte) (*Plan, error)
}

// Do takes a function that performs an action: its types are the action's input, a struct, and its result.
func Do[I, O any](perform func(*Context, I) (O, error)) Perform {
	return Perform{reflect.TypeFor[I](), reflect.TypeFor[O](), func(ctx *Context, text []byte) (any, error) {
		input, err := readInput[I](text)
		if err != nil {
			return nil, err
		}
		return perform(ctx, input)
	}}
}

// Planning takes a function that says what running an action would do, without doing it. It takes the same input.
func Planning[I any](plan func(*Context, I) (*Plan, error)) MakePlan {
	return MakePlan{reflect.TypeFor[I](), func(ctx *Context, text []byte) (*Plan, error) {
		input, err := readInput[I](text)
		if err != nil {
			return nil, err
		}
		return plan(ctx, input)
	}}
}

// readInput: the schema was checked before; what fails here is what a schema cannot tell.
func readInput[I any](text []byte) (input I, err error) {
	if err := unmarshal(text, &input); err != nil {
		return input, Invalid("", err.Error())
	}
	return input, nil
}

// Action is one action in the making: each method adds to it. Action begins the next one; Serve and the others are its
// provider's.
type Action struct {
	provider       *Provider
	operation      string
	perform        Perform
	plan           *MakePlan
	input, output  Schema
	said           map[string]any
	summary, about string
	effect         string
	method, path   string
	timeout        time.Duration
	long           bool
	resumable      bool
	options        map[string]Schema
	mistakes       []string
}

func (a *Action) mistake(err error) {
	a.mistakes = append(a.mistakes, err.Error())
}

func (a *Action) say(name string, value any) *Action {
	a.said[name] = value
	return a
}

// Plan says what running it would do; see [Planning].
func (a *Action) Plan(plan MakePlan) *Action {
	if plan.input != a.perform.input {
		a.mistake(fmt.Errorf("its plan takes `%s`, and it takes `%s`", plan.input, a.perform.input))
	}
	a.plan = &plan
	return a.say("plan", true)
}

// Fact says that policies may read this fact of its plans, as context.plan["…"]: of this type ([Of] of bool, a whole number, string,
// or a slice of one of them). A plan need not tell it.
func (a *Action) Fact(name string, of Kind) *Action {
	schema, err := a.provider.schemas.ofFact(of.kind)
	if err != nil {
		a.mistake(fmt.Errorf("fact `%s`: %w", name, err))
		return a
	}
	facts, _ := a.said["facts"].(map[string]any)
	return a.say("facts", with(facts, name, schema))
}

// Kind is a type that [Of] names.
type Kind struct{ kind reflect.Type }

// Of names a type: guichet.Of[int]().
func Of[T any]() Kind { return Kind{reflect.TypeFor[T]()} }

// Read: it looks and changes nothing: GET /{name}, the input in the query.
func (a *Action) Read() *Action {
	a.effect = "read"
	return a
}

// Change: it changes something that can be changed back. So is every action that does not say otherwise.
func (a *Action) Change() *Action {
	a.effect = "change"
	return a
}

// Destroy: it removes something.
func (a *Action) Destroy() *Action {
	a.effect = "destroy"
	return a
}

// Route is its own method and path. Members named in braces travel in the path, the others in the query (GET, DELETE) or the
// JSON body.
func (a *Action) Route(method, path string) *Action {
	switch method {
	case http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
		a.method, a.path = method, path
	default:
		a.mistake(fmt.Errorf("`%s` is no method an action can have", method))
	}
	return a
}

// Command is what people type after guichet: rds cancel-query.
func (a *Action) Command(words string) *Action { return a.say("command", words) }

// Title is one line, for lists.
func (a *Action) Title(title string) *Action {
	a.summary = title
	return a.say("title", title)
}

// Description says more, in CommonMark, for help.
func (a *Action) Description(description string) *Action {
	a.about = description
	return a
}

// Approval says who must approve before it runs: [Team] or [Owner].
func (a *Action) Approval(by ApprovalBy) *Action {
	said, err := by.document()
	if err != nil {
		a.mistake(err)
	}
	return a.say("approval", said)
}

// Resource is what it acts on, with members of the input in braces: postgres/{identifier}.
func (a *Action) Resource(template string) *Action { return a.say("resource", template) }

// Concurrency: one run at a time for each value of this template.
func (a *Action) Concurrency(template string) *Action { return a.say("concurrency", template) }

// CoolDown delays its start after everybody agreed, so that it can still be cancelled: 1 s to 7 d.
func (a *Action) CoolDown(length time.Duration) *Action {
	length, err := within(length, time.Second, 7*24*time.Hour)
	if err != nil {
		a.mistake(fmt.Errorf("cool_down: %w", err))
	}
	return a.say("cool_down", lengthText(length))
}

// Undo names the operation that undoes it, and for each of its inputs a JSON pointer into {"input", "plan", "result"}.
func (a *Action) Undo(operation string, with map[string]string) *Action {
	return a.say("undo", map[string]any{"operation": operation, "with": with})
}

// Confirm: whoever asks for it on a terminal is asked first whether they mean it. A courtesy, no control.
func (a *Action) Confirm() *Action { return a.say("confirm", true) }

// Long: it takes its time and tells how it goes: [Context.Log], [Context.Progress], [Context.Note].
func (a *Action) Long() *Action {
	a.long = true
	return a
}

// Resumable: it is long, and its steps ([Step]) are journaled: cut off anywhere, it goes on after the last step that is durable.
// Its handler must make the same steps each time.
func (a *Action) Resumable() *Action {
	a.long, a.resumable = true, true
	return a
}

// Idempotent: doing it twice with the same key ([Context.Run]) does no harm: where no answer comes, it is called again.
func (a *Action) Idempotent() *Action { return a.say("idempotent", true) }

// Timeout is how long a call may take: 1 s to 24 h; 30 s when never called.
func (a *Action) Timeout(length time.Duration) *Action {
	length, err := within(length, time.Second, 24*time.Hour)
	if err != nil {
		a.mistake(fmt.Errorf("timeout: %w", err))
	}
	a.timeout = length
	return a
}

// Sensitive: its whole input is hidden in records and logs, where no member says otherwise.
func (a *Action) Sensitive() *Action { return a.say("sensitive", true) }

// View is how its result is drawn: [TableOf].
func (a *Action) View(view *Table) *Action { return a.say("view", view) }

// Options are live values for a member of the input: [From].
func (a *Action) Options(member string, options *OptionsFrom) *Action {
	a.options[member] = options.document()
	return a
}

// Example is a ready-made call for help.
func (a *Action) Example(title string, input map[string]any) *Action {
	examples, _ := a.said["examples"].([]any)
	return a.say("examples", append(examples, map[string]any{"title": title, "input": input}))
}

// Action is the next action; see [Provider.Action].
func (a *Action) Action(name string, perform Perform) *Action {
	return a.provider.Action(name, perform)
}

// Done is the provider with this action.
func (a *Action) Done() *Provider { return a.provider }

// Check: see [Provider.Check].
func (a *Action) Check() error { return a.provider.Check() }

// App: see [Provider.App].
func (a *Action) App(keys *Keys) (*App, error) { return a.provider.App(keys) }

// Serve: see [Provider.Serve].
func (a *Action) Serve(ctx context.Context, settings Settings) error {
	return a.provider.Serve(ctx, settings)
}

// MustServe: see [Provider.MustServe].
func (a *Action) MustServe() { a.provider.MustServe() }

// What follows from what was said.

func (a *Action) effectOf() string {
	switch {
	case a.effect != "":
		return a.effect
	case a.method == http.MethodGet:
		return "read"
	case a.method == http.MethodDelete:
		return "destroy"
	}
	return "change"
}

func (a *Action) route() (method, path string) {
	switch {
	case a.method != "":
		return a.method, a.path
	case a.effectOf() == "read":
		return http.MethodGet, "/" + a.operation
	}
	return http.MethodPost, "/actions/" + a.operation
}

func (a *Action) members() map[string]any {
	members, _ := a.input["properties"].(map[string]any)
	return members
}

// placeOf says where a member travels: path, query or body.
func (a *Action) placeOf(member string) string {
	method, path := a.route()
	for _, name := range placeholders(path) {
		if name == member {
			return "path"
		}
	}
	if method == http.MethodGet || method == http.MethodDelete {
		return "query"
	}
	return "body"
}

// flatName is what a member is called in the flat input: one that would be a flag of the command line itself has another name.
func (a *Action) flatName(member string) string {
	if ownFlags[flagName(member)] {
		return a.placeOf(member) + "_" + member
	}
	return member
}

// inputSchema is the input's schema as gateway and provider both check it.
func (a *Action) inputSchema() Schema {
	members := map[string]any{}
	for name, member := range a.members() {
		schema, _ := member.(Schema)
		if a.placeOf(name) != "body" {
			schema = withoutNull(schema)
		}
		more := map[string]any{}
		if said, there := schema["x-guichet"].(map[string]any); there {
			more = with(said, "name", nil)
			delete(more, "name")
		}
		if options, there := a.options[name]; there {
			more["options"] = options
		}
		if flat := a.flatName(name); flat != name {
			more["name"] = flat
		}
		if len(more) > 0 {
			schema = with(schema, "x-guichet", more)
		}
		members[name] = schema
	}
	return with(a.input, "properties", members)
}

var ownFlags = func() map[string]bool {
	flags := map[string]bool{}
	for flag := range strings.FieldsSeq("output plan wait no-wait yes context reason approval-description help timeout color verbose quiet") {
		flags[flag] = true
	}
	return flags
}()

var (
	placeholder = regexp.MustCompile(`\{([^}]*)\}`)
	humps       = regexp.MustCompile(`([a-z0-9])([A-Z])`)
	noFlag      = regexp.MustCompile(`[^a-z0-9]+`)
)

// placeholders are the names in braces of a template: /a/{b} names b.
func placeholders(template string) []string {
	var names []string
	for _, found := range placeholder.FindAllStringSubmatch(template, -1) {
		names = append(names, found[1])
	}
	return names
}

// flagName is a member's name as a flag of the command line: sourceInstance is source-instance.
func flagName(member string) string {
	flag := strings.ToLower(humps.ReplaceAllString(member, "$1-$2"))
	return strings.Trim(noFlag.ReplaceAllString(flag, "-"), "-")
}
