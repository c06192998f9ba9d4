package recv

import (
	"fmt"

	"tunnels/internal/code"
	"tunnels/remux/internal/flow"
)

// held is what has arrived for a session on the conn that it is moving to, and must not
// overtake what is still on its way on the old one. Half.mu guards it.
type held struct {
	data  flow.Buffer
	fin   bool        // the peer's FIN
	reset *code.Error // a RESET that follows data; nil if none
}

// holdAndUnlock is Receive for a conn that is not the source. The caller holds mu.
func (h *Half[C]) holdAndUnlock(c C, pieces [][]byte, n int) bool {
	var why *code.Error
	switch f, q := &h.flow, &h.held; {
	case h.rclosed:
		why = &code.Error{Code: code.Cancelled}
	case h.rerr != nil, q.fin, q.reset != nil:
		why = &code.Error{Code: code.Protocol, Text: "data after the end of the session"}
	case h.move != nil && !h.move.Joined:
		why = &code.Error{Code: code.Protocol, Text: "data before JOIN"}
	case f.Received+uint64(q.data.Len+n) > f.Limit:
		why = &code.Error{Code: code.FlowControl, Text: fmt.Sprintf("%d bytes sent, but only %d granted", f.Received+uint64(q.data.Len+n), f.Limit)}
	case !f.Budget.Take(n):
		why = &code.Error{Code: code.Overload, Text: "too many bytes are buffered for applications that are not reading"}
	default:
		for _, p := range pieces {
			q.data.Append(p)
		}
		h.mu.Unlock()
		return true
	}
	h.mu.Unlock()
	h.owner.Abort(why)
	return false
}

// HoldReset holds a RESET that follows data if c is not the source, and reports whether
// it is held.
func (h *Half[C]) HoldReset(c C, why *code.Error) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c == h.source {
		return false
	}
	h.held.reset = why
	h.heldEnd.Store(true)
	return true
}

// Release makes c the source, now that everything has arrived from the one before. It
// returns the peer's FIN or RESET that was held, which the caller must process.
func (h *Half[C]) Release(c C) (fin bool, reset *code.Error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.source, h.move = c, nil
	was := h.held
	h.held = held{}
	h.heldEnd.Store(false)
	if n := was.data.Len; n > 0 {
		h.flow.Received += uint64(n)
		h.rbuf.Join(&was.data)
		h.wakeReaderLocked()
	}
	return was.fin, was.reset
}

// HeldEnd reports whether the peer's FIN or RESET is held.
func (h *Half[C]) HeldEnd() bool { return h.heldEnd.Load() }
