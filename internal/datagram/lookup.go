package datagram

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	"tunnels/internal/code"
)

// lookUpLocked resolves an entry's name in a new goroutine. There is at most one
// goroutine per name being resolved, plus a few about to exit.
func (r *Relay) lookUpLocked(e *entry) {
	ctx, cancel := context.WithTimeout(r.ctx, r.exit.Timeout)
	e.cancel = cancel
	r.wg.Go(func() {
		defer cancel()
		addr, err := r.locate(ctx, e.target)
		if err == nil {
			r.found(e, addr)
			return
		}
		r.mu.Lock()
		waited := len(r.table.unwait(e))
		r.table.remove(e)
		r.mu.Unlock()
		if waited == 0 { // it was evicted
			return
		}
		count := &r.dropped
		if c, ok := code.Of(err); ok && c == code.NotAllowed {
			count = &r.refused
		}
		count.Add(uint64(waited))
		r.report(e.target, err)
	})
}

// locate returns the address for a name's datagrams: the first that policy allows and
// this machine can route to.
func (r *Relay) locate(ctx context.Context, t Target) (netip.AddrPort, error) {
	select {
	case r.lookups <- struct{}{}:
		defer func() { <-r.lookups }()
	case <-ctx.Done():
		return netip.AddrPort{}, fmt.Errorf("waiting to look up %q: %w", t.Name, ctx.Err())
	}
	ips, err := r.exit.Resolve(ctx, t.Name)
	if err != nil {
		return netip.AddrPort{}, err
	}
	var allowed []netip.AddrPort
	refusal := fmt.Errorf("name %q has no address", t.Name)
	for _, ip := range ips {
		a := netip.AddrPortFrom(ip.Unmap(), t.Port)
		if err := r.exit.AllowAddr(a, t.Name); err != nil {
			refusal = err
			continue
		}
		allowed = append(allowed, a)
	}
	if len(allowed) == 0 {
		return netip.AddrPort{}, refusal
	}
	for _, a := range allowed {
		if len(allowed) == 1 || hasRoute(a) {
			return a, nil
		}
	}
	return allowed[0], nil
}

// hasRoute reports whether this machine has a route to a, without sending anything.
func hasRoute(a netip.AddrPort) bool {
	c, err := net.DialUDP(network(a.Addr()), nil, net.UDPAddrFromAddrPort(a))
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}

// found sends the datagrams that were waiting for an entry's name to be resolved. Any
// that arrive in the meantime are queued after them, to preserve the order.
func (r *Relay) found(e *entry, addr netip.AddrPort) {
	for {
		r.mu.Lock()
		if e.elem == nil { // evicted
			r.mu.Unlock()
			return
		}
		if e.source == nil { // set before an answer can arrive
			r.table.locate(e, addr, time.Now())
		}
		waiting := r.table.unwait(e)
		e.ready = len(waiting) == 0
		r.mu.Unlock()
		if len(waiting) == 0 {
			return
		}
		for _, b := range waiting {
			r.send(e.target, addr, b)
		}
	}
}
