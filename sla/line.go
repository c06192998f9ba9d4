package sla

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/sirupsen/logrus"
)

// Grammar is a regular expression that matches each line in text format, without its
// newline. Its groups are time, level, category, sign, id, count, client, from, up,
// down, sec and reason for an event, or time, level and text for a message.
const Grammar = `^(?P<time>\d{4}\.\d\d\.\d\d \d\d:\d\d:\d\d) \[(?P<level>debg|info|warn|erro|fata)\] ` +
	`(?:\[(?P<category>conn|sess|sock)\] (?P<sign>[+-]) (?P<id>[\pL\pM\pN\pP\pS]+) = (?P<count>\d+)` + fieldsGrammar + `(?: (?P<reason>[\pL\pM\pN\pP\pS ]+))?` +
	`|\[main\] (?P<text>[\pL\pM\pN\pP\pS ]+))$`

const (
	timeLayout = "2006.01.02 15:04:05"
	jsonLayout = "2006-01-02T15:04:05.000Z07:00"
	maxText    = 4 << 10 // maximum bytes of an id, reason or text in a line
)

var grammar = regexp.MustCompile(Grammar)

// Check returns an error if line, given without its newline, is not a valid line in text
// format.
func Check(line string) error {
	m := grammar.FindStringSubmatch(line)
	if m == nil || !utf8.ValidString(line) { // a regexp treats an invalid byte as U+FFFD
		return fmt.Errorf("line %.200q does not match the grammar", line)
	}
	if _, err := time.Parse(timeLayout, m[grammar.SubexpIndex("time")]); err != nil {
		return fmt.Errorf("line %.200q has an invalid time: %w", line, err)
	}
	if m[grammar.SubexpIndex("sign")] == "+" && m[grammar.SubexpIndex("reason")] != "" {
		return fmt.Errorf("line %.200q: an opening line must not have a reason", line)
	}
	return nil
}

// record is a line's content except for its time and level. Its strings are quoted.
type record struct {
	cat    string // four letters
	sign   byte   // '+' or '-', or 0 for a message
	id     string
	count  int64
	fields Fields
	reason string // reason for closing; may be empty
	told   string // the part of the reason that an alert may contain
	text   string // text of a message
}

// appendText appends the line in text format, without its newline.
func (r record) appendText(b []byte, t time.Time, level Level) []byte {
	b = t.AppendFormat(b, timeLayout)
	b = append(b, " ["...)
	b = append(b, level.String()...)
	b = append(b, "] ["...)
	b = append(b, r.cat...)
	b = append(b, "] "...)
	if r.sign == 0 {
		return append(b, r.text...)
	}
	b = append(b, r.sign, ' ')
	b = append(b, r.id...)
	b = append(b, " = "...)
	b = strconv.AppendInt(b, r.count, 10)
	b = r.fields.appendText(b)
	if r.reason != "" {
		b = append(b, ' ')
		b = append(b, r.reason...)
	}
	return b
}

// jsonLine is a record in JSON format.
type jsonLine struct {
	Time     string `json:"time"`
	Level    string `json:"level"`
	Category string `json:"category"`
	Sign     string `json:"sign,omitempty"`
	ID       string `json:"id,omitempty"`
	Count    *int64 `json:"count,omitempty"` // nil for a message; included for an event even if it is 0
	jsonFields
	Reason string `json:"reason,omitempty"`
	Msg    string `json:"msg,omitempty"`
}

// appendJSON appends the line in JSON format, without its newline.
func (r record) appendJSON(b []byte, t time.Time, level Level) ([]byte, error) {
	j := jsonLine{
		Time:     t.Format(jsonLayout),
		Level:    level.String(),
		Category: r.cat,
		ID:       r.id,
		Reason:   r.reason,
		Msg:      r.text,

		jsonFields: r.fields.json(),
	}
	if r.sign != 0 {
		j.Sign, j.Count = string(rune(r.sign)), &r.count
	}
	line, err := json.Marshal(j)
	return append(b, line...), err
}

// formatter formats logrus entries as lines.
type formatter struct{ json bool }

// recordKey is the field of a logrus entry that holds its record.
const recordKey = "record"

// Format returns the entry's line with its newline, in the entry's own buffer.
func (f formatter) Format(e *logrus.Entry) ([]byte, error) {
	r, _ := e.Data[recordKey].(record)
	return f.appendLine(e.Buffer.AvailableBuffer(), e.Time, fromLogrus(e.Level), r)
}

func (f formatter) appendLine(b []byte, t time.Time, level Level, r record) (_ []byte, err error) {
	if f.json {
		b, err = r.appendJSON(b, t, level)
	} else {
		b = r.appendText(b, t, level)
	}
	return append(b, '\n'), err
}

// quote makes any text suitable for a line: printable, limited in length and not empty.
// Text that is already quoted is unchanged.
func quote(s string) string { return escape(s, ' ') }

// quoteID is like quote, but for an id, which must not contain spaces, because they
// would end the field early.
func quoteID(s string) string { return escape(s, '!') }

// escape implements quote. Printable ASCII characters from first onwards are unchanged.
func escape(s string, first byte) string {
	if s == "" {
		return `""`
	}
	if len(s) <= maxText && isPlain(s, first) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		piece := s[:n]
		switch {
		case r == utf8.RuneError && n == 1:
			piece = fmt.Sprintf(`\x%02x`, s[0])
		case r == ' ' && first > ' ':
			piece = `\x20`
		case !unicode.IsPrint(r):
			q := strconv.QuoteRuneToASCII(r)
			piece = q[1 : len(q)-1]
		}
		if b.Len()+len(piece) > maxText {
			b.WriteString("…")
			break
		}
		b.WriteString(piece)
		s = s[n:]
	}
	return b.String()
}

// isPlain reports whether s contains only printable ASCII characters from first
// onwards.
func isPlain(s string, first byte) bool {
	for i := range len(s) {
		if s[i] < first || s[i] > '~' {
			return false
		}
	}
	return true
}

// cut shortens quoted text to at most n bytes.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	n -= len("…")
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}
