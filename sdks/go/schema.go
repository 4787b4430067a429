package guichet

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// Schema is a JSON Schema of 2020-12.
type Schema = map[string]any

// HasSchema is a type that says its own JSON Schema.
type HasSchema interface{ JSONSchema() map[string]any }

var (
	hasSchema  = reflect.TypeFor[HasSchema]()
	momentType = reflect.TypeFor[time.Time]()
	numberType = reflect.TypeFor[json.Number]()
	rawType    = reflect.TypeFor[json.RawMessage]()
	writesJSON = reflect.TypeFor[json.Marshaler]()
	writesText = reflect.TypeFor[encoding.TextMarshaler]()
)

// schemas reads Go types; named structs land in definitions.
type schemas struct{ definitions map[string]any }

// ofInput is the schema of an input type: a struct that takes no further members.
func (s *schemas) ofInput(kind reflect.Type) (Schema, error) {
	if kind.Kind() != reflect.Struct {
		return nil, fmt.Errorf("its input type `%s` is no struct", kind)
	}
	return s.ofStruct(kind)
}

func (s *schemas) of(kind reflect.Type) (Schema, error) {
	switch {
	case kind.Implements(hasSchema):
		return reflect.New(kind).Elem().Interface().(HasSchema).JSONSchema(), nil
	case kind == momentType:
		return Schema{"type": "string", "format": "date-time"}, nil
	case kind == numberType:
		return Schema{"type": "number"}, nil
	case kind == rawType:
		return Schema{}, nil
	case isBytes(kind):
		return Schema{"type": "string", "contentEncoding": "base64"}, nil
	}
	switch kind.Kind() {
	case reflect.Bool:
		return Schema{"type": "boolean"}, nil
	case reflect.String:
		return Schema{"type": "string"}, nil
	case reflect.Float32, reflect.Float64:
		return Schema{"type": "number"}, nil
	case reflect.Int8, reflect.Int16, reflect.Int32:
		bits := kind.Bits() - 1
		return Schema{"type": "integer", "minimum": -(int64(1) << bits), "maximum": int64(1)<<bits - 1}, nil
	case reflect.Int, reflect.Int64:
		return Schema{"type": "integer"}, nil
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		return Schema{"type": "integer", "minimum": 0, "maximum": int64(1)<<kind.Bits() - 1}, nil
	case reflect.Uint, reflect.Uint64:
		return Schema{"type": "integer", "minimum": 0}, nil
	case reflect.Interface:
		return Schema{}, nil
	case reflect.Pointer:
		inner, err := s.of(kind.Elem())
		return nullable(inner), err
	case reflect.Slice, reflect.Array:
		items, err := s.of(kind.Elem())
		return Schema{"type": "array", "items": items}, err
	case reflect.Map:
		values, err := s.of(kind.Elem())
		return Schema{"type": "object", "additionalProperties": values}, err
	case reflect.Struct:
		return s.reference(kind)
	}
	return nil, fmt.Errorf("a value of type `%s` cannot be told as JSON", kind)
}

// ofFact is the schema of a fact that policies read: a boolean, a whole number, a text, or a list of one of them.
func (s *schemas) ofFact(kind reflect.Type) (Schema, error) {
	schema, err := s.of(kind)
	if err != nil {
		return nil, err
	}
	named := schema
	if items, list := schema["items"].(Schema); list {
		named = items
	}
	switch named["type"] {
	case "boolean", "integer", "string":
		// A policy could only compare the text of bytes.
		if named["contentEncoding"] == nil {
			return schema, nil
		}
	}
	return nil, fmt.Errorf("policies read no `%s`: only bool, whole numbers, string, and slices of them", kind)
}

// isBytes says whether encoding/json writes and reads it as a text in base64. An array of bytes is a list of numbers there.
func isBytes(kind reflect.Type) bool {
	if kind.Kind() != reflect.Slice || kind.Elem().Kind() != reflect.Uint8 {
		return false
	}
	each := reflect.PointerTo(kind.Elem())
	return !each.Implements(writesJSON) && !each.Implements(writesText)
}

func (s *schemas) reference(kind reflect.Type) (Schema, error) {
	name := kind.Name()
	if name == "" || strings.ContainsAny(name, "[]/.") {
		return s.ofStruct(kind)
	}
	if _, known := s.definitions[name]; !known {
		// A type may contain itself.
		s.definitions[name] = Schema{}
		schema, err := s.ofStruct(kind)
		if err != nil {
			return nil, err
		}
		s.definitions[name] = schema
	}
	return Schema{"$ref": "#/components/schemas/" + name}, nil
}

func (s *schemas) ofStruct(kind reflect.Type) (Schema, error) {
	members, required := map[string]any{}, []any{}
	var wrong []error
	for _, field := range reflect.VisibleFields(kind) {
		name, optional, there := memberOf(field)
		if !there {
			continue
		}
		member, err := s.of(field.Type)
		if err == nil {
			member, err = tagged(member, field.Tag)
		}
		if err != nil {
			wrong = append(wrong, fmt.Errorf("member `%s`: %w", name, err))
			continue
		}
		members[name] = member
		if !optional {
			required = append(required, name)
		}
	}
	schema := Schema{"type": "object", "properties": members, "additionalProperties": false}
	if len(required) > 0 {
		schema["required"] = required
	}
	return schema, errors.Join(wrong...)
}

// memberOf is the name of a field in JSON, and whether it may be absent: a pointer, or one with omitempty or omitzero.
func memberOf(field reflect.StructField) (name string, optional, there bool) {
	tag := field.Tag.Get("json")
	if !field.IsExported() || tag == "-" || (field.Anonymous && tag == "") {
		return "", false, false
	}
	name, options, _ := strings.Cut(tag, ",")
	if name == "" {
		name = field.Name
	}
	optional = field.Type.Kind() == reflect.Pointer || strings.Contains(options, "omit")
	return name, optional, true
}

// tagged adds what the tags say: doc:"Whom to greet." schema:"minimum=1,maximum=10,enum=a|b,default=3,sensitive"
func tagged(schema Schema, tag reflect.StructTag) (Schema, error) {
	if text := tag.Get("doc"); text != "" {
		schema = with(schema, "description", text)
	}
	said := tag.Get("schema")
	if said == "" {
		return schema, nil
	}
	for _, part := range strings.Split(said, ",") {
		word, text, _ := strings.Cut(part, "=")
		switch word {
		case "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "minItems", "maxItems":
			number, err := strconv.ParseFloat(text, 64)
			if err != nil {
				return nil, fmt.Errorf("`%s` is no number", part)
			}
			schema = with(schema, word, number)
			if number == math.Trunc(number) && math.Abs(number) < 1<<53 {
				schema[word] = int64(number)
			}
		case "pattern", "format":
			schema = with(schema, word, text)
		case "default":
			value, err := decode([]byte(text))
			if err != nil {
				value = text
			}
			schema = with(schema, word, value)
		case "enum":
			choices := []any{}
			for _, choice := range strings.Split(text, "|") {
				choices = append(choices, choice)
			}
			schema = with(schema, word, choices)
		case "sensitive":
			schema = with(schema, "x-guichet", map[string]any{"sensitive": true})
		default:
			return nil, fmt.Errorf("its tag says `%s`, which is no word of a schema here", word)
		}
	}
	return schema, nil
}

func with(schema Schema, name string, value any) Schema {
	more := Schema{}
	for known, said := range schema {
		more[known] = said
	}
	more[name] = value
	return more
}

func nullable(schema Schema) Schema {
	if kind, plain := schema["type"].(string); plain {
		return with(schema, "type", []any{kind, "null"})
	}
	if len(schema) == 0 {
		return schema
	}
	return Schema{"anyOf": []any{schema, Schema{"type": "null"}}}
}

// withoutNull removes null from what a schema allows: in a path or a query, what is absent is null.
func withoutNull(schema Schema) Schema {
	if kinds, several := schema["type"].([]any); several && len(kinds) == 2 && kinds[1] == "null" {
		return with(schema, "type", kinds[0])
	}
	if branches, several := schema["anyOf"].([]any); several && len(branches) == 2 {
		if first, plain := branches[0].(Schema); plain {
			for name, value := range schema {
				if name != "anyOf" {
					first = with(first, name, value)
				}
			}
			return first
		}
	}
	return schema
}

// takes says whether a schema says plainly that a value may be of this type.
func (s *schemas) takes(schema any, kind string, depth int) bool {
	at, _ := schema.(Schema)
	at = s.resolve(at)
	for _, named := range kindsOf(at) {
		if named == kind {
			return true
		}
	}
	branches, _ := at["anyOf"].([]any)
	for _, branch := range branches {
		if depth < 8 && s.takes(branch, kind, depth+1) {
			return true
		}
	}
	return false
}

func (s *schemas) resolve(schema Schema) Schema {
	for range 16 {
		reference, _ := schema["$ref"].(string)
		target, known := s.definitions[reference[strings.LastIndex(reference, "/")+1:]].(Schema)
		if !known {
			break
		}
		schema = target
	}
	return schema
}
