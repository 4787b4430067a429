package guichet

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
)

// nothing is what a text is that does not fit.
type nothing struct{}

// texts are those that came under one name, as the value their schema asks for, by the rules of "The flat input" in
// docs/provider-protocol.md. What does not fit stays a text, so that validation names it.
func (s *schemas) texts(schema Schema, texts []string) any {
	if len(texts) == 1 {
		return kept(s.fit(schema, texts[0], 0), texts[0])
	}
	list := s.listSchema(schema, 0)
	if list == nil {
		list = schema
	}
	return s.items(list, texts, 0)
}

func kept(value any, text string) any {
	if value == (nothing{}) {
		return text
	}
	return value
}

func (s *schemas) fit(schema Schema, text string, depth int) any {
	if depth > 32 {
		return nothing{}
	}
	if _, referring := schema["$ref"]; referring {
		return s.fit(s.resolve(schema), text, depth+1)
	}
	if only, there := schema["const"]; there {
		return matching(only, text)
	}
	if choices, there := schema["enum"].([]any); there {
		for _, choice := range choices {
			if value := matching(choice, text); value != (nothing{}) {
				return value
			}
		}
		return nothing{}
	}
	if kinds := kindsOf(schema); len(kinds) > 0 {
		for _, kind := range kinds {
			if value := s.as(schema, kind, kinds, text, depth); value != any(nothing{}) {
				return value
			}
		}
		if slices.Contains(kinds, "null") && (text == "null" || text == "") {
			return nil
		}
		return nothing{}
	}
	for _, word := range []string{"anyOf", "oneOf", "allOf"} {
		if branches, there := schema[word].([]any); there {
			return s.best(branches, text, depth)
		}
	}
	return kept(container(text), text)
}

func (s *schemas) best(branches []any, text string, depth int) any {
	var best any = nothing{}
	for _, branch := range branches {
		schema, _ := branch.(Schema)
		value := s.fit(schema, text, depth+1)
		if !isNothing(value) && (isNothing(best) || rank(value, text) < rank(best, text)) {
			best = value
		}
	}
	return best
}

func isNothing(value any) bool {
	_, is := value.(nothing)
	return is
}

func (s *schemas) as(schema Schema, kind string, kinds []string, text string, depth int) any {
	switch kind {
	case "integer", "number":
		return number(text, kind == "integer")
	case "boolean":
		if text == "true" || text == "false" {
			return text == "true"
		}
	case "object":
		if value, is := container(text).(map[string]any); is {
			return value
		}
	case "array":
		if value, is := container(text).([]any); is {
			return value
		}
		if !slices.Contains(kinds, "string") {
			return s.items(schema, []string{text}, depth)
		}
	case "string":
		return text
	}
	return nothing{}
}

func (s *schemas) items(schema Schema, texts []string, depth int) []any {
	items, _ := schema["items"].(Schema)
	values := make([]any, 0, len(texts))
	for _, text := range texts {
		values = append(values, kept(s.fit(items, text, depth+1), text))
	}
	return values
}

func (s *schemas) listSchema(schema Schema, depth int) Schema {
	schema = s.resolve(schema)
	if slices.Contains(kindsOf(schema), "array") {
		return schema
	}
	for _, word := range []string{"anyOf", "oneOf", "allOf"} {
		branches, _ := schema[word].([]any)
		for _, branch := range branches {
			inner, _ := branch.(Schema)
			if found := s.listSchema(inner, depth+1); depth < 8 && found != nil {
				return found
			}
		}
	}
	return nil
}

// kindsOf are the types a schema asks for, the most particular first.
func kindsOf(schema Schema) []string {
	var named []string
	switch kind := schema["type"].(type) {
	case string:
		named = []string{kind}
	case []any:
		for _, one := range kind {
			text, _ := one.(string)
			named = append(named, text)
		}
	default:
		if _, there := schema["properties"]; there {
			named = []string{"object"}
		} else if _, there := schema["items"]; there {
			named = []string{"array"}
		}
	}
	var kinds []string
	for _, kind := range []string{"integer", "number", "boolean", "object", "array", "string", "null"} {
		if slices.Contains(named, kind) {
			kinds = append(kinds, kind)
		}
	}
	return kinds
}

func number(text string, whole bool) any {
	value, err := decode([]byte(text))
	number, is := value.(json.Number)
	if err != nil || !is || strings.TrimSpace(text) != text {
		return nothing{}
	}
	written, _ := canonicalNumber(number)
	isFloat := strings.ContainsAny(written, ".e")
	// A whole number too long for 64 bits would lose digits unseen.
	tooLong := isFloat && !strings.ContainsAny(text, ".eE")
	if tooLong || (whole && isFloat) {
		return nothing{}
	}
	return number
}

func container(text string) any {
	start := strings.TrimLeft(text, " \t\r\n")
	if !strings.HasPrefix(start, "[") && !strings.HasPrefix(start, "{") {
		return nothing{}
	}
	value, err := decode([]byte(text))
	if err != nil {
		return nothing{}
	}
	return value
}

func matching(choice any, text string) any {
	if word, is := choice.(string); is {
		if word == text {
			return choice
		}
		return nothing{}
	}
	wanted, err := plain(choice)
	value, wrong := decode([]byte(text))
	if err == nil && wrong == nil && reflect.DeepEqual(wanted, value) {
		return choice
	}
	return nothing{}
}

func rank(value any, text string) int {
	switch value.(type) {
	case string:
		return 1
	case []any:
		if !strings.HasPrefix(strings.TrimLeft(text, " \t\r\n"), "[") {
			return 2
		}
	case nil:
		return 3
	}
	return 0
}
