package guichet

import (
	"errors"
	"fmt"
)

// Problem is one problem of RFC 9457: what happened, why, and what to do next.
type Problem struct {
	Type   string       `json:"type,omitempty"`
	Title  string       `json:"title"`
	Status int          `json:"status"`
	Code   string       `json:"code,omitempty"`
	Detail string       `json:"detail"`
	Next   string       `json:"next,omitempty"`
	Errors []FieldError `json:"errors,omitempty"`
}

// FieldError is one member of an input that is wrong.
type FieldError struct {
	// Pointer is a JSON pointer into the input; empty for the input itself.
	Pointer string `json:"pointer"`
	Message string `json:"message"`
}

// ActionError says why an action was not done, in words for the person who asked. Any other error that a handler gives counts
// as [Failed] with its text. A handler that panics in a change claims nothing: nobody knows how far it came.
type ActionError struct{ Problem Problem }

func (e *ActionError) Error() string { return e.Problem.Detail }

// Next says what to do next.
func (e *ActionError) Next(next string) *ActionError {
	e.Problem.Next = next
	return e
}

var codes = map[string]struct {
	status int
	title  string
}{
	"bad-request":          {400, "The request cannot be read"},
	"invalid-input":        {422, "The input is not valid"},
	"not-signed-in":        {401, "You are not signed in"},
	"invalid-credentials":  {401, "The credentials are not valid"},
	"not-found":            {404, "There is nothing here"},
	"method-not-allowed":   {405, "This method is not offered here"},
	"run-cancelled":        {409, "The run was stopped on request"},
	"idempotency-conflict": {409, "This Idempotency-Key was used for something else"},
	"not-offered":          {422, "The action does not offer this"},
	"body-too-large":       {413, "The body is too large"},
	"provider-failed":      {502, "The provider reports a failure"},
	"provider-silent":      {504, "The provider's answer never came"},
	"provider-busy":        {503, "The provider cannot take the call now"},
}

func problem(code, format string, values ...any) *ActionError {
	known := codes[code]
	return &ActionError{Problem{
		Type: "https://guichet.dev/errors/" + code, Title: known.title, Status: known.status, Code: code,
		Detail: fmt.Sprintf(format, values...),
	}}
}

func own(status int, title, format string, values []any) *ActionError {
	e := problem("provider-failed", format, values...)
	e.Problem.Status, e.Problem.Title = status, title
	return e
}

// NotFound: what was named does not exist (404).
func NotFound(format string, values ...any) *ActionError {
	return own(404, "There is no such thing", format, values)
}

// Refused: the provider will not do this, whoever asks and however often (403).
func Refused(format string, values ...any) *ActionError {
	return own(403, "The provider refuses this", format, values)
}

// Conflict: the world is not as the call supposes: it changed since it was planned, or someone else was first (409).
func Conflict(format string, values ...any) *ActionError {
	return own(409, "Things are not as they were", format, values)
}

// Unavailable: what the action needs cannot be reached now; nothing was done (503).
func Unavailable(format string, values ...any) *ActionError {
	return own(503, "What the action needs is not available", format, values)
}

// Failed: it went wrong (500).
func Failed(format string, values ...any) *ActionError {
	return own(500, "The action has failed", format, values)
}

// Invalid: a member of the input is wrong in a way its schema cannot tell (422). The pointer is a JSON pointer: /pid.
func Invalid(pointer, message string) *ActionError {
	e := problem("invalid-input", "%s", message)
	e.Problem.Errors = []FieldError{{Pointer: pointer, Message: message}}
	return e
}

// Cancelled: it was stopped, since somebody asked for that.
func Cancelled() *ActionError { return problem("run-cancelled", "it was stopped on request") }

func denied(format string, values ...any) *ActionError {
	return problem("invalid-credentials", format, values...).Next("call the action through the gateway")
}

// begun is why a handler did not do it. That the call was not taken only who has not called it can say: a gateway would call again, and
// the handler may have done a part of it.
func (p Problem) begun() Problem {
	if p.Code != "provider-busy" {
		return p
	}
	failed := problem("provider-failed", "%s", p.Detail).Problem
	failed.Status, failed.Next = p.Status, p.Next
	return failed
}

// asActionError is any error in the form that goes on the wire.
func asActionError(err error) *ActionError {
	var known *ActionError
	if errors.As(err, &known) {
		return known
	}
	return Failed("%s", err)
}
