package sla

import (
	"encoding/json"
	"regexp"
	"strconv"
	"time"
)

// Fields adds details to an event. Texts may contain any bytes.
type Fields struct {
	Client string // the client's name; not shown if empty
	From   string // the client's address; not shown if empty

	Counted  bool  // show Up and Down
	Up, Down int64 // bytes from the application to the target, and back

	Lasted time.Duration // how long the connection was open; not shown if 0
}

// fieldsGrammar is the part of Grammar that matches Fields.
const fieldsGrammar = `(?: client=(?P<client>[\pL\pM\pN\pP\pS]+))?(?: from=(?P<from>[\pL\pM\pN\pP\pS]+))?` +
	`(?: up=(?P<up>\d+) down=(?P<down>\d+))?(?: sec=(?P<sec>\d+\.\d{3}))?`

// likeField matches a reason that could be mistaken for a field.
var likeField = regexp.MustCompile(`^(client|from|up|down|sec)=`)

// quoteReason is like quote, but for a reason, which must not look like a field.
func quoteReason(s string) string {
	s = quote(s)
	if m := likeField.FindString(s); m != "" {
		return m[:len(m)-1] + `\x3d` + s[len(m):]
	}
	return s
}

// quoted returns f with its texts escaped for use in a line.
func (f Fields) quoted() Fields {
	if f.Client != "" {
		f.Client = quoteID(f.Client)
	}
	if f.From != "" {
		f.From = quoteID(f.From)
	}
	return f
}

// appendText appends the fields to be shown, each preceded by a space.
func (f Fields) appendText(b []byte) []byte {
	if f.Client != "" {
		b = append(append(b, " client="...), f.Client...)
	}
	if f.From != "" {
		b = append(append(b, " from="...), f.From...)
	}
	if f.Counted {
		b = strconv.AppendInt(append(b, " up="...), f.Up, 10)
		b = strconv.AppendInt(append(b, " down="...), f.Down, 10)
	}
	if f.Lasted > 0 {
		b = append(append(b, " sec="...), f.seconds()...)
	}
	return b
}

func (f Fields) seconds() string { return strconv.FormatFloat(f.Lasted.Seconds(), 'f', 3, 64) }

// jsonFields is the JSON form of Fields.
type jsonFields struct {
	Client string      `json:"client,omitempty"`
	From   string      `json:"from,omitempty"`
	Up     *int64      `json:"up,omitempty"`
	Down   *int64      `json:"down,omitempty"`
	Sec    json.Number `json:"sec,omitempty"`
}

func (f Fields) json() jsonFields {
	j := jsonFields{Client: f.Client, From: f.From}
	if f.Counted {
		j.Up, j.Down = &f.Up, &f.Down
	}
	if f.Lasted > 0 {
		j.Sec = json.Number(f.seconds())
	}
	return j
}
