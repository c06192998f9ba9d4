//go:build linux

package splice

import (
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"tunnels/internal/code"
)

// slowWriter is a socket whose Write sees a reset before Read does and returns late, as
// occasionally happens on a busy machine.
type slowWriter struct {
	c       *net.TCPConn
	failed  chan struct{} // closed when Write has seen the error
	read    chan struct{} // closed when a later Read has returned
	release <-chan struct{}
}

func (w *slowWriter) Read(p []byte) (int, error) {
	<-w.failed
	n, err := w.c.Read(p)
	close(w.read)
	return n, err
}

func (w *slowWriter) Write(p []byte) (int, error) {
	n, err := w.c.Write(p)
	if err != nil {
		close(w.failed)
		<-w.read
		select {
		case <-w.release:
		case <-time.After(time.Second): // as expected, no clean end was passed on
		}
	}
	return n, err
}

func (w *slowWriter) NetConn() net.Conn                  { return w.c }
func (w *slowWriter) Close() error                       { return w.c.Close() }
func (w *slowWriter) CloseWrite() error                  { return w.c.CloseWrite() }
func (w *slowWriter) LocalAddr() net.Addr                { return w.c.LocalAddr() }
func (w *slowWriter) RemoteAddr() net.Addr               { return w.c.RemoteAddr() }
func (w *slowWriter) SetDeadline(t time.Time) error      { return w.c.SetDeadline(t) }
func (w *slowWriter) SetReadDeadline(t time.Time) error  { return w.c.SetReadDeadline(t) }
func (w *slowWriter) SetWriteDeadline(t time.Time) error { return w.c.SetWriteDeadline(t) }

// TestResetSeenOnlyByWriter checks that one end's reset does not become the other's
// clean end when the kernel reported it only to a Write.
func TestResetSeenOnlyByWriter(t *testing.T) {
	app, near := tcpPair(t)
	far, target := tcpPair(t)
	ended := make(chan struct{})
	w := &slowWriter{c: near, failed: make(chan struct{}), read: make(chan struct{}), release: ended}
	done := make(chan Result, 1)
	go func() { done <- Both(w, far, code.Cancelled, code.TargetReset) }()
	go func() {
		block := make([]byte, 64<<10)
		for {
			if _, err := target.Write(block); err != nil {
				return
			}
		}
	}()
	if _, err := io.ReadFull(app, make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	_ = app.SetLinger(0)
	app.Close()
	_, err := target.Read(make([]byte, 1))
	if !errors.Is(err, syscall.ECONNRESET) && broken(target, false) == nil { // otherwise its own Write saw the error
		t.Errorf("the target read %v, want a reset", err)
	}
	close(ended)
	if r := <-done; r.Err == nil {
		t.Errorf("Both = %+v, want an error", r)
	}
}
