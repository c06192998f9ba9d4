// Package testnet provides a network for tests: servers on loopback, and a [Relay]
// between a client and a server that delays, throttles, stalls and breaks connections.
// It uses real sockets, so tests are subject to real kernel buffers, half-closes and
// resets.
//
// Everything started by this package is stopped when the test ends.
package testnet

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// Server is a TCP server on loopback that hands every connection to a handler.
type Server struct {
	Addr string // host:port it listens on

	ln       net.Listener
	handle   func(*net.TCPConn)
	wg       sync.WaitGroup
	accepted atomic.Int64
	bytes    atomic.Int64

	mu     sync.Mutex
	conns  map[*net.TCPConn]struct{} // guarded by mu
	closed bool                      // guarded by mu
}

// Serve starts a server that calls handle for every connection, in a new goroutine, and
// closes the connection when handle returns.
func Serve(tb testing.TB, handle func(*net.TCPConn)) *Server {
	tb.Helper()
	ln := listen(tb)
	s := &Server{Addr: ln.Addr().String(), ln: ln, handle: handle, conns: make(map[*net.TCPConn]struct{})}
	s.wg.Go(s.accept)
	tb.Cleanup(s.Close)
	return s
}

// Echo starts a server that sends back everything it reads, and closes its own
// direction once the peer has closed the other.
func Echo(tb testing.TB) *Server {
	tb.Helper()
	return counting(tb, func(c io.ReadWriter) { io.Copy(c, c) })
}

// Sink starts a server that reads and discards everything.
func Sink(tb testing.TB) *Server {
	tb.Helper()
	return counting(tb, func(c io.ReadWriter) { io.Copy(io.Discard, c) })
}

// Source starts a server that sends n zero bytes on each connection, then closes it; if
// n is negative, it sends until the peer closes the connection. They do not count in
// Bytes.
func Source(tb testing.TB, n int64) *Server {
	tb.Helper()
	return Serve(tb, func(c *net.TCPConn) {
		block := make([]byte, 128<<10)
		for left := n; left != 0; {
			if left > 0 {
				block = block[:min(left, int64(len(block)))]
				left -= int64(len(block))
			}
			if _, err := c.Write(block); err != nil {
				return
			}
		}
	})
}

// counting returns a server whose Bytes counts the bytes handle reads.
func counting(tb testing.TB, handle func(io.ReadWriter)) *Server {
	tb.Helper()
	var s *Server
	ready := make(chan struct{})
	s = Serve(tb, func(c *net.TCPConn) {
		<-ready
		handle(&counted{c, &s.bytes})
	})
	close(ready)
	return s
}

// counted counts bytes read. It hides the connection's ReadFrom and WriteTo, which
// would bypass the count.
type counted struct {
	c *net.TCPConn
	n *atomic.Int64
}

// Read implements io.Reader.
func (c *counted) Read(b []byte) (int, error) {
	n, err := c.c.Read(b)
	c.n.Add(int64(n))
	return n, err
}

// Write implements io.Writer.
func (c *counted) Write(b []byte) (int, error) { return c.c.Write(b) }

// Accepted returns how many connections the server has accepted so far.
func (s *Server) Accepted() int64 { return s.accepted.Load() }

// Bytes returns how many bytes an Echo or Sink has read so far.
func (s *Server) Bytes() int64 { return s.bytes.Load() }

// Close stops listening, closes every connection and waits for the handlers.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	s.ln.Close()
	s.wg.Wait()
}

func (s *Server) accept() {
	for {
		c, err := s.ln.Accept()
		if err != nil {
			return // closed: a test server does not retry
		}
		s.accepted.Add(1)
		s.wg.Go(func() { s.serve(c.(*net.TCPConn)) })
	}
}

func (s *Server) serve(c *net.TCPConn) {
	defer c.Close()
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.conns[c] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
	}()
	s.handle(c)
}

// listen returns a loopback listener without MPTCP, like those of the product.
func listen(tb testing.TB) net.Listener {
	tb.Helper()
	return listenAt(tb, "127.0.0.1:0")
}

func listenAt(tb testing.TB, address string) net.Listener {
	tb.Helper()
	var lc net.ListenConfig
	lc.SetMultipathTCP(false)
	ln, err := lc.Listen(tb.Context(), "tcp", address)
	if err != nil {
		tb.Fatalf("testnet: listening: %v", err)
	}
	return ln
}
