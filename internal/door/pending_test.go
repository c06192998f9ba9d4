package door

import (
	"net"
	"testing"
	"time"
)

type ofClient struct {
	net.Conn
	name string
}

func (c ofClient) PeerName() string { return c.name }

// TestPendingShareByClient checks that at the limit, a request of the client with the
// most unfinished requests is dropped.
func TestPendingShareByClient(t *testing.T) {
	dropped := make(chan string, 100)
	l := &Listener[struct{}]{
		read: func(c net.Conn) (stream net.Conn, req struct{}, err error) {
			_, err = c.Read(make([]byte, 1))
			return c, req, err
		},
		max:      10,
		timeout:  time.Minute,
		bySource: map[string]int{},
		done:     make(chan struct{}),
		from:     noConns{},
	}
	var all []*pending
	add := func(name string) {
		near, far := net.Pipe()
		t.Cleanup(func() { near.Close(); far.Close() })
		l.admit(ofClient{near, name})
		l.mu.Lock()
		all = append(all, l.pending.Back().Value.(*pending))
		l.mu.Unlock()
	}
	add("honest")
	for range 50 {
		add("flood")
	}
	add("newcomer")
	for _, p := range all {
		select {
		case <-p.dropped:
			dropped <- p.source
		default:
		}
	}
	if len(dropped) != 42 {
		t.Errorf("%d of 52 were dropped, want 42", len(dropped))
	}
	for len(dropped) > 0 {
		if source := <-dropped; source != "flood" {
			t.Errorf("a request of %s was dropped", source)
		}
	}
	l.Close()
	if len(l.bySource) != 0 {
		t.Errorf("sources %v are left, but no requests", l.bySource)
	}
}

type noConns struct{}

func (noConns) Accept() (net.Conn, error) { return nil, net.ErrClosed }
func (noConns) Close() error              { return nil }

// TestOldestOfEqualSources checks that if all sources have the same number of
// connections, the oldest is dropped, or a source's own oldest if it already has some.
func TestOldestOfEqualSources(t *testing.T) {
	l := &Listener[struct{}]{bySource: map[string]int{}}
	for _, source := range []string{"a", "b", "c", "d"} {
		l.pending.PushBack(&pending{source: source})
		l.bySource[source]++
	}
	for range 50 { // map order differs each time
		for source, want := range map[string]string{"new": "a", "c": "c"} {
			if got := l.oldestLocked(source).Value.(*pending).source; got != want {
				t.Fatalf("a new one from %s evicts one from %s, want one from %s", source, got, want)
			}
		}
	}
}
