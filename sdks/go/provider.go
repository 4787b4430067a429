package guichet

import (
	"context"
	"errors"
	"strings"
	"time"
)

// Provider is a service that owns actions and performs them.
type Provider struct {
	name, title, description, version string
	actions                           []*Action
	schemas                           schemas
	clock                             func() time.Time
	bodyLimit                         int64
	callsAtOnce                       int
	oneProcess                        bool
	atStart, atStop                   []func(context.Context) error
}

// New is a provider without actions. The name is the audience of the gateway's tokens: lower-case letters, digits and dashes,
// the same as in the gateway's settings.
func New(name string) *Provider {
	return &Provider{
		name: name, version: "1", schemas: schemas{definitions: map[string]any{}}, clock: time.Now, bodyLimit: 1 << 20,
		callsAtOnce: 256,
	}
}

// Title is what it is called in lists.
func (p *Provider) Title(title string) *Provider {
	p.title = title
	return p
}

// Description says what it is for, in CommonMark.
func (p *Provider) Description(description string) *Provider {
	p.description = description
	return p
}

// Version is that of its document.
func (p *Provider) Version(version string) *Provider {
	p.version = version
	return p
}

// BodyLimit is the largest body a call may have, bytes (1 MiB when never called). A larger one is refused with 413.
func (p *Provider) BodyLimit(bytes int64) *Provider {
	p.bodyLimit = bytes
	return p
}

// CallsAtOnce says how many calls are performed at once (256 when never called). One more is refused with 503.
func (p *Provider) CallsAtOnce(calls int) *Provider {
	p.callsAtOnce = max(1, calls)
	return p
}

// OneProcess: only one process answers for this provider. Then, and only then, its memory can tell the gateway that a call
// never arrived.
func (p *Provider) OneProcess() *Provider {
	p.oneProcess = true
	return p
}

// Clock is another one, for tests.
func (p *Provider) Clock(clock func() time.Time) *Provider {
	p.clock = clock
	return p
}

// AtStart calls this before it serves.
func (p *Provider) AtStart(hook func(context.Context) error) *Provider {
	p.atStart = append(p.atStart, hook)
	return p
}

// AtStop calls this when all is finished.
func (p *Provider) AtStop(hook func(context.Context) error) *Provider {
	p.atStop = append(p.atStop, hook)
	return p
}

// Action declares an action: its operationId and what performs it, which [Do] makes of a function. Until told otherwise it is a
// change, POST /actions/{name} with the input as JSON body.
func (p *Provider) Action(name string, perform Perform) *Action {
	action := &Action{
		provider: p, operation: name, perform: perform, timeout: 30 * time.Second, said: map[string]any{},
		options: map[string]Schema{},
	}
	var err error
	if action.input, err = p.schemas.ofInput(perform.input); err != nil {
		action.mistake(err)
		action.input = Schema{"type": "object", "properties": map[string]any{}}
	}
	if action.output, err = p.schemas.of(perform.output); err != nil {
		action.output = Schema{}
	}
	p.actions = append(p.actions, action)
	return action
}

// Check says what is wrong with the declarations: a test that calls this finds it before a gateway does.
func (p *Provider) Check() error {
	if mistakes := p.mistakes(); len(mistakes) > 0 {
		return errors.New("the provider is declared wrongly: " + strings.Join(mistakes, "; "))
	}
	return nil
}
