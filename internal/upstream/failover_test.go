package upstream

import (
	"context"
	"testing"

	"tunnels/internal/splice"
)

// delivering is a stream that delivers data when the test calls take.
type delivering struct {
	splice.Stream
	take func([][]byte) int // owned by the test
	read func([]byte) (int, error)
}

func (d *delivering) SetSink(take func([][]byte) int) error { d.take = take; return nil }
func (d *delivering) Read(p []byte) (int, error)            { return d.read(p) }
func (d *delivering) Close() error                          { return nil }

// TestAbandonedServerDeliversNothing checks that data still arriving from the old
// server when the request fails over does not reach the application.
func TestAbandonedServerDeliversNothing(t *testing.T) {
	next := &delivering{read: func(p []byte) (int, error) { return copy(p, "new"), nil }}
	left := &delivering{read: func([]byte) (int, error) { return 0, errFake }}
	m := NewFailoverStream(t.Context(), left, func(context.Context) (splice.Stream, error) { return next, nil })
	took := 0
	if err := m.SetSink(func(p [][]byte) int { took += len(p[0]); return len(p[0]) }); err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 10)
	if n, err := m.Read(p); err != nil || string(p[:n]) != "new" {
		t.Fatalf("Read = %q, %v, want the new server's data", p[:n], err)
	}
	if n := left.take([][]byte{[]byte("old")}); n != 0 || took != 0 {
		t.Errorf("%d bytes from the abandoned server were accepted", n)
	}
	if n := next.take([][]byte{[]byte("more")}); n != 4 || took != 4 {
		t.Errorf("%d bytes from the new server were accepted, want 4", n)
	}
}
