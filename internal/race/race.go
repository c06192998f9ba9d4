// Package race connects to the first of several addresses that answers (Happy Eyeballs,
// RFC 8305): address families alternate, IPv6 first, and the next address is tried once
// the previous one has failed or been silent for 250 ms.
package race

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	"tunnels/internal/code"
	"tunnels/internal/recent"
)

const (
	// attemptDelay is the delay between attempts (RFC 8305 section 5).
	attemptDelay = 250 * time.Millisecond
	// maxAttempts limits the addresses tried, so that a name with hundreds of silent
	// ones does not use hundreds of sockets.
	maxAttempts = 16
	// maxHosts limits how many hosts' winning addresses are remembered.
	maxHosts = 4096
	// winnerFor is how long an address goes first after it has beaten an earlier one.
	// After that, the others get another chance.
	winnerFor = 10 * time.Minute
)

// Dialer connects by racing addresses. It is safe for concurrent use.
type Dialer[C io.Closer] struct {
	// Dial connects to one address. It must return promptly once its context ends. Set
	// once, never changed.
	Dial func(context.Context, netip.AddrPort) (C, error)

	winners *recent.Map[string, netip.Addr] // set once; by host, the address to try first
}

// New returns a Dialer.
func New[C io.Closer](dial func(context.Context, netip.AddrPort) (C, error)) *Dialer[C] {
	return &Dialer[C]{Dial: dial, winners: recent.New[string, netip.Addr](maxHosts)}
}

// Connect connects to one of addrs, the addresses of host, on port. Only ctx limits how
// long it takes. It calls allow right before dialing each address, and skips the
// address if allow returns an error. When Connect returns, all attempts have ended and
// every connection but the returned one is closed.
//
// The error is a *code.Error that names the addresses tried, with the code of the most
// telling failure. If allow refused every address with code.NotAllowed, the error is
// the first refusal itself.
func (d *Dialer[C]) Connect(ctx context.Context, host string, addrs []netip.Addr, port uint16, allow func(netip.AddrPort) error) (C, error) {
	host = strings.ToLower(host)
	usual := interleave(addrs, netip.Addr{})
	order := usual
	if w, ok := d.winners.Get(host); ok && slices.Contains(usual, w) {
		order = interleave(addrs, w)
	}
	h := dialRace[C]{dial: d.Dial, allow: allow, port: port, left: order, results: make(chan result[C], len(order))}
	c, by, err := h.run(ctx)
	switch {
	case err != nil, by == order[0]:
		// A win with a head start proves nothing: counting it would keep the others
		// from ever being tried again.
	case by == usual[0]:
		d.winners.Delete(host)
	default:
		d.winners.Put(host, by, winnerFor)
	}
	return c, err
}

// interleave returns addrs without duplicates, with alternating families (RFC 8305
// section 4). winner comes first or, if it is the zero Addr, IPv6 does.
func interleave(addrs []netip.Addr, winner netip.Addr) []netip.Addr {
	first, second := families(addrs, winner)
	var order []netip.Addr
	for i := range max(len(first), len(second)) {
		if i < len(first) {
			order = append(order, first[i])
		}
		if i < len(second) {
			order = append(order, second[i])
		}
	}
	return order[:min(len(order), maxAttempts)]
}

// families splits addrs by family, with winner's family first, by default IPv6.
func families(addrs []netip.Addr, winner netip.Addr) (first, second []netip.Addr) {
	if winner.IsValid() {
		addrs = append([]netip.Addr{winner}, addrs...)
	}
	for _, a := range addrs {
		a = a.Unmap()
		mine := &first
		if a.Is4() != winner.Is4() {
			mine = &second
		}
		if !slices.Contains(*mine, a) && len(*mine) < maxAttempts {
			*mine = append(*mine, a)
		}
	}
	return first, second
}

// dialRace is one race. Its goroutine owns it; attempts only send results.
type dialRace[C io.Closer] struct {
	dial     func(context.Context, netip.AddrPort) (C, error)
	allow    func(netip.AddrPort) error
	port     uint16
	left     []netip.Addr   // addresses not tried yet
	running  int            // attempts whose result is pending
	results  chan result[C] // buffered for all results
	failures []failure
}

// result is the outcome of one attempt.
type result[C io.Closer] struct {
	to   netip.AddrPort
	conn C
	err  error
}

// run runs the race and returns the connection and its address.
func (h *dialRace[C]) run(ctx context.Context) (winner C, by netip.Addr, err error) {
	racing, cancel := context.WithCancel(ctx)
	defer h.finish(cancel)
	timer := time.NewTimer(attemptDelay)
	defer timer.Stop()
	for due := true; ; {
		if ctx.Err() != nil {
			h.left = nil
		}
		if due {
			h.start(racing)
			timer.Reset(attemptDelay)
			due = false
		}
		if h.running == 0 { // and no address is left, or start would have used it
			return winner, by, h.err(ctx)
		}
		next := timer.C
		if len(h.left) == 0 {
			next = nil
		}
		select {
		case r := <-h.results:
			h.running--
			if r.err == nil {
				return r.conn, r.to.Addr(), nil
			}
			h.failures = append(h.failures, failure{r.to, r.err})
			due = true
		case <-next:
			due = true
		}
	}
}

// start begins an attempt with the next allowed address, if there is one.
func (h *dialRace[C]) start(ctx context.Context) {
	for len(h.left) > 0 {
		to := netip.AddrPortFrom(h.left[0], h.port)
		h.left = h.left[1:]
		if err := h.allow(to); err != nil {
			h.failures = append(h.failures, failure{to, err})
			continue
		}
		h.running++
		go func() { // run or finish receives its result
			c, err := h.dial(ctx, to)
			h.results <- result[C]{to, c, err}
		}()
		return
	}
}

// finish cancels the losing attempts and waits for them.
func (h *dialRace[C]) finish(cancel context.CancelFunc) {
	cancel()
	for ; h.running > 0; h.running-- {
		if r := <-h.results; r.err == nil {
			r.conn.Close()
		}
	}
}

// err returns the error of a race without a winner.
func (h *dialRace[C]) err(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return &code.Error{Code: code.Cancelled, Text: "connection attempt cancelled"}
	}
	if len(h.failures) == 0 {
		if ctx.Err() != nil {
			return &code.Error{Code: code.Timeout, Text: "no time left to connect"}
		}
		return &code.Error{Code: code.HostUnreachable, Text: "no address to connect to"}
	}
	return combine(h.failures)
}
