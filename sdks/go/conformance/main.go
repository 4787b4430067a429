// The conformance kit's own actions (docs/conformance.md), in Go.
//
//	guichet provider check -- go run ./conformance
package main

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"time"

	"guichet.dev/guichet"
)

// effects is what was done, and how often: the kit asks for it.
type effects struct {
	mutex  sync.Mutex
	counts map[string]int
}

func (e *effects) happened(name string) int {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	e.counts[name]++
	return e.counts[name]
}

func (e *effects) of(name string) int {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	return e.counts[name]
}

var done = effects{counts: map[string]int{}}

type echoInput struct {
	Word  string       `json:"word"`
	Times *int         `json:"times,omitempty" schema:"minimum=1,maximum=10"`
	Ratio *json.Number `json:"ratio,omitempty"`
	Loud  *bool        `json:"loud,omitempty"`
	Tags  []string     `json:"tags,omitempty"`
}

type heard struct {
	Input       echoInput         `json:"input"`
	AskedBy     guichet.Principal `json:"asked_by"`
	Environment string            `json:"environment"`
}

func echo(ctx *guichet.Context, input echoInput) (heard, error) {
	return heard{input, ctx.Principal(), ctx.Environment()}, nil
}

type named struct {
	Name string `json:"name"`
}

type count struct {
	Count int `json:"count"`
}

func counted(_ *guichet.Context, input named) (count, error) {
	return count{done.of(input.Name)}, nil
}

type waitInput struct {
	Milliseconds int `json:"milliseconds" schema:"minimum=0,maximum=60000"`
}

func wait(ctx *guichet.Context, input waitInput) (any, error) {
	select {
	case <-time.After(time.Duration(input.Milliseconds) * time.Millisecond):
		return nil, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

type addInput struct {
	Name    string   `json:"name"`
	Amount  int      `json:"amount" schema:"minimum=1,maximum=100"`
	Note    *string  `json:"note"`
	Ratio   *float64 `json:"ratio"`
	Details any      `json:"details,omitempty"`
}

type bound struct {
	Name   string `json:"name"`
	Amount int    `json:"amount"`
}

type added struct {
	Added      int      `json:"added"`
	Count      int      `json:"count"`
	Run        string   `json:"run"`
	ApprovedBy []string `json:"approved_by"`
	Planned    *bound   `json:"planned"`
}

func mayBeAdded(name string) error {
	if strings.HasPrefix(name, "refused") {
		return guichet.Conflict("`%s` takes nothing", name).Next("choose another name")
	}
	return nil
}

func planAdd(_ *guichet.Context, input addInput) (*guichet.Plan, error) {
	if err := mayBeAdded(input.Name); err != nil {
		return nil, err
	}
	return guichet.NewPlan("Add to "+input.Name).
		Fact("amount", input.Amount).
		MovingFact("count", done.of(input.Name)).
		Fact("name", input.Name).
		BoundTo(bound{input.Name, input.Amount}), nil
}

func add(ctx *guichet.Context, input addInput) (*added, error) {
	if err := mayBeAdded(input.Name); err != nil {
		return nil, err
	}
	if strings.HasPrefix(input.Name, "slow") {
		time.Sleep(1500 * time.Millisecond)
	}
	result := &added{Added: input.Amount, Count: done.happened(input.Name), Run: ctx.Run(), ApprovedBy: ctx.ApprovedBy()}
	if strings.HasPrefix(input.Name, "broken") {
		panic("it breaks off half-way, as the kit asks")
	}
	planned, there, err := guichet.Planned[bound](ctx)
	if there {
		result.Planned = &planned
	}
	return result, err
}

type removeInput struct {
	Name   string  `json:"name"`
	Reason *string `json:"reason"`
}

func remove(_ *guichet.Context, input removeInput) (any, error) {
	done.happened(input.Name)
	return nil, nil
}

type tellInput struct {
	Name         string `json:"name"`
	Fail         bool   `json:"fail,omitempty"`
	Milliseconds int    `json:"milliseconds,omitempty" schema:"minimum=0,maximum=60000"`
}

type toldResult struct {
	Told string `json:"told"`
}

func tell(ctx *guichet.Context, input tellInput) (*toldResult, error) {
	done.happened(input.Name)
	ctx.Log("telling " + input.Name)
	ctx.Progress(50, "half of it")
	ctx.Note("half", 1)
	if ctx.Cancelled(time.Duration(input.Milliseconds) * time.Millisecond) {
		return nil, guichet.Cancelled()
	}
	if input.Fail {
		return nil, guichet.Conflict("it was asked to fail")
	}
	return &toldResult{input.Name}, nil
}

type buildInput struct {
	Name     string `json:"name"`
	BreaksAt string `json:"breaks_at,omitempty"`
	Stays    string `json:"stays,omitempty"`
	Pause    int    `json:"pause,omitempty" doc:"Milliseconds between the second and the third step." schema:"minimum=0"`
}

func build(ctx *guichet.Context, input buildInput) ([]string, error) {
	var made []string
	for _, step := range []string{"a", "b", "c"} {
		if step == "c" && input.Pause > 0 {
			if err := ctx.Sleep("settle", time.Duration(input.Pause)*time.Millisecond); err != nil {
				return nil, err
			}
		}
		err := ctx.Undo(step, func() error {
			if input.Stays == step {
				return guichet.Conflict("%s is in use", step)
			}
			done.happened(input.Name + "/undo " + step)
			return nil
		})
		if err != nil {
			return nil, err
		}
		result, err := guichet.Step(ctx, step, func() (string, error) {
			done.happened(input.Name + "/tried " + step)
			if input.BreaksAt == step {
				return "", guichet.Refused("%s breaks", step)
			}
			done.happened(input.Name + "/" + step)
			return step, nil
		})
		if err != nil {
			return nil, err
		}
		made = append(made, result)
	}
	return made, nil
}

func conformance() *guichet.Provider {
	return guichet.New("conformance").
		Action("conformance-echo", guichet.Do(echo)).Route("GET", "/conformance/{word}/echo").
		Action("conformance-count", guichet.Do(counted)).Read().
		Action("conformance-wait", guichet.Do(wait)).Read().
		Action("conformance-add", guichet.Do(add)).Plan(guichet.Planning(planAdd)).
		Fact("amount", guichet.Of[int]()).Fact("count", guichet.Of[int]()).Fact("name", guichet.Of[string]()).
		Action("conformance-remove", guichet.Do(remove)).Route("DELETE", "/conformance/{name}").
		Action("conformance-tell", guichet.Do(tell)).Long().
		Action("conformance-build", guichet.Do(build)).Resumable().Timeout(4 * time.Hour).
		Done()
}

func main() { conformance().MustServe() }
