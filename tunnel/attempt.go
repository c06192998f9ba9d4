package tunnel

import (
	"net/netip"
	"sync"

	"tunnels/internal/admission"
	"tunnels/internal/code"
	"tunnels/internal/events"
)

// attempt judges one dial. The request starts when the first address may be dialed, so a
// refused one is reported as a refusal alone.
type attempt struct {
	*admission.Lease
	s *Server  // static
	r *Request // static

	mu   sync.Mutex
	over bool // guarded by mu; the dial is over
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

// end notes that the dial is over. Other addresses that are still being tried no longer
// matter.
func (a *attempt) end() {
	a.mu.Lock()
	a.over = true
	a.mu.Unlock()
}

// succeeded notes that the target has been reached.
func (a *attempt) succeeded() {
	a.end()
	a.s.start(a.r)
}

// failed reports that the target has not been reached.
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
