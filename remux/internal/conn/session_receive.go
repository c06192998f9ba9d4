package conn

import (
	"fmt"
	"io"
	"time"

	"tunnels/internal/code"
)

// receive accepts n bytes of payload from c's reader, or returns false if the session is
// over.
func (s *Session) receive(c *Conn, pieces [][]byte, n int) bool {
	s.mu.Lock()
	if c != s.source {
		return s.holdAndUnlock(c, pieces, n)
	}
	if s.basic.Load() && s.rbuf.Len+n > basicMax {
		s.awaitRoom(n)
	}
	var why *code.Error
	switch f := &s.flow; {
	case s.rclosed:
		why = &code.Error{Code: code.Cancelled}
	case s.rerr != nil:
		why = &code.Error{Code: code.Protocol, Text: "data after the end of the session"}
	case f.Received+uint64(n) > f.Limit && !s.basic.Load():
		why = &code.Error{Code: code.FlowControl, Text: fmt.Sprintf("%d bytes sent, but only %d granted", f.Received+uint64(n), f.Limit)}
	case s.basic.Load() && s.rbuf.Len+n > basicMax:
		why = &code.Error{Code: code.Overload, Text: "the application is not reading"}
	case !f.Budget.Take(n):
		why = &code.Error{Code: code.Overload, Text: "too many bytes are buffered for applications that are not reading"}
	default:
		if f.Received == 0 {
			s.accepted.Store(true)
		}
		f.Received += uint64(n)
		return s.storeAndUnlock(pieces, n)
	}
	s.mu.Unlock()
	s.reset(why, false)
	return false
}

// storeAndUnlock hands n bytes, for which there is room, to the application or buffers
// them. It returns false if the session has ended in the meantime.
func (s *Session) storeAndUnlock(pieces [][]byte, n int) bool {
	grant, wanted := false, true
	if sink := s.sink; sink != nil && s.rbuf.Len == 0 && s.lent == nil {
		// While handing is set, readers wait, so neither later bytes nor the loss of the
		// conn can overtake these.
		s.handing = true
		s.mu.Unlock()
		taken := sink(pieces)
		s.mu.Lock()
		s.handing = false
		grant = s.consumedLocked(taken)
		pieces, n = behind(pieces, taken), n-taken
		wanted = !s.rclosed && (s.rerr == nil || s.kept)
		if s.rerr != nil {
			s.wakeReaderLocked()
		}
	}
	switch {
	case !wanted:
		s.flow.Budget.Free(n)
	case n > 0:
		for _, p := range pieces {
			s.rbuf.Append(p)
		}
		s.wakeReaderLocked()
	}
	s.mu.Unlock()
	if grant {
		s.windowDue(true)
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
func (s *Session) awaitRoom(n int) {
	late := false
	timer := time.AfterFunc(basicStall, func() {
		s.mu.Lock()
		late = true
		s.rcond.Broadcast()
		s.mu.Unlock()
	})
	defer timer.Stop()
	for s.rbuf.Len+n > basicMax && !late && !s.rclosed && s.rerr == nil {
		s.rcond.Wait()
	}
}

// finished handles the peer's FIN on conn from.
func (s *Session) finished(from *Conn) {
	s.mu.Lock()
	if from != s.source {
		s.held.fin = true
		s.heldEnd.Store(true)
		s.mu.Unlock()
		return
	}
	if s.rerr == nil {
		s.rerr = io.EOF
	}
	s.wakeReaderLocked()
	s.mu.Unlock()
	if s.basic.Load() {
		s.reportEnd(nil) // must happen before a Write fails
	}

	c := s.lock()
	s.gotFin = true
	if c.peer.kind == peerBasic && s.fin != finSent { // its FIN ends the session
		s.fin = finWanted
		s.failWriteLocked(io.ErrClosedPipe)
		c.readyLocked(s)
	}
	ended := s.fin == finSent && !s.ended
	if ended {
		c.removeLocked(s, nil, nil)
	}
	c.mu.Unlock()
	if ended {
		c.gone(s)
	}
}
