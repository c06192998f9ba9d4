package sla

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
)

const (
	maxKinds  = 64    // maximum number of kinds of lines in a box
	maxDigest = 19000 // maximum bytes of a message in JSON; the robot rejects 20000
	maxAlert  = 1000  // maximum bytes of a line in a message
)

// box holds the lines waiting to be sent. Lines of the same kind share a group.
type box struct {
	full chan struct{} // holds a value if the box may contain lines

	mu      sync.Mutex // guards the fields below; never held during I/O
	groups  []*group   // in the order of their first lines; at most maxKinds
	dropped int        // lines dropped because the box was full
	closed  bool       // rejects further lines
}

// group represents the lines of one kind. A group in the box is guarded by the box's
// lock; a group in a digest is owned by the sender.
type group struct {
	kind  string
	line  string // text of the first line
	count int
	last  time.Time
}

func newBox() box { return box{full: make(chan struct{}, 1)} }

// add adds a line, or drops and counts it.
func (b *box) add(t time.Time, level Level, r record) {
	kind := kindOf(level, r)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	if g := b.find(kind); g != nil {
		g.count++
		g.last = t
	} else if len(b.groups) < maxKinds {
		line := string(r.appendText(nil, t, level))
		b.groups = append(b.groups, &group{kind: kind, line: cut(line, maxAlert), count: 1, last: t})
	} else {
		b.dropped++
	}
	b.signal()
}

// find returns the group for a kind, or nil. The caller holds mu.
func (b *box) find(kind string) *group {
	i := slices.IndexFunc(b.groups, func(g *group) bool { return g.kind == kind })
	if i < 0 {
		return nil
	}
	return b.groups[i]
}

// signal wakes the sender. The caller holds mu.
func (b *box) signal() {
	select {
	case b.full <- struct{}{}:
	default:
	}
}

// close makes the box reject further lines. Its content remains.
func (b *box) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
}

func (b *box) empty() bool { return b.lines() == 0 }

// lines returns how many lines are waiting, including dropped ones.
func (b *box) lines() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := b.dropped
	for _, g := range b.groups {
		n += g.count
	}
	return n
}

// take removes as many groups as fit into one message. ok is false if the box was
// empty.
func (b *box) take() (d digest, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	size, n := 400, 0 // the first and last lines
	for n < len(b.groups) {
		if size += jsonSize(b.groups[n].String()); size > maxDigest {
			break
		}
		n++
	}
	d = digest{groups: slices.Clone(b.groups[:n]), dropped: b.dropped}
	b.groups, b.dropped = slices.Clone(b.groups[n:]), 0
	if len(b.groups) > 0 {
		b.signal()
	}
	return d, n > 0 || d.dropped > 0
}

// jsonSize returns the size of s in JSON, including a newline.
func jsonSize(s string) int {
	b, _ := json.Marshal(s) // marshaling a string cannot fail
	return len(b)
}

// putBack puts the lines of an unsent message back into the box, ahead of newer ones.
func (b *box) putBack(d digest) {
	b.mu.Lock()
	defer b.mu.Unlock()
	since := b.groups
	b.groups, b.dropped = d.groups, b.dropped+d.dropped
	for _, g := range since {
		if old := b.find(g.kind); old != nil {
			old.count += g.count
			old.last = g.last
		} else if len(b.groups) < maxKinds {
			b.groups = append(b.groups, g)
		} else {
			b.dropped += g.count
		}
	}
	b.signal()
}

// digest is the content of one message.
type digest struct {
	groups  []*group
	dropped int
}

// text returns the message: a line with the machine's name, then a line for each kind.
func (d digest) text() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	total := d.dropped
	for _, g := range d.groups {
		total += g.count
	}
	var s strings.Builder
	fmt.Fprintf(&s, "tunnels on %s, alerts: %d", cut(quote(host), 50), total)
	for _, g := range d.groups {
		s.WriteString("\n" + g.String())
	}
	if d.dropped > 0 {
		fmt.Fprintf(&s, "\nand %d more, of other kinds", d.dropped)
	}
	return s.String()
}

// String returns the group's line for a message.
func (g *group) String() string {
	if g.count == 1 {
		return g.line
	}
	return fmt.Sprintf("%s (×%d, last at %s)", g.line, g.count, g.last.Format(time.TimeOnly))
}

// kindOf returns a key that is equal for lines with the same level, category and event,
// whatever the id. It therefore omits the record's id and every word that contains a
// digit, such as addresses, ports, sessions, counts and durations.
func kindOf(level Level, r record) string {
	what := r.text
	if r.sign != 0 {
		what = strings.ReplaceAll(r.reason, r.id, "*")
		if host, _, err := net.SplitHostPort(r.id); err == nil && host != "" {
			what = strings.ReplaceAll(what, host, "*")
		}
	}
	var b strings.Builder
	b.WriteString(level.String() + r.cat)
	for len(what) > 0 {
		n := strings.IndexFunc(what, notInWord)
		switch {
		case n < 0:
			n = len(what)
		case n == 0:
			n = 1
		}
		if word := what[:n]; strings.ContainsAny(word, "0123456789") {
			b.WriteByte('#')
		} else {
			b.WriteString(word)
		}
		what = what[n:]
	}
	return b.String()
}

func notInWord(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }
