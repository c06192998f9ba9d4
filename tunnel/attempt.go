package tunnel

import (
	"net/netip"
	"sync"

	"tunnels/eagersocks"
	"tunnels/internal/admission"
	"tunnels/internal/code"
	"tunnels/sla"
)

// attempt is the judge of one dial. The line of the sock is written when the first
// address may be dialed, so that of a target that is refused the log has one line,
// the refusal.
type attempt struct {
	*admission.Guest
	log    *sla.Logger        // static
	target eagersocks.Address // static

	mu   sync.Mutex
	line *sock // guarded by mu; nil: nothing may have been dialed so far
	over bool  // guarded by mu; the dial is over
}

// AllowAddr implements exit.Judge.
func (a *attempt) AllowAddr(addr netip.AddrPort, viaName string) error {
	err := a.Guest.AllowAddr(addr, viaName)
	if err == nil {
		a.mu.Lock()
		defer a.mu.Unlock()
		if !a.over {
			a.openLocked()
		}
	}
	return err
}

func (a *attempt) openLocked() {
	if a.line == nil {
		line := openSock(a.log, a.Name(), a.target.String())
		a.line = &line
	}
}

// sock is the line of a dial that is over.
func (a *attempt) sock() sock {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.over = true
	a.openLocked()
	return *a.line
}

// failed logs that the dial is over and has failed.
func (a *attempt) failed(why *code.Error) {
	if why.Code != code.NotAllowed {
		a.sock().closed(why, why.Code == code.Cancelled)
		return
	}
	a.Refused(why)
	a.mu.Lock()
	a.over = true
	line := a.line
	a.mu.Unlock()
	if line != nil { // another address of the name had been allowed
		line.endedAs(sla.LevelInfo, code.NotAllowed.String())
	}
}
