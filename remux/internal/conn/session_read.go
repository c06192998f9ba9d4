package conn

import (
	"net"
	"os"
)

// Read reads bytes that the peer sent. It returns io.EOF after the peer's CloseWrite or
// Close, but never if the session or its conn broke.
func (s *Session) Read(p []byte) (int, error) {
	s.Announce()
	s.mu.Lock()
	if err := s.await(len(p) == 0); err != nil {
		s.mu.Unlock()
		return 0, err
	}
	n := s.rbuf.Read(p)
	grant := s.consumedLocked(n)
	s.mu.Unlock()
	if grant {
		s.windowDue(true)
	}
	return n, nil
}

// Peek waits like Read, but lends out the buffered bytes themselves. That saves a copy,
// and the caller needs no buffer of its own while waiting. They belong to the caller
// until Discard, which must be called before the next read.
func (s *Session) Peek() ([]byte, error) {
	s.Announce()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.await(false); err != nil {
		return nil, err
	}
	s.lent = s.rbuf.Take()
	return s.lent.Bytes(), nil
}

// Discard returns the bytes that Peek lent out; they count as read.
func (s *Session) Discard() {
	s.mu.Lock()
	k := s.lent
	if k == nil {
		s.mu.Unlock()
		return
	}
	s.lent = nil
	grant := s.consumedLocked(len(k.Bytes()))
	s.mu.Unlock()
	k.Recycle()
	if grant {
		s.windowDue(true)
	}
}

// SetSink arranges for bytes to be handed to take as soon as they arrive, unless earlier
// ones are still unread: it saves a copy and a goroutine switch. The goroutine that
// serves the conn calls take with consecutive pieces, which are valid only during the
// call. take must not block, and returns how many bytes it consumed; the rest is left to
// Read or Peek. The caller must keep reading, for the rest and for the end.
func (s *Session) SetSink(take func(pieces [][]byte) int) error {
	s.mu.Lock()
	s.sink = take
	s.mu.Unlock()
	return nil
}

// OnReadable lets a caller wait without a goroutine blocked in Read or Peek. It returns
// true if either would wait now. f is then called once, in its own goroutine, as soon as
// neither would: there are bytes, an end or an error, or the deadline has passed. f may
// also be called spuriously.
func (s *Session) OnReadable(f func()) bool {
	s.Announce()
	s.mu.Lock()
	defer s.mu.Unlock()
	if ready, _ := s.readyLocked(); ready {
		return false
	}
	s.onRead = f
	return true
}

// wakeReaderLocked wakes the readers and calls the function passed to OnReadable.
func (s *Session) wakeReaderLocked() {
	s.rcond.Broadcast()
	if f := s.onRead; f != nil {
		s.onRead = nil
		go f() // the caller of OnReadable waits for f to finish
	}
}

// await waits until there are bytes to read, or returns an error if there will be none.
// The caller holds mu, which is released while await waits.
func (s *Session) await(none bool) error {
	for {
		if ready, err := s.readyLocked(); ready || none {
			return err
		}
		s.rcond.Wait()
	}
}

// readyLocked reports whether Read would not wait: there are bytes, or an error.
func (s *Session) readyLocked() (ready bool, err error) {
	switch {
	case s.rclosed:
		return true, net.ErrClosed
	case s.rdl.Expired:
		return true, os.ErrDeadlineExceeded
	case s.rbuf.Len > 0:
		return true, nil
	case s.handing: // the end must not overtake the bytes before it
		return false, nil
	case s.rerr != nil:
		return true, s.rerr
	}
	return false, nil
}

// consumedLocked accounts for n bytes that left rbuf. It reports whether to grant the
// peer more.
func (s *Session) consumedLocked(n int) bool {
	if n == 0 {
		return false
	}
	s.flow.Budget.Free(n)
	if s.basic.Load() {
		s.rcond.Broadcast() // the conn's reader may be waiting for room
	}
	if !s.flow.Consumed(n, s.at.Load().conn.keepalive.rtt()) || s.rerr != nil {
		return false
	}
	s.granted.Store(s.flow.Limit)
	return true
}
