package conn

import (
	"io"
	"testing"
	"time"

	"tunnels/internal/code"
)

// TestLateFin checks that FIN is sent even if the last Write before it timed out.
func TestLateFin(t *testing.T) {
	near, acceptor := pipePair(t)
	s, err := near.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.Announce()
	defer s.Close()
	far, err := acceptor.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	s.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
	done := make(chan int)
	go func() {
		n, _ := s.Write(make([]byte, 1<<20))
		done <- n
	}()
	for { // until the Write is waiting for the window
		s.origin.Conn.mu.Lock()
		stuck := s.stuckLocked()
		s.origin.Conn.mu.Unlock()
		if stuck {
			break
		}
	}
	s.CloseWrite()
	wrote := <-done
	got, err := io.Copy(io.Discard, onlyReader{far})
	if err != nil || got != int64(wrote) {
		t.Errorf("read %d bytes, %v, want the %d that were written and their end", got, err, wrote)
	}
}

type onlyReader struct{ io.Reader }

// TestDeadIsNoTarget checks that the loss of a conn is not mistaken for an error from a
// target.
func TestDeadIsNoTarget(t *testing.T) {
	if c, ok := code.Of(errDead); ok {
		t.Errorf("errDead carries code %s", c)
	}
}
