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
	failures   = 4096             // maximum number remembered
)

// Eagerness decides which requests are answered eagerly. If the target of an eagerly
// answered request cannot be reached, the application sees only a reset. Browsers retry
// immediately, so a request for a target that has just failed is answered only once the
// outcome is known, with the actual code. The zero Eagerness is ready to use. Its
// methods may be called at any time from any goroutine and take constant time. Mode and
// Reachable must not be changed once the Eagerness is in use.
type Eagerness struct {
	Mode Mode
	// Reachable reports whether any server can be reached; while none can, no request
	// is answered eagerly. nil means always reachable. It is called without holding a
	// lock.
	Reachable func() bool

	once sync.Once
	last *recent.Map[Address, failure] // set by the first call of memory, then read-only
}

// failure records why a target failed.
type failure struct {
	code code.Code
	text string // details; may be empty
}

// memory returns the recently failed targets.
func (e *Eagerness) memory() *recent.Map[Address, failure] {
	e.once.Do(func() { e.last = recent.New[Address, failure](failures) })
	return e.last
}

// Eager reports whether to answer r before its target is connected.
func (e *Eagerness) Eager(r *Request) bool {
	if r.Command != Connect || e.Mode == Off {
		return false // the reply to a UDP request depends on the exit
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

// Failed records that connecting to a failed. Why returns text later, because a reply
// has room only for the code. Codes that are not about the target, such as the
// application disconnecting, are not recorded.
func (e *Eagerness) Failed(a Address, c code.Code, text string) {
	if !aboutTarget(c) {
		return
	}
	e.memory().Put(key(a), failure{c, text}, failureMax)
}

// Why returns the text of a's last failure if it is remembered and had code c, else "".
func (e *Eagerness) Why(a Address, c code.Code) string {
	f, ok := e.memory().Get(key(a))
	if !ok || f.code != c {
		return ""
	}
	return f.text
}

// Succeeded records that connecting to a succeeded.
func (e *Eagerness) Succeeded(a Address) { e.memory().Delete(key(a)) }

// key returns a with its name in lower case, for use as a key in memory.
func key(a Address) Address {
	return Address{Host: strings.ToLower(a.Host), Port: a.Port}
}

// aboutTarget reports whether retrying a session that ended with c is expected to give
// the same code.
func aboutTarget(c code.Code) bool {
	switch c {
	case code.NotAuthorised, code.Overload:
		return true
	}
	return c > code.OK && c <= code.AddressUnsupported
}
