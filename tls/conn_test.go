package tls

import (
	"bytes"
	"crypto/rand"
	ctls "crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tunnels/tls/internal/certtext"
)

// soon is far longer than an immediate result takes on a busy machine, and shorter than
// the 5 s that crypto/tls would wait.
const soon = 3 * time.Second

func newPair(t *testing.T) (client, server *Conn) {
	t.Helper()
	p := newPKI(t)
	return serve(t, p.server()).pair(newClient(t, p.client("laptop")))
}

// fill writes to a conn whose peer is not reading until a write blocks. The channel
// receives that write's error when it returns.
func fill(t *testing.T, c *Conn) <-chan error {
	t.Helper()
	ended := make(chan error, 1)
	wrote := make(chan struct{}, 1)
	var wg sync.WaitGroup
	wg.Go(func() {
		buf := make([]byte, 1<<20)
		for {
			if _, err := c.Write(buf); err != nil {
				ended <- err
				return
			}
			select {
			case wrote <- struct{}{}:
			default:
			}
		}
	})
	t.Cleanup(func() { _ = c.Abort(); wg.Wait() })
	for {
		select {
		case <-wrote:
		case <-time.After(200 * time.Millisecond):
			return ended
		}
	}
}

func within(t *testing.T, limit time.Duration, what string, f func()) {
	t.Helper()
	start := time.Now()
	f()
	if took := time.Since(start); took > limit {
		t.Errorf("%s took %v, want less than %v", what, took, limit)
	}
}

func TestAbortWithBlockedWriter(t *testing.T) {
	c, s := newPair(t)
	ended := fill(t, c)
	within(t, soon, "Abort", func() { _ = c.Abort() })
	if err := receive(t, ended, "end of the blocked write"); err == nil {
		t.Error("the blocked write ended without an error")
	}
	if err := endOf(s); !isReset(err) {
		t.Errorf("the peer of an aborted conn read %v, want an error", err)
	}
}

func TestAbortResets(t *testing.T) {
	c, s := newPair(t)
	wantTalk(t, c, s) // leave nothing unread, which would cause a reset
	if err := c.Abort(); err != nil {
		t.Errorf("Abort: %v", err)
	}
	if err := endOf(s); !isReset(err) || errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the peer of an aborted conn read %v, want a reset", err)
	}
	if _, err := c.Write([]byte("x")); err == nil {
		t.Error("Write after Abort: no error")
	}
}

// TestLingerResets checks that the connection is reset when the system closes the
// socket, as it does when a process is killed.
func TestLingerResets(t *testing.T) {
	c, s := newPair(t)
	wantTalk(t, c, s)
	if err := c.SetLinger(0); err != nil {
		t.Fatal(err)
	}
	_ = c.NetConn().Close()
	if err := endOf(s); !isReset(err) || errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the peer read %v, want a reset", err)
	}
}

func TestCloseWithBlockedWriter(t *testing.T) {
	c, _ := newPair(t)
	ended := fill(t, c)
	within(t, soon, "Close", func() { _ = c.Close() })
	if err := receive(t, ended, "end of the blocked write"); err == nil {
		t.Error("the blocked write ended without an error")
	}
}

// signalConn signals when a Write begins.
type signalConn struct {
	net.Conn
	writing chan struct{}
}

func (c *signalConn) Write(p []byte) (int, error) {
	select {
	case c.writing <- struct{}{}:
	default:
	}
	return c.Conn.Write(p)
}

// stuckPair returns a conn over a pipe whose other end does not read, so all writes
// block, as they do when the buffers of a real connection are full. end closes it and
// waits for its goroutines.
func stuckPair(t *testing.T) (client *Conn, end func()) {
	t.Helper()
	smat, cmat, err := Throwaway()
	if err != nil {
		t.Fatal(err)
	}
	server, err := NewServer(Config{Material: smat})
	if err != nil {
		t.Fatal(err)
	}
	near, far := net.Pipe()
	var wg sync.WaitGroup
	shaken := make(chan struct{})
	wg.Go(func() {
		defer close(shaken)
		// The handshake ends with a session ticket, which the client reads below.
		if err := ctls.Server(&lower{Conn: far}, server.base).Handshake(); err != nil {
			t.Errorf("the server's handshake: %v", err)
		}
	})
	signal := &signalConn{near, make(chan struct{}, 1)}
	client, err = newClient(t, Config{Material: cmat}).handshake(t.Context(), signal, "localhost")
	if err != nil {
		t.Fatal(err)
	}
	wg.Go(func() { _, _ = client.Read(make([]byte, 1)) })
	<-shaken
	<-signal.writing
	return client, func() { _, _ = near.Close(), far.Close(); wg.Wait(); _ = server.Close() }
}

func TestCloseWithFullBuffers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, end := stuckPair(t)
		defer end()
		start := time.Now()
		_ = c.Close()
		if took := time.Since(start); took != closeWait {
			t.Errorf("Close to a peer that does not read took %v, want %v", took, closeWait)
		}
	})
}

// TestCloseEndsWaitingCloseWrite runs in real time because Close waits for a mutex in
// crypto/tls, which is not durably blocking in a synctest bubble.
func TestCloseEndsWaitingCloseWrite(t *testing.T) {
	c, end := stuckPair(t)
	defer end()
	ended := make(chan error, 1)
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { ended <- c.CloseWrite() })
	receive(t, c.NetConn().(*signalConn).writing, "write of CloseWrite")
	within(t, soon, "Close", func() { _ = c.Close() })
	if err := receive(t, ended, "end of CloseWrite"); err == nil {
		t.Error("CloseWrite that was cut short: no error")
	}
}

func TestCloseWriteObeysTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, end := stuckPair(t)
		defer end()
		start := time.Now()
		if err := c.SetWriteDeadline(start.Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		if err := c.CloseWrite(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("CloseWrite = %v, want %v", err, os.ErrDeadlineExceeded)
		}
		if took := time.Since(start); took != time.Minute {
			t.Errorf("CloseWrite took %v, want the minute until its deadline", took)
		}
	})
}

func TestCloseWrite(t *testing.T) {
	c, s := newPair(t)
	if _, err := c.Write([]byte("question")); err != nil {
		t.Fatal(err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Fatalf("CloseWrite: %v", err)
	}
	got, err := io.ReadAll(s)
	if err != nil || string(got) != "question" {
		t.Fatalf("the peer read %q, %v, want %q and a clean end", got, err, "question")
	}
	if _, err := c.Write([]byte("x")); err == nil {
		t.Error("Write after CloseWrite: no error")
	}
	if _, err := s.Write([]byte("answer")); err != nil {
		t.Fatalf("Write after the peer's CloseWrite: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if got, err = io.ReadAll(c); err != nil || string(got) != "answer" {
		t.Errorf("after CloseWrite read %q, %v, want %q and a clean end", got, err, "answer")
	}
}

func TestCloseIsACleanEnd(t *testing.T) {
	c, s := newPair(t)
	if err := c.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if err := endOf(s); err != io.EOF {
		t.Errorf("the peer of a closed conn read %v, want %v", err, io.EOF)
	}
	if err := c.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("second Close = %v, want %v", err, net.ErrClosed)
	}
	if err := c.SetWriteDeadline(time.Now().Add(time.Hour)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("SetWriteDeadline after Close = %v, want %v", err, net.ErrClosed)
	}
}

func TestCutIsNotACleanEnd(t *testing.T) {
	c, s := newPair(t)
	wantTalk(t, c, s)
	if err := s.NetConn().Close(); err != nil { // as the kernel does when a process is killed
		t.Fatal(err)
	}
	if err := endOf(c); err != io.ErrUnexpectedEOF {
		t.Errorf("read of a conn that ended without close_notify = %v, want %v", err, io.ErrUnexpectedEOF)
	}
}

func TestReadDeadline(t *testing.T) {
	c, s := newPair(t)
	if err := c.SetDeadline(time.Now().Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Read after its deadline = %v, want %v", err, os.ErrDeadlineExceeded)
	}
	if err := c.SetDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	wantTalk(t, c, s)
}

func TestPeer(t *testing.T) {
	p := newPKI(t)
	l := p.leaf(ClientRole, "laptop")
	c, s := serve(t, p.server()).pair(newClient(t, p.config("laptop.pem", l)))
	if got := s.PeerName(); got != "laptop" {
		t.Errorf("server's PeerName = %q, want %q", got, "laptop")
	}
	if got, want := s.PeerSerial(), certtext.Serial(l.Cert.SerialNumber); got != want {
		t.Errorf("server's PeerSerial = %q, want %q", got, want)
	}
	if got := c.PeerName(); got != "localhost" {
		t.Errorf("client's PeerName = %q, want %q", got, "localhost")
	}
	if _, ok := c.NetConn().(*net.TCPConn); !ok {
		t.Errorf("NetConn is a %T, want a *net.TCPConn", c.NetConn())
	}
	if c.LocalAddr().String() != s.RemoteAddr().String() {
		t.Errorf("LocalAddr %v, the peer's RemoteAddr %v, want the same", c.LocalAddr(), s.RemoteAddr())
	}
}

// TestWriteNow checks that WriteNow never blocks, loses no data, and reports when Flush
// must follow.
func TestWriteNow(t *testing.T) {
	near, far := newPair(t)
	if !near.CanWriteNow() {
		t.Skip("this system does not support non-blocking writes to sockets")
	}
	piece := make([]byte, 64<<10)
	rand.Read(piece)
	total := 0
	for {
		sent, err := near.WriteNow(piece)
		if err != nil {
			t.Fatal(err)
		}
		total += len(piece)
		if !sent {
			break
		}
		if total > 1<<30 {
			t.Fatal("1 GiB was sent to a peer that is not reading")
		}
	}
	done := make(chan error, 1)
	go func() {
		err := near.Flush()
		if err == nil {
			err = near.CloseWrite()
		}
		done <- err
	}()
	got := 0
	buf := make([]byte, len(piece))
	for {
		n, err := io.ReadFull(far, buf)
		if n > 0 && !bytes.Equal(buf[:n], piece[:n]) {
			t.Fatalf("piece at %d differs", got)
		}
		got += n
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := <-done; err != nil || got != total {
		t.Errorf("%d bytes arrived, %v, want %d", got, err, total)
	}
}
