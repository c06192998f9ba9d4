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

// Policy decides which requests are answered eagerly. If the target of an eager answer
// cannot be reached, the application gets a reset, which tells it little; so a request
// for a target that failed a moment ago is answered honestly, and browsers, which retry
// at once, see the true code. The zero Policy works. Its methods may be called at any
// time from any goroutine; all take constant time. Mode and Reachable must not be
// changed once the Policy is in use.
type Policy struct {
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
func (p *Policy) memory() *recent.Map[Address, failure] {
	p.once.Do(func() { p.last = recent.New[Address, failure](failures) })
	return p.last
}

// Eager reports whether to answer r before its target is connected.
func (p *Policy) Eager(r *Request) bool {
	if r.Command != Connect || p.Mode == Off {
		return false // the answer to UDP depends on the exit
	}
	if _, isIP := r.Target.IP(); isIP && p.Mode == Auto {
		return false
	}
	if p.Reachable != nil && !p.Reachable() {
		return false
	}
	_, failed := p.memory().Get(key(r.Target))
	return !failed
}

// Failed notes that a could not be connected. text is returned by Why, because a later
// reply has room for the code alone. Codes that are not about the target, such as that
// the application went away, are not noted.
func (p *Policy) Failed(a Address, c code.Code, text string) {
	if !aboutTarget(c) {
		return
	}
	p.memory().Put(key(a), failure{c, text}, failureMax)
}

// Why returns the text of a's last failure if that is remembered and had code c, else "".
func (p *Policy) Why(a Address, c code.Code) string {
	f, ok := p.memory().Get(key(a))
	if !ok || f.code != c {
		return ""
	}
	return f.text
}

// Succeeded notes that a was connected.
func (p *Policy) Succeeded(a Address) { p.memory().Delete(key(a)) }

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
