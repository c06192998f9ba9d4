package http1

import (
	"bytes"
	"strconv"
	"strings"
)

// answerLinesMax limits the number of lines in a head, because short lines take up many
// times their size in memory.
const answerLinesMax = 4096

// Answer is the head of a response. The lines are preserved byte for byte and in order,
// with a few exceptions required for safe forwarding: CR and NUL become spaces, a
// folded line is joined to the previous one (RFC 9112 section 5.2), and every line ends
// in CR LF. The zero Answer is ready for AddLine.
type Answer struct {
	Status int
	Minor  int // the x in HTTP/1.x
	Fields []Field
	// Odd reports whether parsers may disagree about the head, for example because a
	// line is not a field. If so, this should be the last response on its connection.
	Odd bool

	first []byte // status line as forwarded
}

// Field is one line of a head.
type Field struct {
	Name  string // without surrounding whitespace; empty if the line is not a field
	Value string // without surrounding whitespace
	line  []byte // as received, without its line ending
}

// AppendTo appends the line as received.
func (f *Field) AppendTo(b []byte) []byte {
	return append(append(b, f.line...), "\r\n"...)
}

// AddLine adds the next line of the head, including its line ending. It may modify line
// but does not retain it.
func (a *Answer) AddLine(line []byte) error {
	line = cleanLine(line)
	if !IsFieldValue(string(line)) {
		a.Odd = true // some parsers end a line at control characters
	}
	if a.first == nil {
		return a.addFirst(line)
	}
	if len(a.Fields) == answerLinesMax {
		return malformed("its head has too many lines")
	}
	if len(line) > 0 && isBlank(line[0]) {
		if n := len(a.Fields); n > 0 { // otherwise RFC 9112 section 2.2 requires dropping it
			a.Fields[n-1].fold(line)
		}
		return nil
	}
	f := newField(bytes.Clone(line))
	a.Odd = a.Odd || !f.isRegular()
	a.Fields = append(a.Fields, f)
	return nil
}

func newField(line []byte) Field {
	f := Field{line: line}
	if name, value, ok := strings.Cut(string(line), ":"); ok {
		f.Name, f.Value = strings.Trim(name, " \t"), strings.Trim(value, " \t")
	}
	return f
}

// fold appends a continuation line to the field.
func (f *Field) fold(line []byte) {
	if line = bytes.TrimLeft(line, " \t"); len(line) > 0 {
		*f = newField(append(append(bytes.TrimRight(f.line, " \t"), ' '), line...))
	}
}

// isRegular reports whether all parsers agree on the field's name and value.
func (f *Field) isRegular() bool {
	return IsToken(f.Name) && len(f.line) > len(f.Name) && f.line[len(f.Name)] == ':'
}

// addFirst adds the status line. Everything after the version is preserved.
func (a *Answer) addFirst(line []byte) error {
	version, rest, _ := strings.Cut(strings.ReplaceAll(string(line), "\t", " "), " ")
	status := strings.TrimLeft(rest, " ")
	digits, _, _ := strings.Cut(status, " ")
	n, err := strconv.ParseUint(digits, 10, 16)
	switch {
	case !strings.HasPrefix(strings.ToUpper(version), "HTTP/"):
		return malformed("it does not begin with HTTP/1.1")
	case !a.isVersion(strings.ToUpper(version)):
		return malformed("its version is not HTTP/1.1")
	case err != nil || len(digits) != 3 || n < 100:
		return malformed("its status is not a number from 100 to 999")
	}
	a.Status = int(n)
	a.first = bytes.Clone(line)
	if strings.HasPrefix(version, "HTTP/1.") { // a proxy sends its own version
		a.first = append([]byte("HTTP/1.1"), line[len(version):]...)
	} else {
		a.Odd = true // only the most lenient parsers accept that
	}
	a.Odd = a.Odd || status != rest || rest != "" && line[len(version)] == '\t'
	return nil
}

// isVersion reports whether v can be treated as HTTP/1, and sets Minor. Some servers
// send HTTP/2 although they speak HTTP/1.
func (a *Answer) isVersion(v string) bool {
	minor, ok := strings.CutPrefix(v, "HTTP/1.")
	if !ok {
		a.Minor = 1
		return v == "HTTP/2"
	}
	n, err := strconv.ParseUint(minor, 10, 8)
	a.Minor = min(int(n), 1)
	return err == nil && len(minor) == 1
}

// AppendStatus appends the status line.
func (a *Answer) AppendStatus(b []byte) []byte {
	return append(append(b, a.first...), "\r\n"...)
}

// All returns the values of all fields called name.
func (a *Answer) All(name string) (values []string) {
	for _, f := range a.Fields {
		if strings.EqualFold(f.Name, name) {
			values = append(values, f.Value)
		}
	}
	return values
}
