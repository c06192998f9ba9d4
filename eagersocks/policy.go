package eagersocks

import (
	"container/list"
	"strings"
	"sync"
	"time"

	"tunnels/internal/code"
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

	mu     sync.Mutex
	failed map[Address]*list.Element // guarded by mu; values of order
	order  list.List                 // guarded by mu; of failure, oldest first
}

// failure is one remembered target.
type failure struct {
	target Address
	at     time.Time
	code   code.Code
	text   string // more about it; may be empty
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
	return !p.failedLately(key(r.Target))
}

// Failed notes that a could not be connected; text says more, for who asks again and
// is told the code alone: Why. Codes that say nothing about the
// target (the application went away, for instance) are not noted.
func (p *Policy) Failed(a Address, c code.Code, text string) {
	if !aboutTarget(c) {
		return
	}
	a = key(a)
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.forgetLocked(a)
	for e := p.order.Front(); e != nil && expired(e, now); e = p.order.Front() {
		p.forgetLocked(e.Value.(failure).target)
	}
	if p.order.Len() >= failures {
		p.forgetLocked(p.order.Front().Value.(failure).target)
	}
	if p.failed == nil {
		p.failed = make(map[Address]*list.Element)
	}
	p.failed[a] = p.order.PushBack(failure{a, now, c, text})
}

// Why is the text of a's last failure, if it was with c and is remembered; else it
// is empty.
func (p *Policy) Why(a Address, c code.Code) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	e, ok := p.failed[key(a)]
	if !ok || expired(e, time.Now()) {
		return ""
	}
	if f := e.Value.(failure); f.code == c {
		return f.text
	}
	return ""
}

// Succeeded notes that a was connected.
func (p *Policy) Succeeded(a Address) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.forgetLocked(key(a))
}

func (p *Policy) failedLately(a Address) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	e, ok := p.failed[a]
	return ok && !expired(e, time.Now())
}

func (p *Policy) forgetLocked(a Address) {
	if e, ok := p.failed[a]; ok {
		p.order.Remove(e)
		delete(p.failed, a)
	}
}

func expired(e *list.Element, now time.Time) bool {
	return now.Sub(e.Value.(failure).at) >= failureMax
}

// key is a as it is remembered: the case of a name says nothing.
func key(a Address) Address {
	return Address{strings.ToLower(a.Host), a.Port}
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
