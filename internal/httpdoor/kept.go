package httpdoor

import (
	"context"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"tunnels/internal/code"
	"tunnels/internal/socksaddr"
	"tunnels/internal/splice"
)

const (
	keptMax     = 4                // target connections kept per application connection
	keptIdleMax = 15 * time.Second // how long they are kept without another request
	// keptOnceMax replaces keptIdleMax for a request that must not be sent twice,
	// because it would fail if the target were just closing the connection. Few targets
	// close a connection this early.
	keptOnceMax = time.Second
	// keptByeMax is how long a target may take to close its own direction after we have
	// closed ours.
	keptByeMax = 2 * time.Second
)

// targetConn is a connection to a target. It is owned by an exchange or by kept.
type targetConn struct {
	net.Conn
	to     socksaddr.Address
	in     wire
	used   bool      // it has already carried a request and its response
	silent bool      // no data has been received since the last request
	since  time.Time // when it was put into kept

	watched chan struct{} // closed when kept's watch has ended
	dead    bool          // set by watch before it closes the connection
	leaves  bool          // guarded by kept.mu; tells watch to close the connection
}

// Read implements io.Reader for in.
func (t *targetConn) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	if n > 0 {
		t.silent = false
	}
	return n, err
}

// closeWrite closes our direction, if the connection supports that.
func (t *targetConn) closeWrite() {
	if half, ok := t.Conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite() // reading fails with the same error
	}
}

// abort aborts the connection for a reason on this side.
func (t *targetConn) abort() { splice.Abort(t.Conn, code.Cancelled, "") }

// open connects to r's target. It reuses a connection kept from an earlier request,
// unless fresh is set.
func (w *Conn) open(ctx context.Context, dial Dial, r *request, fresh bool) (*targetConn, error) {
	if !fresh {
		idleMax := keptIdleMax
		if !r.repeatable() {
			idleMax = keptOnceMax
		}
		if t := w.kept.take(r.target, idleMax); t != nil {
			t.silent = true
			w.use(t.Conn)
			return t, nil
		}
	}
	c, err := dial(ctx, r.target)
	if err != nil {
		return nil, err
	}
	t := &targetConn{Conn: c, to: r.target, silent: true}
	t.in = newWire(t, nil)
	w.use(c)
	return t, nil
}

// kept holds the idle target connections of an application connection, which can be
// reused for its further requests. They are never shared with other application
// connections.
type kept struct {
	wg sync.WaitGroup // one watch per connection, and the calls of leave

	mu   sync.Mutex
	idle []*targetConn // guarded by mu; oldest first; removing a connection transfers its ownership
}

// put keeps t for reuse.
func (k *kept) put(t *targetConn) {
	t.used, t.watched, t.dead, t.leaves, t.since = true, make(chan struct{}), false, false, time.Now()
	_ = t.SetReadDeadline(t.since.Add(keptIdleMax))
	k.mu.Lock()
	k.idle = append(k.idle, t)
	if len(k.idle) > keptMax {
		k.idle[0].leaveLocked()
		k.idle = k.idle[1:]
	}
	k.mu.Unlock()
	k.wg.Go(func() { k.watch(t) })
}

// leaveLocked makes watch close t, which the caller has removed from the list.
func (t *targetConn) leaveLocked() {
	t.leaves = true
	_ = t.SetReadDeadline(time.Unix(1, 0)) // wakes watch
}

// watch waits until a kept connection is reused or must be closed because its target
// has closed it or sent unexpected data, or because it has been idle for too long.
func (k *kept) watch(t *targetConn) {
	_, err := t.in.Peek(1)
	k.mu.Lock()
	i := slices.Index(k.idle, t)
	if i >= 0 {
		k.idle = slices.Delete(k.idle, i, i+1)
	}
	dead := i >= 0 || t.leaves || !timedOut(err)
	k.mu.Unlock()
	t.dead = dead
	close(t.watched)
	if dead { // otherwise t is being reused
		t.leave()
	}
}

// drop closes t instead of keeping it.
func (k *kept) drop(t *targetConn) { k.wg.Go(t.leave) }

// leave closes an idle connection. It resets the connection if the target does not
// close its own direction soon.
func (t *targetConn) leave() {
	t.closeWrite()
	_ = t.SetReadDeadline(time.Now().Add(keptByeMax))
	if _, err := io.Copy(io.Discard, t.in); err != nil {
		t.abort()
		return
	}
	_ = t.Close()
}

// take returns the newest connection to the target at to that has been idle for less
// than idleMax, or nil if there is none.
func (k *kept) take(to socksaddr.Address, idleMax time.Duration) *targetConn {
	for {
		t := k.remove(to, idleMax)
		if t == nil {
			return nil
		}
		_ = t.SetReadDeadline(time.Unix(1, 0)) // wakes watch
		<-t.watched
		if !t.dead { // otherwise watch owns the deadline
			_ = t.SetReadDeadline(time.Time{})
			return t
		}
	}
}

func (k *kept) remove(to socksaddr.Address, idleMax time.Duration) *targetConn {
	k.mu.Lock()
	defer k.mu.Unlock()
	for i, t := range slices.Backward(k.idle) {
		if t.to == to && time.Since(t.since) < idleMax {
			k.idle = slices.Delete(k.idle, i, i+1)
			return t
		}
	}
	return nil
}

// close closes all connections and waits until that is done.
func (k *kept) close() {
	k.mu.Lock()
	for _, t := range k.idle {
		t.leaveLocked()
	}
	k.idle = nil
	k.mu.Unlock()
	k.wg.Wait()
}
