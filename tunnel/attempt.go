package tunnel

import (
	"net/netip"
	"sync"

	"tunnels/internal/admission"
	"tunnels/internal/code"
	"tunnels/internal/events"
)

// attempt judges the addresses of one dial. The request starts when the first address is
// allowed, so a refused request is reported only as a refusal.
type attempt struct {
	*admission.Lease
	s *Server  // immutable after creation
	r *Request // immutable after creation

	mu   sync.Mutex
	over bool // guarded by mu; set when the dial is over
}

// AllowAddr implements exit.Judge.
func (a *attempt) AllowAddr(addr netip.AddrPort, viaName string) error {
	err := a.Lease.AllowAddr(addr, viaName)
	if err == nil {
		a.mu.Lock()
		defer a.mu.Unlock()
		if !a.over {
			a.s.start(a.r)
		}
	}
	return err
}

// end records that the dial is over. Other addresses still being tried no longer
// matter.
func (a *attempt) end() {
	a.mu.Lock()
	a.over = true
	a.mu.Unlock()
}

// succeeded records that the target was reached.
func (a *attempt) succeeded() {
	a.end()
	a.s.start(a.r)
}

// failed reports that the target was not reached.
func (a *attempt) failed(why *code.Error) {
	a.end()
	refused := why.Code == code.NotAllowed
	if refused {
		a.Refused(why)
	} else {
		a.s.start(a.r)
	}
	a.s.events.RequestClosed(a.r, events.End{Err: why, Refused: refused, Cancelled: why.Code == code.Cancelled})
}
