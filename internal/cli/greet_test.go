package cli

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
	"time"
)

// stuck is a pipe whose reader stops once the status has been written.
type stuck struct {
	io.Writer
	reached chan struct{} // closed by the write that blocks
	never   chan struct{}
}

func (s stuck) Write(b []byte) (int, error) {
	if strings.Contains(string(b), "Try: ") {
		close(s.reached)
		<-s.never
	}
	return s.Writer.Write(b)
}

// TestUnreadGreeting: a process stops even if its output is never read.
func TestUnreadGreeting(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := stuck{new(bytes.Buffer), make(chan struct{}), make(chan struct{})}
	defer close(out.never)
	done := make(chan error, 1)
	args := []string{"-server", "-client", "-client.addr=127.0.0.1:0", "-sla.log.path=" + t.TempDir() + "/log"}
	go func() { done <- run(ctx, args, nil, strings.NewReader(""), out, io.Discard) }()
	const patience = 20 * time.Second
	select {
	case <-out.reached:
	case <-time.After(patience):
		t.Fatal("the greeting does not say how to try it")
	}
	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Fatal("the process did not stop")
	}
}
