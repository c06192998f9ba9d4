// Package race connects to the first of several addresses that answers, as RFC
// 8305 has it: the families take turns, IPv6 first, and the next address is
// tried when the one before it has failed or been silent for 250 ms.
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
	// attemptDelay is between one attempt and the next (RFC 8305 section 5).
	attemptDelay = 250 * time.Millisecond
	// maxAttempts is how many addresses are tried: a name with hundreds of
	// silent ones must not take hundreds of sockets.
	maxAttempts = 16
	// maxHosts is how many hosts are remembered for having been reached by IPv4.
	maxHosts = 4096
	// ipv4For is for how long IPv4 goes first once it has won. Then IPv6 is given
	// another chance.
	ipv4For = 10 * time.Minute
)

// Dialer connects by racing. Any number of goroutines may use it.
type Dialer[C io.Closer] struct {
	// Dial connects to one address, and must return soon after its context has
	// ended. Static.
	Dial func(context.Context, netip.AddrPort) (C, error)

	ipv4First *recent.Map[string, struct{}] // static; the hosts where IPv4 won
}

// New makes a Dialer.
func New[C io.Closer](dial func(context.Context, netip.AddrPort) (C, error)) *Dialer[C] {
	return &Dialer[C]{Dial: dial, ipv4First: recent.New[string, struct{}](maxHosts)}
}

// Connect connects to one of addrs, which are those of host, at port. Nothing
// but ctx bounds its time. Each address is given to allow right before it is
// dialled; one that allow has an error for is not dialled. When Connect returns,
// all attempts have ended and every connection but the returned one is closed.
//
// The error is a *code.Error that names the addresses that were tried. Its code
// is that of the most telling failure; if allow refused all addresses with
// code.NotAllowed, it is the first refusal itself.
func (d *Dialer[C]) Connect(ctx context.Context, host string, addrs []netip.Addr, port uint16, allow func(netip.AddrPort) error) (C, error) {
	host = strings.ToLower(host)
	_, ipv4First := d.ipv4First.Get(host)
	order, both := interleave(addrs, ipv4First)
	h := heat[C]{dial: d.Dial, allow: allow, port: port, left: order, results: make(chan result[C], len(order))}
	c, by, err := h.run(ctx)
	// Who won against nobody tells nothing; nor does IPv4 when it had a start,
	// or IPv6 would never be tried again.
	if err == nil && both {
		switch {
		case by.Is6():
			d.ipv4First.Delete(host)
		case !ipv4First:
			d.ipv4First.Put(host, struct{}{}, ipv4For)
		}
	}
	return c, err
}

// interleave is addrs, each once, with the families taking turns (RFC 8305
// section 4); both: there are two.
func interleave(addrs []netip.Addr, ipv4First bool) (order []netip.Addr, both bool) {
	var first, second []netip.Addr
	for _, a := range addrs {
		a = a.Unmap()
		mine := &first
		if a.Is4() != ipv4First {
			mine = &second
		}
		if !slices.Contains(*mine, a) && len(*mine) < maxAttempts {
			*mine = append(*mine, a)
		}
	}
	both = len(first) > 0 && len(second) > 0
	for i := range max(len(first), len(second)) {
		if i < len(first) {
			order = append(order, first[i])
		}
		if i < len(second) {
			order = append(order, second[i])
		}
	}
	return order[:min(len(order), maxAttempts)], both
}

// heat is one race. Its goroutine owns it; attempts only send results.
type heat[C io.Closer] struct {
	dial     func(context.Context, netip.AddrPort) (C, error)
	allow    func(netip.AddrPort) error
	port     uint16
	left     []netip.Addr   // not tried yet
	running  int            // attempts whose result has not come
	results  chan result[C] // has room for all
	failures []failure
}

// result is how one attempt ended.
type result[C io.Closer] struct {
	to   netip.AddrPort
	conn C
	err  error
}

// run is the race; by is the address that won it.
func (h *heat[C]) run(ctx context.Context) (winner C, by netip.Addr, err error) {
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
		if h.running == 0 { // and none is left, or it would have been started
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

// start begins an attempt with the next address that is allowed, if one is left.
func (h *heat[C]) start(ctx context.Context) {
	for len(h.left) > 0 {
		to := netip.AddrPortFrom(h.left[0], h.port)
		h.left = h.left[1:]
		if err := h.allow(to); err != nil {
			h.failures = append(h.failures, failure{to, err})
			continue
		}
		h.running++
		go func() { // run or finish waits for its result
			c, err := h.dial(ctx, to)
			h.results <- result[C]{to, c, err}
		}()
		return
	}
}

// finish ends the attempts that have lost, and waits for them.
func (h *heat[C]) finish(cancel context.CancelFunc) {
	cancel()
	for ; h.running > 0; h.running-- {
		if r := <-h.results; r.err == nil {
			r.conn.Close()
		}
	}
}

// err is the error of a race that nobody won.
func (h *heat[C]) err(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return &code.Error{Code: code.Cancelled, Text: "connecting was cancelled"}
	}
	if len(h.failures) == 0 {
		if ctx.Err() != nil {
			return &code.Error{Code: code.Timeout, Text: "there was no time left to connect"}
		}
		return &code.Error{Code: code.HostUnreachable, Text: "there is no address to connect to"}
	}
	return combine(h.failures)
}
