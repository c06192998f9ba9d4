package recv

import (
	"net"
	"os"
)

// Read reads bytes that the peer sent. It returns io.EOF after the peer's CloseWrite or
// Close, but never if the session or its conn broke.
func (h *Half[C]) Read(p []byte) (int, error) {
	h.owner.Announce()
	h.mu.Lock()
	if err := h.await(len(p) == 0); err != nil {
		h.mu.Unlock()
		return 0, err
	}
	n := h.rbuf.Read(p)
	grant := h.consumedLocked(n)
	h.mu.Unlock()
	if grant {
		h.owner.WindowDue()
	}
	return n, nil
}

// Peek waits like Read, but lends out the buffered bytes themselves. That saves a copy,
// and the caller needs no buffer of its own while waiting. They belong to the caller
// until Discard, which must be called before the next read.
func (h *Half[C]) Peek() ([]byte, error) {
	h.owner.Announce()
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.await(false); err != nil {
		return nil, err
	}
	h.lent = h.rbuf.Take()
	return h.lent.Bytes(), nil
}

// Discard returns the bytes that Peek lent out; they count as read.
func (h *Half[C]) Discard() {
	h.mu.Lock()
	k := h.lent
	if k == nil {
		h.mu.Unlock()
		return
	}
	h.lent = nil
	grant := h.consumedLocked(len(k.Bytes()))
	h.mu.Unlock()
	k.Recycle()
	if grant {
		h.owner.WindowDue()
	}
}

// SetSink arranges for bytes to be handed to take as soon as they arrive, unless earlier
// ones are still unread: it saves a copy and a goroutine switch. The goroutine that
// serves the conn calls take with consecutive pieces, which are valid only during the
// call. take must not block, and returns how many bytes it consumed; the rest is left to
// Read or Peek. The caller must keep reading, for the rest and for the end.
func (h *Half[C]) SetSink(take func(pieces [][]byte) int) error {
	h.mu.Lock()
	h.sink = take
	h.mu.Unlock()
	return nil
}

// OnReadable lets a caller wait without a goroutine blocked in Read or Peek. It returns
// true if either would wait now. f is then called once, in its own goroutine, as soon as
// neither would: there are bytes, an end or an error, or the deadline has passed. f may
// also be called spuriously.
func (h *Half[C]) OnReadable(f func()) bool {
	h.owner.Announce()
	h.mu.Lock()
	defer h.mu.Unlock()
	if ready, _ := h.readyLocked(); ready {
		return false
	}
	h.onRead = f
	return true
}

// wakeReaderLocked wakes the readers and calls the function passed to OnReadable.
func (h *Half[C]) wakeReaderLocked() {
	h.rcond.Broadcast()
	if f := h.onRead; f != nil {
		h.onRead = nil
		go f() // the caller of OnReadable waits for f to finish
	}
}

// await waits until there are bytes to read, or returns an error if there will be none.
// The caller holds mu, which is released while await waits.
func (h *Half[C]) await(none bool) error {
	for {
		if ready, err := h.readyLocked(); ready || none {
			return err
		}
		h.rcond.Wait()
	}
}

// readyLocked reports whether Read would not wait: there are bytes, or an error.
func (h *Half[C]) readyLocked() (ready bool, err error) {
	switch {
	case h.rclosed:
		return true, net.ErrClosed
	case h.rdl.Expired:
		return true, os.ErrDeadlineExceeded
	case h.rbuf.Len > 0:
		return true, nil
	case h.handing: // the end must not overtake the bytes before it
		return false, nil
	case h.rerr != nil:
		return true, h.rerr
	}
	return false, nil
}

// consumedLocked accounts for n bytes that left rbuf. It reports whether to grant the
// peer more.
func (h *Half[C]) consumedLocked(n int) bool {
	if n == 0 {
		return false
	}
	h.flow.Budget.Free(n)
	if h.Basic.Load() {
		h.rcond.Broadcast() // the conn's reader may be waiting for room
	}
	if !h.flow.Consumed(n, h.owner.RTT()) || h.rerr != nil {
		return false
	}
	h.granted.Store(h.flow.Limit)
	return true
}
