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
	maxKinds  = 64    // kinds of lines that wait in a box
	maxDigest = 19000 // bytes of a message in JSON; the robot refuses 20000
	maxAlert  = 1000  // bytes of a line in a message
)

// box holds the lines that wait to be sent, those of the same kind as one.
type box struct {
	full chan struct{} // has an element while the box may have something in it

	mu      sync.Mutex // guards what follows; never held during I/O
	groups  []*group   // in the order of their first lines; at most maxKinds
	dropped int        // lines for which there was no room
	closed  bool       // takes no more lines
}

// group is the lines of one kind. The box's lock guards those in it; in a
// digest they belong to the sender.
type group struct {
	kind  string
	line  string // the first
	count int
	last  time.Time
}

func newBox() box { return box{full: make(chan struct{}, 1)} }

// add puts a line in, or drops and counts it.
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

// find is the group of a kind, or nil. The caller holds mu.
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

// close makes the box take no more lines; what is in it stays.
func (b *box) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
}

func (b *box) empty() bool { return b.lines() == 0 }

// lines is how many lines wait, with those that were dropped.
func (b *box) lines() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := b.dropped
	for _, g := range b.groups {
		n += g.count
	}
	return n
}

// take takes as much out of the box as fits into one message; ok is false if
// the box was empty.
func (b *box) take() (d digest, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	size, n := 400, 0 // the first and the last line
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

// jsonSize is how long s, or a new line with it, is in JSON.
func jsonSize(s string) int {
	b, _ := json.Marshal(s) // a string has no errors
	return len(b)
}

// putBack puts in what could not be sent, before what came since.
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

// text is the message: which machine, and a line for each kind.
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

// String is the group's line of a message.
func (g *group) String() string {
	if g.count == 1 {
		return g.line
	}
	return fmt.Sprintf("%s (×%d, last at %s)", g.line, g.count, g.last.Format(time.TimeOnly))
}

// kindOf is equal for lines that tell the same story: level, category and what
// happened, without whom it happened to. So the record's id goes, and whatever
// has a digit in it: addresses, ports, sessions, counts, durations.
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
