package eagersocks

import (
	"strings"
	"sync"
	"time"

	"tunnels/internal/code"
	"tunnels/internal/recent"
)

const (
	failureMax = 30 * time.Second // for how long a failed target is remembered
	failures   = 4096             // how many are
)

// Policy decides who is answered eagerly. An eager answer to a target that cannot
// be reached becomes a reset, which says little; so a target that failed a
// moment ago is answered honestly, and browsers, which retry at once, get to see
// the true code. The zero Policy works. Its methods may be called at any time
// from any goroutine; all take constant time. Mode and Reachable are not to be
// changed any more once it is in use.
type Policy struct {
	Mode Mode
	// Reachable says whether a server can be reached; while none can, nobody
	// is answered eagerly. Nil: always. Called with no lock held.
	Reachable func() bool

	once sync.Once
	last *recent.Map[Address, failure] // static once memory was called
}

// failure is how a remembered target failed.
type failure struct {
	code code.Code
	text string // more about it; may be empty
}

// memory is the targets that failed lately.
func (p *Policy) memory() *recent.Map[Address, failure] {
	p.once.Do(func() { p.last = recent.New[Address, failure](failures) })
	return p.last
}

// Eager says whether to answer r before its target is connected.
func (p *Policy) Eager(r *Request) bool {
	if r.Command != Connect || p.Mode == Off {
		return false // what UDP is answered depends on the exit
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

// Failed notes that a could not be connected; text says more, for who asks again and
// is told the code alone: Why. Codes that say nothing about the
// target (the application went away, for instance) are not noted.
func (p *Policy) Failed(a Address, c code.Code, text string) {
	if !aboutTarget(c) {
		return
	}
	p.memory().Put(key(a), failure{c, text}, failureMax)
}

// Why is the text of a's last failure, if it was with c and is remembered; else it
// is empty.
func (p *Policy) Why(a Address, c code.Code) string {
	f, ok := p.memory().Get(key(a))
	if !ok || f.code != c {
		return ""
	}
	return f.text
}

// Succeeded notes that a was connected.
func (p *Policy) Succeeded(a Address) { p.memory().Delete(key(a)) }

// key is a as it is remembered: the case of a name says nothing.
func key(a Address) Address {
	return Address{Host: strings.ToLower(a.Host), Port: a.Port}
}

// aboutTarget says whether a session that ended with c would show a retry the
// same code.
func aboutTarget(c code.Code) bool {
	switch c {
	case code.NotAuthorised, code.Overload:
		return true
	}
	return c > code.OK && c <= code.AddressUnsupported
}
