package config

import (
	"errors"
	"fmt"
	"strings"

	"tunnels/internal/keytext"
	"tunnels/internal/typo"
)

// ErrNoRole is Parse's error if neither -server nor -client was given: the
// caller prints Usage.
var ErrNoRole = &Error{Want: "want -client, -server or both; tunnels -h shows how"}

// Error is one thing that is wrong with what the user gave. The process that
// was told so ends with exit code 2.
type Error struct {
	Name   string // the option, "server.addr"; empty: the error is about no single one
	Value  string // what was given for it; empty for a secret
	Origin string // where: "command line", "environment variable …" or file:line
	Want   string // what is wrong or would be right
}

// Error is one line: -server.addr "vps" (command line): want …
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

// wrong is an Error about the value that an option has.
func (c *Config) wrong(name, format string, a ...any) error {
	value := c.given[name].value
	if o := c.option(name); o != nil && !c.Given(name) {
		value = o.def
	} else if o != nil && (o.secret || o.hidden) {
		value = ""
	}
	return &Error{Name: name, Value: value, Origin: c.origin(name), Want: fmt.Sprintf(format, a...)}
}

// unknownName is an Error about a name that no option has.
func unknownName(spelled, origin string, known []string) *Error {
	want := "there is no such option; tunnels help options lists them all"
	if near := typo.Nearest(spelled, known); near != "" {
		want = "there is no such option; did you mean " + near + "?"
	}
	return &Error{Value: spelled, Origin: origin, Want: want}
}

// problems collects errors, so that the user hears of all of them at once.
type problems []error

func (p *problems) add(err error) {
	if err != nil {
		*p = append(*p, err)
	}
}

func (p problems) err() error { return errors.Join(p...) }
