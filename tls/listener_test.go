package tls

import (
	"context"
	"errors"
	"net"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// silent opens connections that send nothing.
func silent(t *testing.T, addr string, n int) []net.Conn {
	t.Helper()
	conns := make([]net.Conn, n)
	for i := range conns {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		conns[i] = c
	}
	return conns
}

func TestFloodOfSilentConnections(t *testing.T) {
	p := newPKI(t)
	h := serve(t, p.server())
	silent(t, h.addr, 300)
	client := newClient(t, p.client("laptop"))
	within(t, soon, "the handshake of the 301st", func() {
		c, s := h.pair(client)
		wantTalk(t, c, s)
	})
	if got, want := receive(t, h.rec.rejected, "line about a dropped handshake"), "dropped to make room for a newer one: 256 handshakes were unfinished"; got != want {
		t.Errorf("line for a dropped handshake = %q, want %q", got, want)
	}
}

// TestSilentFloodSparesHandshake checks that a client in the middle of its handshake,
// as on a slow path, is not dropped in favor of silent connections from its own
// address.
func TestSilentFloodSparesHandshake(t *testing.T) {
	p := newPKI(t)
	h := serve(t, p.server())
	client := newClient(t, p.client("laptop"))
	path := &slowPath{answered: make(chan struct{}), open: make(chan struct{})}
	client.DialLower = func(ctx context.Context, network, address string) (net.Conn, error) {
		raw, err := new(net.Dialer).DialContext(ctx, network, address)
		path.Conn = raw
		return path, err
	}
	done := make(chan *Conn, 1)
	go func() {
		c, err := h.dial(client)
		if err != nil {
			t.Errorf("dial: %v", err)
		}
		done <- c
	}()
	receive(t, path.answered, "the server's side of the handshake")
	silent(t, h.addr, 300)
	receive(t, h.rec.rejected, "line about a dropped handshake")
	close(path.open)
	if c := receive(t, done, "the client's conn"); c != nil {
		wantTalk(t, c, h.accepted())
	}
}

// slowPath delivers the first Write immediately and the others once open is closed.
type slowPath struct {
	net.Conn
	hello    bool          // the first Write has passed; owned by the writer
	answered chan struct{} // closed by the second Write, since the server has then replied to the first
	open     chan struct{}
}

func (s *slowPath) Write(p []byte) (int, error) {
	if !s.hello {
		s.hello = true
		return s.Conn.Write(p)
	}
	select {
	case <-s.open:
	default:
		close(s.answered)
		<-s.open
	}
	return s.Conn.Write(p)
}

func TestHandshakeDeadline(t *testing.T) {
	p := newPKI(t)
	cfg := p.server()
	cfg.HandshakeTimeout = 50 * time.Millisecond
	h := serve(t, cfg)
	silent(t, h.addr, 1)
	if got, want := receive(t, h.rec.rejected, "line of the server"), "the client did not finish its TLS handshake within 50ms"; got != want {
		t.Errorf("line = %q, want %q", got, want)
	}
}

// TestAcceptNotCalled checks that the number of completed conns is limited while Accept
// is not called, and that Close ends them.
func TestAcceptNotCalled(t *testing.T) {
	p := newPKI(t)
	cfg := p.server()
	cfg.HandshakeMax = 2
	server, err := NewServer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := server.Listener(inner)
	client := newClient(t, p.client("laptop"))
	var conns []*Conn
	for range 10 {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		c, err := client.Dial(ctx, "tcp", inner.Addr().String())
		cancel()
		if err != nil {
			break
		}
		conns = append(conns, c.(*Conn))
		defer c.Close()
		for start := time.Now(); watched(server) < len(conns) && time.Since(start) < patience; {
			runtime.Gosched() // the server finishes slightly after its client
		}
	}
	if got := len(conns); got != 4 {
		t.Errorf("%d handshakes finished although Accept was not called, want 4", got)
	}
	if err := l.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	for _, c := range conns {
		if err := endOf(c); !isReset(err) {
			t.Errorf("conn that Accept did not return ended with %v, want an error", err)
		}
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after Close = %v, want %v", err, net.ErrClosed)
	}
	if got := watched(server); got != 0 {
		t.Errorf("the server still tracks %d conns after all are closed", got)
	}
}

// watched returns how many open conns a server tracks.
func watched(s *Server) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

func TestCloseEndsPendingHandshakes(t *testing.T) {
	p := newPKI(t)
	h := serve(t, p.server())
	conns := silent(t, h.addr, 5)
	// Serving another client afterwards proves that they were accepted.
	h.pair(newClient(t, p.client("laptop")))
	within(t, soon, "Close", func() { _ = h.listener.Close() })
	for _, c := range conns {
		_ = c.SetReadDeadline(time.Now().Add(patience))
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("a pending handshake outlives Close")
		}
	}
	if n := len(h.rec.rejected); n != 0 {
		t.Errorf("%d handshakes ended by Close were reported as rejected, want 0", n)
	}
}

// brokenListener fails a few times before it accepts a connection.
type brokenListener struct {
	net.Listener
	errs chan error
}

func (l *brokenListener) Accept() (net.Conn, error) {
	select {
	case err := <-l.errs:
		return nil, err
	default:
		return l.Listener.Accept()
	}
}

func TestAcceptErrors(t *testing.T) {
	p := newPKI(t)
	for _, tt := range []struct {
		name   string
		err    error
		goesOn bool
	}{
		{"too many open files", &net.OpError{Op: "accept", Err: syscall.EMFILE}, true},
		{"the listener is broken", errors.New("broken"), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := p.server()
			rec := newRecorder()
			cfg.Hooks = rec.hooks()
			server, err := NewServer(cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer server.Close()
			inner, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			errs := make(chan error, 3)
			for range cap(errs) {
				errs <- tt.err
			}
			l := server.Listener(&brokenListener{inner, errs})
			defer l.Close()
			if !tt.goesOn {
				if _, err := l.Accept(); !errors.Is(err, tt.err) {
					t.Errorf("Accept = %v, want %v", err, tt.err)
				}
				return
			}
			var wg sync.WaitGroup
			defer wg.Wait()
			client := newClient(t, p.client("laptop"))
			wg.Go(func() {
				c, err := client.Dial(t.Context(), "tcp", inner.Addr().String())
				if err != nil {
					t.Errorf("Dial: %v", err)
					return
				}
				_ = c.Close()
			})
			c, err := l.Accept()
			if err != nil {
				t.Fatalf("Accept after temporary errors: %v", err)
			}
			_ = c.Close()
			if got := receive(t, rec.rejected, "line about accepting"); !strings.Contains(got, "retrying") {
				t.Errorf("line = %q, want one that announces a retry", got)
			}
			if n := len(rec.rejected); n != 0 {
				t.Errorf("%d more lines about the same series of errors, want 0", n)
			}
		})
	}
}
