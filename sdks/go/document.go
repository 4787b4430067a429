package guichet

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

var name = regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)

// Document is the OpenAPI 3.1 document that the gateway reads.
func (p *Provider) Document() map[string]any {
	paths := map[string]any{}
	for _, action := range p.actions {
		method, path := action.route()
		item, known := paths[path].(map[string]any)
		if !known {
			item = map[string]any{}
			paths[path] = item
		}
		item[strings.ToLower(method)] = action.document()
	}
	title := p.title
	if title == "" {
		title = p.name
	}
	info := map[string]any{"title": title, "version": p.version}
	if p.description != "" {
		info["description"] = p.description
	}
	text, whole := map[string]any{"type": "string"}, map[string]any{"type": "integer"}
	definitions := with(p.schemas.definitions, "Problem", Schema{
		"type":        "object",
		"description": "One problem (RFC 9457): what happened, why, and what to do next.",
		"properties": map[string]any{
			"type": text, "title": text, "status": whole, "code": text, "detail": text, "next": text,
		},
		"required": []any{"title", "status", "detail"},
	})
	return map[string]any{
		"openapi":   "3.1.0",
		"info":      info,
		"x-guichet": map[string]any{"provider": p.name},
		"paths":     paths,
		"components": map[string]any{
			"schemas": definitions,
			"securitySchemes": map[string]any{"gateway": map[string]any{
				"type": "http", "scheme": "bearer", "bearerFormat": "PASETO v4.public",
				"description": "A token of the Guichet gateway, at most 60 s old.",
			}},
		},
		"security": []any{map[string]any{"gateway": []any{}}},
	}
}

func (a *Action) document() map[string]any {
	whole := a.inputSchema()
	members := whole["properties"].(map[string]any)
	required, _ := whole["required"].([]any)
	needs := func(name string) bool { return slices.Contains(required, any(name)) }
	parameters, body, needed := []any{}, map[string]any{}, []any{}
	for _, name := range sorted(members) {
		member := members[name].(Schema)
		place := a.placeOf(name)
		if place != "body" {
			parameters = append(parameters, parameter(name, place, needs(name), member))
			continue
		}
		body[name] = member
		if needs(name) {
			needed = append(needed, name)
		}
	}
	kind := "application/json"
	if a.long {
		kind = "text/event-stream"
	}
	summary := a.summary
	if summary == "" {
		summary = a.operation
	}
	operation := map[string]any{
		"operationId": a.operation,
		"summary":     summary,
		"responses": map[string]any{
			"200": map[string]any{"description": "Done.", "content": map[string]any{kind: map[string]any{"schema": a.output}}},
			"default": map[string]any{"description": "Not done, and why.", "content": map[string]any{
				"application/problem+json": map[string]any{"schema": map[string]any{"$ref": "#/components/schemas/Problem"}},
			}},
		},
		"x-guichet": a.extension(),
	}
	if a.about != "" {
		operation["description"] = a.about
	}
	if len(parameters) > 0 {
		operation["parameters"] = parameters
	}
	if len(body) > 0 {
		schema := with(whole, "properties", body)
		delete(schema, "required")
		if len(needed) > 0 {
			schema["required"] = needed
		}
		operation["requestBody"] = map[string]any{
			"required": len(needed) > 0,
			"content":  map[string]any{"application/json": map[string]any{"schema": schema}},
		}
	}
	return operation
}

func parameter(name, place string, required bool, member Schema) map[string]any {
	parameter := map[string]any{"name": name, "in": place, "required": place == "path" || required}
	schema := with(member, "description", nil)
	for _, word := range []string{"description", "x-guichet"} {
		if said, there := member[word]; there {
			parameter[word] = said
		}
		delete(schema, word)
	}
	if place == "query" {
		parameter["style"], parameter["explode"] = "form", true
	}
	parameter["schema"] = schema
	return parameter
}

func (a *Action) extension() map[string]any {
	said := with(a.said, "effect", a.effectOf())
	said["timeout"] = lengthText(a.timeout)
	if a.long {
		said["long"] = true
	}
	if a.resumable {
		said["resumable"] = true
	}
	if a.effectOf() != "read" {
		said["remembers"] = true
	}
	return said
}

func sorted(members map[string]any) []string {
	names := make([]string, 0, len(members))
	for name := range members {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// mistakes is everything that would make the document wrong or an action unreachable.
func (p *Provider) mistakes() []string {
	var found []string
	if !name.MatchString(p.name) {
		found = append(found, fmt.Sprintf("`%s` is no name for a provider: use lower-case letters, digits, dashes", p.name))
	}
	seen := map[string]bool{}
	for _, action := range p.actions {
		method, path := action.route()
		own := slices.Clone(action.mistakes)
		for _, key := range []string{action.operation, method + " " + path} {
			if seen[key] {
				own = append(own, "`"+key+"` is declared twice")
			}
			seen[key] = true
		}
		own = append(own, p.mistakesOf(action)...)
		for _, mistake := range own {
			found = append(found, fmt.Sprintf("action `%s`: %s", action.operation, mistake))
		}
	}
	return found
}

func (p *Provider) mistakesOf(a *Action) []string {
	var found []string
	say := func(wrong bool, format string, values ...any) {
		if wrong {
			found = append(found, fmt.Sprintf(format, values...))
		}
	}
	members, read := a.members(), a.effectOf() == "read"
	method, path := a.route()
	say(!name.MatchString(a.operation), "its name must be of lower-case letters, digits and dashes")
	say(!strings.HasPrefix(path, "/"), "its path `%s` does not begin with `/`", path)
	for what, template := range map[string]any{"path": path, "resource": a.said["resource"], "concurrency": a.said["concurrency"]} {
		text, _ := template.(string)
		for _, named := range placeholders(text) {
			_, there := members[named]
			say(!there, "the %s names `{%s}`, which is no member of its input", what, named)
		}
	}
	for _, named := range sorted(members) {
		member := members[named].(Schema)
		place := a.placeOf(named)
		nested := p.schemas.takes(member, "object", 0) || p.schemas.takes(member["items"], "object", 0)
		say(place != "body" && nested, "member `%s` is an object: it does not fit into a path or query; give the action a body", named)
		say(place == "path" && p.schemas.takes(member, "array", 0), "member `%s` is a list: it does not fit into a path", named)
	}
	say(a.resumable && (read || method == "DELETE"), "a resumable action is a change whose journal travels in the body: not a read, not DELETE")
	say(read && (a.plan != nil || a.said["approval"] != nil), "a read has neither plan nor approval: is it a change?")
	say(a.said["facts"] != nil && a.plan == nil, "its facts are told by plans, and it makes none: add Plan")
	say(!read && method == "GET", "it changes something, so it cannot be a GET")
	for member, options := range a.options {
		_, there := members[member]
		source := p.find(fmt.Sprint(options["operation"]))
		say(!there, "options for `%s`, which is no member of its input", member)
		say(source == nil || source.effectOf() != "read", "options from `%v`, which is no read of this provider", options["operation"])
	}
	if view, there := a.said["view"].(*Table); there {
		for _, operation := range view.Offered {
			say(p.find(operation) == nil, "its view offers `%s`, which is no action of this provider", operation)
		}
	}
	if undo, there := a.said["undo"].(map[string]any); there {
		say(p.find(fmt.Sprint(undo["operation"])) == nil, "`%v` undoes it, which is no action of this provider", undo["operation"])
	}
	return append(found, p.wrongExamples(a)...)
}

func (p *Provider) wrongExamples(a *Action) []string {
	validator, err := p.validator(a)
	if err != nil {
		return []string{"its input schema cannot be used: " + err.Error()}
	}
	var found []string
	examples, _ := a.said["examples"].([]any)
	for _, example := range examples {
		said := example.(map[string]any)
		input, err := plain(said["input"])
		var wrong *ActionError
		if err != nil || errors.As(validate(validator, input), &wrong) {
			found = append(found, fmt.Sprintf("example `%v`: %v", said["title"], errors.Join(err, wrong)))
		}
	}
	return found
}

func (p *Provider) find(operation string) *Action {
	for _, action := range p.actions {
		if action.operation == operation {
			return action
		}
	}
	return nil
}
