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

// tellsWriter is a socket whose Write is told of a reset before Read can be, and then
// takes its time: what the system does on a busy machine now and then.
type tellsWriter struct {
	c       *net.TCPConn
	told    chan struct{} // closed when Write was told
	read    chan struct{} // closed when Read has returned what is left then
	release <-chan struct{}
}

func (w *tellsWriter) Read(p []byte) (int, error) {
	<-w.told
	n, err := w.c.Read(p)
	close(w.read)
	return n, err
}

func (w *tellsWriter) Write(p []byte) (int, error) {
	n, err := w.c.Write(p)
	if err != nil {
		close(w.told)
		<-w.read
		select {
		case <-w.release:
		case <-time.After(time.Second): // the reset was not passed on as a clean end
		}
	}
	return n, err
}

func (w *tellsWriter) NetConn() net.Conn                  { return w.c }
func (w *tellsWriter) Close() error                       { return w.c.Close() }
func (w *tellsWriter) CloseWrite() error                  { return w.c.CloseWrite() }
func (w *tellsWriter) LocalAddr() net.Addr                { return w.c.LocalAddr() }
func (w *tellsWriter) RemoteAddr() net.Addr               { return w.c.RemoteAddr() }
func (w *tellsWriter) SetDeadline(t time.Time) error      { return w.c.SetDeadline(t) }
func (w *tellsWriter) SetReadDeadline(t time.Time) error  { return w.c.SetReadDeadline(t) }
func (w *tellsWriter) SetWriteDeadline(t time.Time) error { return w.c.SetWriteDeadline(t) }

// TestResetToldToWriter: an end that was reset does not become a clean end of the other
// one when it was a Write that the system told of it.
func TestResetToldToWriter(t *testing.T) {
	app, near := tcpPair(t)
	far, target := tcpPair(t)
	ended := make(chan struct{})
	w := &tellsWriter{c: near, told: make(chan struct{}), read: make(chan struct{}), release: ended}
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
	if !errors.Is(err, syscall.ECONNRESET) && broken(target, false) == nil { // else its own Write was told
		t.Errorf("the target read %v, want a reset", err)
	}
	close(ended)
	if r := <-done; r.Err == nil {
		t.Errorf("Both = %+v, want an error", r)
	}
}
