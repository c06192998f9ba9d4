package door

import (
	"container/list"
	"net"

	"tunnels/internal/appconn"
	"tunnels/internal/code"
	"tunnels/internal/splice"
)

// pending is a connection that Accept has not returned. The goroutine that removes it
// from the list owns its connection.
type pending struct {
	conn    net.Conn
	source  string        // immutable after creation
	dropped chan struct{} // closed after why is set
	why     error         // immutable once dropped is closed
	elem    *list.Element // guarded by Listener.mu; nil once removed from the list
}

// admit adds c to the list and starts reading its request.
func (l *Listener[R]) admit(c net.Conn) {
	p := &pending{conn: c, source: sourceOf(c), dropped: make(chan struct{})}
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		splice.Abort(c, code.GoingAway, "")
		return
	}
	var oldest *pending
	if l.pending.Len() >= l.max {
		oldest = l.removeLocked(l.oldestLocked(p.source))
	}
	p.elem = l.pending.PushBack(p)
	l.bySource[p.source]++
	l.mu.Unlock()
	if oldest != nil {
		oldest.drop(ErrCrowded, code.Overload)
	}
	l.wg.Go(func() { l.serve(p) })
}

// oldestLocked returns the connection to drop in favor of a new one from source: its
// oldest one if no other source has more connections, else the oldest one from the
// sources with the most. This way no source can crowd out another.
func (l *Listener[R]) oldestLocked(source string) *list.Element {
	most := 0
	for _, n := range l.bySource {
		most = max(most, n)
	}
	mine := l.bySource[source] == most // then no other source has more
	for e := l.pending.Front(); ; e = e.Next() {
		of := e.Value.(*pending).source
		if mine && of == source || !mine && l.bySource[of] == most {
			return e
		}
	}
}

// take removes p from the list, and reports whether it was still there.
func (l *Listener[R]) take(p *pending) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.elem == nil {
		return false
	}
	l.removeLocked(p.elem)
	return true
}

func (l *Listener[R]) removeLocked(e *list.Element) *pending {
	p := l.pending.Remove(e).(*pending)
	p.elem = nil
	if l.bySource[p.source]--; l.bySource[p.source] == 0 {
		delete(l.bySource, p.source)
	}
	return p
}

// drop ends p, which has been removed from the list.
func (p *pending) drop(why error, c code.Code) {
	p.why = why
	close(p.dropped)
	splice.Abort(p.conn, c, "")
}

// sourceOf returns the key that c is counted under when room is short: the name in the
// peer's certificate if there is one, else c's remote host.
func sourceOf(c net.Conn) string {
	lower := c
	if s, ok := c.(interface{ Lower() net.Conn }); ok {
		lower = s.Lower()
	}
	if n, ok := lower.(interface{ PeerName() string }); ok && n.PeerName() != "" {
		return n.PeerName()
	}
	host, _, _ := net.SplitHostPort(appconn.Remote(c))
	return host
}
