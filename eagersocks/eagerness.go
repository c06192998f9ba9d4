package eagersocks

import (
	"strings"
	"sync"
	"time"

	"tunnels/internal/code"
	"tunnels/internal/recent"
)

const (
	failureMax = 30 * time.Second // how long a failed target is remembered
	failures   = 4096             // how many are remembered
)

// Eagerness decides which requests are answered eagerly. If the target of an eager answer
// cannot be reached, the application gets a reset, which tells it little; so a request
// for a target that failed a moment ago is answered honestly, and browsers, which retry
// at once, see the true code. The zero Eagerness works. Its methods may be called at any
// time from any goroutine; all take constant time. Mode and Reachable must not be
// changed once the Eagerness is in use.
type Eagerness struct {
	Mode Mode
	// Reachable reports whether a server can be reached; while none can, no
	// request is answered eagerly. If it is nil, a server always can. It is called
	// with no lock held.
	Reachable func() bool

	once sync.Once
	last *recent.Map[Address, failure] // static once memory was called
}

// failure is the reason why a remembered target failed.
type failure struct {
	code code.Code
	text string // details; may be empty
}

// memory returns the targets that failed recently.
func (e *Eagerness) memory() *recent.Map[Address, failure] {
	e.once.Do(func() { e.last = recent.New[Address, failure](failures) })
	return e.last
}

// Eager reports whether to answer r before its target is connected.
func (e *Eagerness) Eager(r *Request) bool {
	if r.Command != Connect || e.Mode == Off {
		return false // the answer to UDP depends on the exit
	}
	if _, isIP := r.Target.IP(); isIP && e.Mode == Auto {
		return false
	}
	if e.Reachable != nil && !e.Reachable() {
		return false
	}
	_, failed := e.memory().Get(key(r.Target))
	return !failed
}

// Failed notes that a could not be connected. text is returned by Why, because a later
// reply has room for the code alone. Codes that are not about the target, such as that
// the application went away, are not noted.
func (e *Eagerness) Failed(a Address, c code.Code, text string) {
	if !aboutTarget(c) {
		return
	}
	e.memory().Put(key(a), failure{c, text}, failureMax)
}

// Why returns the text of a's last failure if that is remembered and had code c, else "".
func (e *Eagerness) Why(a Address, c code.Code) string {
	f, ok := e.memory().Get(key(a))
	if !ok || f.code != c {
		return ""
	}
	return f.text
}

// Succeeded notes that a was connected.
func (e *Eagerness) Succeeded(a Address) { e.memory().Delete(key(a)) }

// key returns a with the name in lower case, as it is remembered.
func key(a Address) Address {
	return Address{Host: strings.ToLower(a.Host), Port: a.Port}
}

// aboutTarget reports whether a retry of a session that ended with c is expected to get
// the same code.
func aboutTarget(c code.Code) bool {
	switch c {
	case code.NotAuthorised, code.Overload:
		return true
	}
	return c > code.OK && c <= code.AddressUnsupported
}
