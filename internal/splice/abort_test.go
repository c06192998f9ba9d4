package splice

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"

	"tunnels/internal/code"
)

type abortable struct {
	net.Conn
	aborted bool
}

func (a *abortable) Abort() error { a.aborted = true; return nil }

func TestAbort(t *testing.T) {
	t.Run("resetter", func(t *testing.T) {
		_, c := pair(t, "tcp")
		s := &session{Stream: c}
		Abort(s, code.Overload, "full")
		s.wantReset(t, code.Overload, "full")
	})
	t.Run("own abort", func(t *testing.T) {
		_, c := pair(t, "tcp")
		a := &abortable{Conn: c}
		Abort(a, code.General, "")
		if !a.aborted {
			t.Error("Abort of the connection was not called")
		}
	})
	t.Run("tcp", func(t *testing.T) {
		peer, c := pair(t, "tcp")
		Abort(c, code.General, "")
		wantReset(t, peer)
		Abort(c, code.General, "") // has no effect
	})
	t.Run("above tcp", func(t *testing.T) {
		peer, c := pair(t, "tcp")
		Abort(tls.Client(c, &tls.Config{}), code.General, "")
		wantReset(t, peer)
	})
	t.Run("after half-close", func(t *testing.T) {
		peer, c := pair(t, "tcp")
		c.CloseWrite()
		if _, err := peer.Read(make([]byte, 1)); err != io.EOF {
			t.Fatalf("peer read %v, want EOF", err)
		}
		Abort(c, code.General, "")
		wantWriteError(t, peer)
	})
	t.Run("pipe", func(t *testing.T) {
		peer, c := net.Pipe()
		Abort(c, code.General, "")
		if _, err := peer.Read(make([]byte, 1)); err == nil {
			t.Error("peer read no error, want one")
		}
		peer.Close()
	})
}

// TestAbortWithBlockedWriter checks that Abort unblocks a Write to a peer that does not
// read.
func TestAbortWithBlockedWriter(t *testing.T) {
	_, c := pair(t, "tcp")
	blocked := make(chan error)
	started := make(chan struct{})
	go func() {
		close(started)
		for {
			if _, err := c.Write(make([]byte, 1<<20)); err != nil {
				blocked <- err
				return
			}
		}
	}()
	<-started
	Abort(c, code.General, "")
	if err := <-blocked; !errors.Is(err, net.ErrClosed) {
		t.Errorf("blocked Write = %v, want closed", err)
	}
}

func wantReset(t *testing.T, peer net.Conn) {
	t.Helper()
	if _, err := peer.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("peer read %v, want ECONNRESET", err)
	}
}

func wantWriteError(t *testing.T, peer net.Conn) {
	t.Helper()
	for range 1000 {
		if _, err := peer.Write(make([]byte, 1<<16)); err != nil {
			return
		}
	}
	t.Error("peer's writes never failed, want an error")
}
