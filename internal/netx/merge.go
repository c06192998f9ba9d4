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
	over chan struct{} // closed by Close, or once no listener is accepting

	wg        sync.WaitGroup // one goroutine per listener, and one waiting for them
	closeOnce sync.Once
	closeErr  error // owned by closeOnce
}

// accepted is the result of one Accept.
type accepted struct {
	conn net.Conn
	err  error
}

// Merge combines one or more listeners into one. Accept returns connections and errors
// from any of them, and net.ErrClosed once all are closed. Addr returns the address of
// the first. Close closes all of them.
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
		_ = m.close() // every listener has ended
	})
	return m
}

// accept passes on l's connections and errors until l is closed.
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

// Close implements net.Listener. It waits for all accept loops to end.
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
