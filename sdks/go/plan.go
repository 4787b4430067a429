package guichet

// Plan is what a run would do, in the provider's words. Making one changes nothing. The sentence and each fact that does not
// move are part of what is approved: when one differs at the start of the run, the approval is void.
type Plan struct {
	Sentence string  `json:"sentence"`
	Facts    []fact  `json:"facts"`
	Narrowed *string `json:"resource,omitempty"`
	Bound    any     `json:"bound,omitempty"`
}

type fact struct {
	Name   string `json:"name"`
	Value  any    `json:"value"`
	Moves  bool   `json:"moves"`
	Within string `json:"within,omitempty"`
}

// NewPlan is a plan of one sentence.
func NewPlan(sentence string) *Plan { return &Plan{Sentence: sentence, Facts: []fact{}} }

// Fact adds what an approver should know. Each has a name of its own: several of a kind are one fact with a list.
func (p *Plan) Fact(name string, value any) *Plan {
	p.Facts = append(p.Facts, fact{Name: name, Value: value})
	return p
}

// MovingFact adds one that may change by itself between approval and execution.
func (p *Plan) MovingFact(name string, value any) *Plan {
	p.Facts = append(p.Facts, fact{Name: name, Value: value, Moves: true})
	return p
}

// FactWithin adds a number that may move so far from what was approved: "10%", or "5" in its own unit.
func (p *Plan) FactWithin(name string, value any, within string) *Plan {
	p.Facts = append(p.Facts, fact{Name: name, Value: value, Within: within})
	return p
}

// BoundTo says what it is about exactly; it comes back by [Planned].
func (p *Plan) BoundTo(bound any) *Plan {
	p.Bound = bound
	return p
}

// Resource says what it touches, where that is narrower than the action's resource.
func (p *Plan) Resource(resource string) *Plan {
	p.Narrowed = &resource
	return p
}

// repeated is the first name that more than one fact has: no gateway takes such a plan.
func (p *Plan) repeated() (string, bool) {
	seen := map[string]bool{}
	for _, fact := range p.Facts {
		if seen[fact.Name] {
			return fact.Name, true
		}
		seen[fact.Name] = true
	}
	return "", false
}
