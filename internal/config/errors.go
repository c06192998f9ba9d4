package config

import (
	"errors"
	"fmt"
	"strings"

	"tunnels/internal/keytext"
	"tunnels/internal/typo"
)

// ErrNoRole is returned by Parse if neither -server nor -client was given; the caller
// prints Usage.
var ErrNoRole = &Error{Want: "want -client, -server or both; tunnels -h shows how"}

// Error is one problem with the user's input. The process exits with code 2.
type Error struct {
	Name   string // the option, "server.addr", or empty if the error is not about a single one
	Value  string // the value; empty for a secret
	Origin string // "command line", "environment variable …" or file:line
	Want   string // what is wrong or what is expected
}

// Error returns one line: -server.addr "vps" (command line): want …
func (e *Error) Error() string {
	var b strings.Builder
	if e.Name != "" {
		fmt.Fprintf(&b, "-%s ", e.Name)
	}
	if e.Value != "" {
		fmt.Fprintf(&b, "%s ", keytext.Quote(e.Value))
	}
	if e.Origin != "" && e.Origin != byDefault {
		fmt.Fprintf(&b, "(%s) ", e.Origin)
	}
	if b.Len() == 0 {
		return e.Want
	}
	if e.Value == "" && e.Origin == byDefault && strings.HasPrefix(e.Want, "is ") {
		return b.String() + e.Want
	}
	return strings.TrimSuffix(b.String(), " ") + ": " + e.Want
}

// wrong returns an Error about the value of an option.
func (c *Config) wrong(name, format string, a ...any) error {
	value := c.given[name].value
	if o := c.option(name); o != nil && !c.Given(name) {
		value = o.def
	} else if o != nil && (o.secret || o.hidden) {
		value = ""
	}
	return &Error{Name: name, Value: value, Origin: c.origin(name), Want: fmt.Sprintf(format, a...)}
}

// unknownName returns an Error about a name that is not an option.
func unknownName(spelled, origin string, known []string) *Error {
	want := "there is no such option; tunnels help options lists them all"
	if near := typo.Nearest(spelled, known); near != "" {
		want = "there is no such option; did you mean " + near + "?"
	}
	return &Error{Value: spelled, Origin: origin, Want: want}
}

// problems collects errors, so that all are reported together.
type problems []error

func (p *problems) add(err error) {
	if err != nil {
		*p = append(*p, err)
	}
}

func (p problems) err() error { return errors.Join(p...) }
