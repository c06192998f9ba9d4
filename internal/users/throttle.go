package users

import (
	"container/list"
	"net"
	"net/netip"
	"sync"
	"time"

	"tunnels/internal/code"
)

const (
	slowMin    = 250 * time.Millisecond // after the first wrong password; doubles with each one
	slowMax    = 8 * time.Second
	slowFor    = 5 * time.Minute // failures are forgotten after this long without another one
	slowWait   = slowMax + time.Second
	guessers   = 4096 // maximum number of addresses whose failures are remembered
	waitingMax = 4096 // maximum number of waiting checks, for all addresses
	waitingOne = 256  // the same per address
	waitingBad = 16   // the same for an address with recent failures
)

var (
	errCrowdedCheck = &code.Error{Code: code.Overload, Text: "too many passwords to check at once"}
	errGuessing     = &code.Error{Code: code.Overload, Text: "too many wrong passwords from this address"}
	errUsersClosed  = &code.Error{Code: code.GoingAway, Text: "logins are no longer accepted"}
)

// loginThrottle slows down password guessing. Passwords from one address are checked
// one at a time; each wrong one increases the delay. The zero value is ready to use.
type loginThrottle struct {
	mu      sync.Mutex
	all     map[netip.Addr]*guesser // guarded by mu
	idle    list.List               // guarded by mu; *guesser elements without waiters, oldest failure first
	waiting int                     // guarded by mu
}

// guesser holds the state for one address.
type guesser struct {
	addr netip.Addr
	turn chan struct{} // capacity 1; full while a password is being checked

	// Guarded by loginThrottle.mu.
	waiting int // calls between enter and leave
	wrong   int // consecutive wrong passwords
	last    time.Time
	elem    *list.Element // nil while there are waiters
}

// enter returns the record for addr, or an error if too many calls are waiting. The
// caller must call leave.
func (t *loginThrottle) enter(addr netip.Addr) (*guesser, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	g := t.all[addr]
	if g == nil {
		g = &guesser{addr: addr, turn: make(chan struct{}, 1)}
	}
	if time.Since(g.last) >= slowFor {
		g.wrong = 0
	}
	switch {
	case t.waiting >= waitingMax || g.waiting >= waitingOne:
		return nil, errCrowdedCheck
	case g.wrong > 0 && g.waiting >= waitingBad:
		return nil, errGuessing
	}
	if t.all == nil {
		t.all = make(map[netip.Addr]*guesser)
	}
	t.all[addr] = g
	t.waiting++
	g.waiting++
	if g.elem != nil {
		t.idle.Remove(g.elem)
		g.elem = nil
	}
	return g, nil
}

// leave releases the record, and keeps it only if it holds failures.
func (t *loginThrottle) leave(g *guesser) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waiting--
	g.waiting--
	switch {
	case g.waiting > 0:
	case g.wrong == 0:
		delete(t.all, g.addr)
	default:
		if t.idle.Len() >= guessers {
			oldest := t.idle.Remove(t.idle.Front()).(*guesser)
			delete(t.all, oldest.addr)
		}
		g.elem = t.idle.PushBack(g)
	}
}

// failed records a wrong password.
func (t *loginThrottle) failed(g *guesser) {
	t.mu.Lock()
	defer t.mu.Unlock()
	g.wrong++
	g.last = time.Now()
}

// right records a correct password, which clears the failures.
func (t *loginThrottle) right(g *guesser) {
	t.mu.Lock()
	defer t.mu.Unlock()
	g.wrong = 0
}

// pause returns how long to delay the next answer.
func (t *loginThrottle) pause(g *guesser) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if g.wrong == 0 {
		return 0
	}
	return min(slowMin<<min(g.wrong-1, 10), slowMax)
}

// whoIs returns the address under which remote's failures are counted: an IPv4 address,
// or the /64 prefix of an IPv6 address, which usually belongs to one machine. All other
// addresses, such as UNIX sockets, count as one.
func whoIs(remote net.Addr) netip.Addr {
	var a netip.Addr
	switch r := remote.(type) {
	case nil:
	case *net.TCPAddr:
		a = r.AddrPort().Addr()
	default:
		p, _ := netip.ParseAddrPort(r.String())
		a = p.Addr()
	}
	if a = a.Unmap().WithZone(""); a.Is6() {
		p, _ := a.Prefix(64) // cannot fail
		return p.Addr()
	}
	return a
}
