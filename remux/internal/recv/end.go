package recv

import (
	"io"
	"time"
)

// DropUnread discards the unread bytes and makes Read fail, because the application will
// read no more. It returns their number, or false if it was called before.
func (h *Half[C]) DropUnread() (unread int, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.rclosed {
		return 0, false
	}
	h.rclosed = true
	unread = h.rbuf.Discard() + h.held.data.Discard()
	h.flow.Budget.Free(unread)
	h.rdl.At(time.Time{}, side[C]{h})
	h.wakeReaderLocked()
	return unread, true
}

// Settle returns the window's share of the budget once the session has ended.
func (h *Half[C]) Settle() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.flow.Close()
	if h.rerr != nil || h.rclosed {
		h.rdl.At(time.Time{}, side[C]{h})
	}
}

// IsOver reports whether the session has ended.
func (h *Half[C]) IsOver() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.over
}

// StopReading makes Read return err: after the buffered bytes if keep is true, else
// immediately. If the peer has finished, all its bytes have arrived and can still be
// read, unless our own application discards them (force).
func (h *Half[C]) StopReading(err error, keep, force bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.rerr != nil && !force {
		return
	}
	h.flow.Budget.Free(h.held.data.Discard())
	if !keep {
		h.flow.Budget.Free(h.rbuf.Discard())
	}
	h.rerr, h.kept = err, keep
	h.wakeReaderLocked()
}

// OnEnd arranges for f to be called once, when nothing more written to the session can be
// delivered, so that a caller that is neither reading nor writing learns that the session
// has ended. err is nil after a clean end; whole reports whether all the peer's data and
// its FIN have arrived. Bytes that have arrived can still be read, unless the session was
// reset. f must not block. If the session is already over, OnEnd calls f itself. It
// always returns true.
func (h *Half[C]) OnEnd(f func(err error, whole bool)) bool {
	h.mu.Lock()
	if !h.over {
		h.onEnd = f
		h.mu.Unlock()
		return true
	}
	err, whole := h.overErr, h.rerr == io.EOF
	h.mu.Unlock()
	f(err, whole)
	return true
}

// ReportEnd calls the function passed to OnEnd, once.
func (h *Half[C]) ReportEnd(err error) {
	h.mu.Lock()
	if h.over {
		h.mu.Unlock()
		return
	}
	h.over, h.overErr = true, err
	if err == nil && h.rerr == nil { // a basic peer, which need not answer our FIN with its own
		h.rerr, h.kept = io.EOF, true
		h.wakeReaderLocked()
	}
	f, whole := h.onEnd, h.rerr == io.EOF
	h.onEnd = nil
	h.mu.Unlock()
	if f != nil {
		f(err, whole)
	}
}
