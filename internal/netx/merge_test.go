package netx

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
)

func TestMergeTakesFromAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newScripted(nil, nil), newScripted(nil, syscall.EMFILE, nil)
		m := Merge(a, b)
		conns, failed := 0, 0
		for range 5 {
			c, err := m.Accept()
			if err != nil {
				failed++
				if !errors.Is(err, syscall.EMFILE) {
					t.Errorf("Accept = %v, want the listener's error", err)
				}
				continue
			}
			conns++
			c.Close()
		}
		if conns != 4 || failed != 1 {
			t.Errorf("%d connections and %d errors, want 4 and 1", conns, failed)
		}
		if m.Addr() != a.Addr() && m.Addr().String() != a.Addr().String() {
			t.Errorf("Addr = %v, want the first listener's", m.Addr())
		}
		waiting := make(chan error)
		go func() { _, err := m.Accept(); waiting <- err }()
		synctest.Wait()
		b.Close() // closing one listener must not end the merged one
		synctest.Wait()
		a.results <- nil
		if err := <-waiting; err != nil {
			t.Errorf("Accept with one listener left = %v", err)
		}
		a.results <- nil // never accepted, so Close must close it
		synctest.Wait()
		for range 2 {
			if err := m.Close(); err != nil {
				t.Errorf("Close = %v", err)
			}
		}
		if _, err := m.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept after Close = %v, want %v", err, net.ErrClosed)
		}
	})
}

func TestMergeEndsWithItsListeners(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newScripted(), newScripted()
		m := Merge(a, b)
		waiting := make(chan error)
		go func() { _, err := m.Accept(); waiting <- err }()
		a.Close()
		b.Close()
		if err := <-waiting; !errors.Is(err, net.ErrClosed) {
			t.Errorf("waiting Accept = %v, want %v", err, net.ErrClosed)
		}
		if one := Merge(a); one != net.Listener(a) {
			t.Errorf("Merge of one = %v, want itself", one)
		}
	})
}

func TestListenAll(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	all := []Endpoint{{"unix", path}, {"tcp", taken.Addr().String()}}
	if _, err := (Config{}).ListenAll(context.Background(), all); err == nil || !strings.Contains(err.Error(), taken.Addr().String()) {
		t.Errorf("ListenAll with one address in use = %v, want it to name %v", err, taken.Addr())
	}
	all[1].Address = "127.0.0.1:0"
	open, err := (Config{}).ListenAll(context.Background(), all) // ListenAll must have closed the first again
	if err != nil {
		t.Fatal(err)
	}
	m := Merge(open...)
	for _, l := range open {
		c, err := net.Dial(l.Addr().Network(), l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		got, err := m.Accept()
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		got.Close()
	}
	if err := m.Close(); err != nil {
		t.Errorf("Close = %v", err)
	}
}

func TestParseEndpoint(t *testing.T) {
	for _, tt := range []struct {
		network, in, text string
		want              Endpoint
	}{
		{"tcp", "127.0.0.1:1080", "127.0.0.1:1080", Endpoint{"tcp", "127.0.0.1:1080"}},
		{"tcp", "unix:/run/s", "unix:/run/s", Endpoint{"unix", "/run/s"}},
		{"unix", "/run/s", "unix:/run/s", Endpoint{"unix", "/run/s"}},
		{"unix", "tcp::1080", ":1080", Endpoint{"tcp", ":1080"}},
		{"tcp", "tcp6:[::1]:1", "tcp6:[::1]:1", Endpoint{"tcp6", "[::1]:1"}},
		{"tcp4", "localhost:1", "tcp4:localhost:1", Endpoint{"tcp4", "localhost:1"}},
		{"tcp", "", "", Endpoint{"tcp", ""}},
	} {
		got := ParseEndpoint(tt.network, tt.in)
		if got != tt.want || got.String() != tt.text {
			t.Errorf("ParseEndpoint(%s, %q) = %+v, which is %q; want %+v and %q", tt.network, tt.in, got, got, tt.want, tt.text)
		}
	}
	if (Endpoint{"tcp", ":1"}).IsLoopback() || !(Endpoint{"unix", "/s"}).IsLoopback() {
		t.Error("IsLoopback is wrong about :1 or a UNIX socket")
	}
}
