package netx

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// ownEvery is the maximum age of the list of interface addresses.
const ownEvery = 5 * time.Second

// Own caches the addresses of this machine's interfaces. The zero value is ready to use
// and safe for concurrent use.
type Own struct {
	mu      sync.Mutex
	updated time.Time               // guarded by mu
	addrs   map[netip.Addr]struct{} // guarded by mu
}

// Has reports whether a is an address of this machine, using a list up to 5 s old, or
// the previous list if the system returns an error.
func (o *Own) Has(a netip.Addr) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if now := time.Now(); o.updated.IsZero() || now.Sub(o.updated) >= ownEvery {
		o.updated = now
		o.askLocked()
	}
	_, ok := o.addrs[a.Unmap().WithZone("")]
	return ok
}

func (o *Own) askLocked() {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return
	}
	o.addrs = make(map[netip.Addr]struct{}, len(all))
	for _, a := range all {
		n, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		if ip, ok := netip.AddrFromSlice(n.IP); ok {
			o.addrs[ip.Unmap()] = struct{}{}
		}
	}
}
