package netx

import (
	"errors"
	"net"
	"sync"
)

// merged accepts from several listeners.
type merged struct {
	// Static after construction.
	all  []net.Listener
	next chan accepted // unbuffered
	over chan struct{} // closed by Close, or when none of all accepts any more

	wg        sync.WaitGroup // one goroutine for each of all, and one that waits for them
	closeOnce sync.Once
	closeErr  error // owned by closeOnce
}

// accepted is what one Accept returned.
type accepted struct {
	conn net.Conn
	err  error
}

// Merge is one listener of all those given, of which there is at least one. Its
// Accept takes from each of them and hands on their errors too; it fails for good,
// with net.ErrClosed, once all are closed. Its Addr is that of the first. Close
// closes all of them.
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
		_ = m.close() // of what has ended by itself
	})
	return m
}

// accept hands on what l accepts until it is closed.
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

// Close implements net.Listener. It waits until nothing accepts any more.
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
