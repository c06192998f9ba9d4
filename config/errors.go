package config

import (
	"errors"
	"fmt"
	"strings"
)

// ErrNoRole is Parse's error if neither -server nor -client was given: the
// caller prints Usage.
var ErrNoRole = &Error{Want: "want -client, -server or both"}

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
		fmt.Fprintf(&b, "%q ", e.Value)
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

// unknown is an Error about a name that no option has.
func unknown(name, spelled, origin string, known []string) error {
	want := "there is no such option; tunnels -h lists them all"
	if near := nearest(name, known); near != "" {
		want = "there is no such option; did you mean " + near + "?"
	}
	return &Error{Value: spelled, Origin: origin, Want: want}
}

// nearest is the known name that name is a typing error of, empty if it looks
// like none of them.
func nearest(name string, known []string) string {
	const longest = 64
	if len(name) > longest {
		return ""
	}
	best, least := "", 2+len(name)/5
	for _, k := range known {
		if d := distance(strings.ToLower(name), strings.ToLower(k)); d < least {
			best, least = k, d
		}
	}
	return best
}

// distance is the Levenshtein distance of two short texts.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		above := row[0]
		row[0]++
		for j := range len(b) {
			change := above
			if a[i] != b[j] {
				change++
			}
			above = row[j+1]
			row[j+1] = min(change, above+1, row[j]+1)
		}
	}
	return row[len(b)]
}

// problems collects errors, so that the user hears of all of them at once.
type problems []error

func (p *problems) add(err error) {
	if err != nil {
		*p = append(*p, err)
	}
}

func (p problems) err() error { return errors.Join(p...) }
