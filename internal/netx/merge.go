package netx

import (
	"errors"
	"net"
	"sync"
)

// merged accepts from several listeners.
type merged struct {
	// Set once, never changed.
	all  []net.Listener
	next chan accepted // unbuffered
	over chan struct{} // closed by Close, or when none of all accepts any more

	wg        sync.WaitGroup // one goroutine for each of all, and one that waits for them
	closeOnce sync.Once
	closeErr  error // owned by closeOnce
}

// accepted is the result of one Accept.
type accepted struct {
	conn net.Conn
	err  error
}

// Merge combines listeners, of which there must be at least one. Accept returns
// connections and errors of each; it fails for good, with net.ErrClosed, once all are
// closed. Addr returns the address of the first. Close closes all.
func Merge(all ...net.Listener) net.Listener {
	if len(all) == 1 {
		return all[0]
	}
	m := &merged{all: all, next: make(chan accepted), over: make(chan struct{})}
	var accepting sync.WaitGroup
	for _, l := range all {
		accepting.Go(func() { m.accept(l) })
	}
	m.wg.Go(func() {
		accepting.Wait()
		_ = m.close() // all have ended
	})
	return m
}

// accept passes on what l accepts until it is closed.
func (m *merged) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		select {
		case m.next <- accepted{c, err}:
		case <-m.over:
			if c != nil {
				c.Close()
			}
			return
		}
	}
}

// Accept implements net.Listener.
func (m *merged) Accept() (net.Conn, error) {
	select {
	case <-m.over:
		return nil, net.ErrClosed
	default:
	}
	select {
	case a := <-m.next:
		return a.conn, a.err
	case <-m.over:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. It waits until all accept loops have ended.
func (m *merged) Close() error {
	err := m.close()
	m.wg.Wait()
	return err
}

func (m *merged) close() error {
	m.closeOnce.Do(func() {
		close(m.over)
		for _, l := range m.all {
			m.closeErr = errors.Join(m.closeErr, l.Close())
		}
	})
	return m.closeErr
}

// Addr implements net.Listener.
func (m *merged) Addr() net.Addr { return m.all[0].Addr() }
