package recv

import (
	"fmt"
	"io"
	"time"

	"tunnels/internal/code"
)

// Receive accepts n bytes of payload from c's reader, or returns false if the session is
// over.
func (h *Half[C]) Receive(c C, pieces [][]byte, n int) bool {
	h.mu.Lock()
	if c != h.source {
		return h.holdAndUnlock(c, pieces, n)
	}
	if h.Basic.Load() && h.rbuf.Len+n > BasicMax {
		h.awaitRoom(n)
	}
	var why *code.Error
	switch f := &h.flow; {
	case h.rclosed:
		why = &code.Error{Code: code.Cancelled}
	case h.rerr != nil:
		why = &code.Error{Code: code.Protocol, Text: "data after the end of the session"}
	case f.Received+uint64(n) > f.Limit && !h.Basic.Load():
		why = &code.Error{Code: code.FlowControl, Text: fmt.Sprintf("%d bytes sent, but only %d granted", f.Received+uint64(n), f.Limit)}
	case h.Basic.Load() && h.rbuf.Len+n > BasicMax:
		why = &code.Error{Code: code.Overload, Text: "the application is not reading"}
	case !f.Budget.Take(n):
		why = &code.Error{Code: code.Overload, Text: "too many bytes are buffered for applications that are not reading"}
	default:
		if f.Received == 0 {
			h.Accepted.Store(true)
		}
		f.Received += uint64(n)
		return h.storeAndUnlock(pieces, n)
	}
	h.mu.Unlock()
	h.owner.Abort(why)
	return false
}

// storeAndUnlock hands n bytes, for which there is room, to the application or buffers
// them. It returns false if the session has ended in the meantime.
func (h *Half[C]) storeAndUnlock(pieces [][]byte, n int) bool {
	grant, wanted := false, true
	if sink := h.sink; sink != nil && h.rbuf.Len == 0 && h.lent == nil {
		// While handing is set, readers wait, so neither later bytes nor the loss of the
		// conn can overtake these.
		h.handing = true
		h.mu.Unlock()
		taken := sink(pieces)
		h.mu.Lock()
		h.handing = false
		grant = h.consumedLocked(taken)
		pieces, n = behind(pieces, taken), n-taken
		wanted = !h.rclosed && (h.rerr == nil || h.kept)
		if h.rerr != nil {
			h.wakeReaderLocked()
		}
	}
	switch {
	case !wanted:
		h.flow.Budget.Free(n)
	case n > 0:
		for _, p := range pieces {
			h.rbuf.Append(p)
		}
		h.wakeReaderLocked()
	}
	h.mu.Unlock()
	if grant {
		h.owner.WindowDue()
	}
	return wanted
}

// behind returns the pieces after the first n bytes.
func behind(pieces [][]byte, n int) [][]byte {
	for len(pieces) > 0 && n >= len(pieces[0]) {
		n -= len(pieces[0])
		pieces = pieces[1:]
	}
	if n > 0 {
		pieces[0] = pieces[0][n:]
	}
	return pieces
}

// awaitRoom waits until there is room for n more bytes from a basic peer. It holds up all
// sessions on that conn, because a basic peer has no windows that could hold it back. The
// caller holds mu, which is released while awaitRoom waits.
func (h *Half[C]) awaitRoom(n int) {
	late := false
	timer := time.AfterFunc(BasicStall, func() {
		h.mu.Lock()
		late = true
		h.rcond.Broadcast()
		h.mu.Unlock()
	})
	defer timer.Stop()
	for h.rbuf.Len+n > BasicMax && !late && !h.rclosed && h.rerr == nil {
		h.rcond.Wait()
	}
}

// Finish handles the peer's FIN on conn from. It returns false if the FIN is held until
// Release.
func (h *Half[C]) Finish(from C) bool {
	h.mu.Lock()
	if from != h.source {
		h.held.fin = true
		h.heldEnd.Store(true)
		h.mu.Unlock()
		return false
	}
	if h.rerr == nil {
		h.rerr = io.EOF
	}
	h.wakeReaderLocked()
	h.mu.Unlock()
	if h.Basic.Load() {
		h.ReportEnd(nil) // must happen before a Write fails
	}
	return true
}
