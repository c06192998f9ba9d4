package tunnel

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"sync"
	"testing"

	"tunnels/internal/netx"
)

// role is the interface common to Client and Server.
type role interface {
	Listen() error
	Serve() error
	ListenAndServe() error
	Addr() net.Addr
	Reload() error
	Shutdown(ctx context.Context) error
	Close()
}

// eachRole runs f for Client and Server, each with and without remux over plain TCP.
func eachRole(t *testing.T, f func(t *testing.T, made func() role)) {
	for _, eager := range []string{"remux", "tcp"} {
		cfg := Config{
			ServerNet: "tcp", ServerAddr: "127.0.0.1:0", RemuxNet: "tcp", EagerNet: eager,
			ClientAddrs: []netx.Endpoint{{Network: "tcp", Address: "127.0.0.1:0"}, {Network: "unix", Address: filepath.Join(t.TempDir(), "s")}},
		}
		if eager == "tcp" {
			cfg.RemuxNet = ""
		}
		t.Run("server/"+eager, func(t *testing.T) {
			f(t, func() role {
				s, err := NewServer(cfg)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(s.Close)
				return s
			})
		})
		t.Run("client/"+eager, func(t *testing.T) {
			cfg := cfg
			cfg.ServerAddr = "127.0.0.1:1"
			f(t, func() role {
				c, err := NewClient(cfg)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(c.Close)
				return c
			})
		})
	}
}

// TestUnusualOrder checks that methods called out of order return an error, do not
// panic, and leave nothing listening.
func TestUnusualOrder(t *testing.T) {
	eachRole(t, func(t *testing.T, made func() role) {
		for name, end := range map[string]func(r role){
			"Shutdown": func(r role) { _ = r.Shutdown(t.Context()) },
			"Close":    func(r role) { r.Close() },
		} {
			r := made()
			if a := r.Addr(); a != nil {
				t.Errorf("Addr before Listen = %v", a)
			}
			if err := r.Serve(); err == nil || errors.Is(err, ErrClosed) {
				t.Errorf("Serve before Listen = %v", err)
			}
			end(r)
			for what, begin := range map[string]func() error{"Listen": r.Listen, "Serve": r.Serve, "ListenAndServe": r.ListenAndServe} {
				if err := begin(); !errors.Is(err, ErrClosed) || !errors.Is(err, net.ErrClosed) {
					t.Errorf("%s after %s = %v, want ErrClosed", what, name, err)
				}
			}
			_ = r.Reload()
			end(r)

			r = made()
			if err := r.Listen(); err != nil {
				t.Fatal(err)
			}
			if err := r.Listen(); err == nil {
				t.Error("a second Listen succeeded")
			}
			addr := r.Addr().String()
			end(r)
			if err := r.Serve(); err != nil {
				t.Errorf("Serve after Listen and %s = %v, want nil", name, err)
			}
			if err := r.Serve(); err == nil {
				t.Error("a second Serve succeeded")
			}
			if c, err := net.Dial("tcp", addr); err == nil {
				c.Close()
				t.Errorf("%s is still accepting connections after %s", addr, name)
			}
		}
	})
}

// TestStopWhileStarting checks that Shutdown and Close stop a ListenAndServe that is
// just starting, and leave the port free.
func TestStopWhileStarting(t *testing.T) {
	eachRole(t, func(t *testing.T, made func() role) {
		for i := range 50 {
			r := made()
			var wg sync.WaitGroup
			wg.Go(func() {
				if err := r.ListenAndServe(); err != nil && !errors.Is(err, ErrClosed) {
					t.Errorf("ListenAndServe = %v", err)
				}
			})
			wg.Go(func() { r.Addr(); _ = r.Reload() })
			if i%2 == 0 {
				wg.Go(r.Close)
			}
			_ = r.Shutdown(t.Context())
			wg.Wait()
			if a := r.Addr(); a != nil {
				if c, err := net.Dial("tcp", a.String()); err == nil {
					c.Close()
					t.Fatalf("%s is still accepting connections after Shutdown", a)
				}
			}
		}
	})
}
