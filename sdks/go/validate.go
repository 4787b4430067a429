package guichet

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// mostErrors is how many wrong members are told.
const mostErrors = 10

var english = message.NewPrinter(language.English)

// validator checks an action's flat input, with our names.
func (p *Provider) validator(a *Action) (*jsonschema.Schema, error) {
	whole, err := plain(with(a.inputSchema(), "components", map[string]any{"schemas": p.schemas.definitions}))
	if err != nil {
		return nil, err
	}
	compiler := jsonschema.NewCompiler()
	// What is no base64 is told where it stands.
	compiler.AssertContent()
	if err := compiler.AddResource("input.json", whole); err != nil {
		return nil, err
	}
	return compiler.Compile("input.json")
}

// validate tells the first ten things that are wrong with an input, each with a pointer. Wrong values are not shown: they may be
// secrets.
func validate(validator *jsonschema.Schema, input any) error {
	err := validator.Validate(input)
	var wrong *jsonschema.ValidationError
	if !errors.As(err, &wrong) {
		return err
	}
	var found []FieldError
	leaves(wrong, &found)
	if len(found) == 0 {
		found = []FieldError{{Message: "it does not fit the schema"}}
	}
	place := found[0].Pointer
	if place == "" {
		place = "the input"
	}
	invalid := problem("invalid-input", "%s: %s", place, found[0].Message)
	invalid.Problem.Errors = found[:min(len(found), mostErrors)]
	return invalid
}

func leaves(wrong *jsonschema.ValidationError, found *[]FieldError) {
	if len(wrong.Causes) > 0 {
		for _, cause := range wrong.Causes {
			leaves(cause, found)
		}
		return
	}
	var pointer strings.Builder
	for _, part := range wrong.InstanceLocation {
		pointer.WriteString("/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(part))
	}
	*found = append(*found, FieldError{pointer.String(), words(wrong.ErrorKind)})
}

func words(of jsonschema.ErrorKind) string {
	switch of := of.(type) {
	case *kind.Pattern:
		return fmt.Sprintf("it does not match the pattern %s", of.Want)
	case *kind.Format:
		return fmt.Sprintf("it is no %s", of.Want)
	case *kind.Minimum:
		return "it is less than " + of.Want.RatString()
	case *kind.Maximum:
		return "it is more than " + of.Want.RatString()
	}
	return of.LocalizedString(english)
}

// unmarshal reads JSON into a value, with numbers kept as text where the type is any.
func unmarshal(text []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	return decoder.Decode(into)
}
