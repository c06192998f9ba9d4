package tunnel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"tunnels/eagersocks"
	"tunnels/internal/testnet"
	"tunnels/remux"
	"tunnels/sla"
	"tunnels/tls/ca"
)

// goneMax is how long a lost peer's resources may be held. It is generous: the limits
// in package splice are a few seconds.
const goneMax = 40 * time.Second

// eventually waits until ok returns true.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), goneMax)
	defer cancel()
	for tick := time.NewTicker(20 * time.Millisecond); ; {
		if ok() {
			tick.Stop()
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			tick.Stop()
			t.Errorf("timed out after %v waiting for: %s", goneMax, what)
			return
		}
	}
}

// holding returns a target and a channel of its connections, which it keeps open until
// the test ends.
func holding(t *testing.T) (*testnet.Server, <-chan *net.TCPConn) {
	t.Helper()
	conns, closed := make(chan *net.TCPConn, 8), make(chan struct{})
	s := testnet.Serve(t, func(c *net.TCPConn) {
		conns <- c
		<-closed
	})
	t.Cleanup(func() { close(closed) })
	return s, conns
}

// wantTargetReset reads the remaining data and checks that a reset follows.
func wantTargetReset(t *testing.T, c *net.TCPConn) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(goneMax))
	if n, err := io.Copy(io.Discard, c); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read %d bytes and %v, want a reset", n, err)
	}
}

// fillUp writes until a Write blocks.
func fillUp(t *testing.T, c net.Conn) {
	t.Helper()
	block := make([]byte, 64<<10)
	for {
		_ = c.SetWriteDeadline(time.Now().Add(time.Second))
		if _, err := c.Write(block); errors.Is(err, os.ErrDeadlineExceeded) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// wantNothingHeld checks that the server eventually releases everything held for its
// client.
func (r *rig) wantNothingHeld(t *testing.T) {
	t.Helper()
	eventually(t, "no connection to a target", func() bool { return r.servL.Count(sla.Sock) == 0 })
	eventually(t, "no session of the client", func() bool {
		return r.server.clients.Sessions() == 0
	})
	eventually(t, "no memory of the budget", func() bool {
		b := r.cfg.Remux.Budget
		waiting, _, granted := b.Usage()
		return waiting == 0 && granted == 0
	})
	if n := r.server.work.Count(); n != 0 {
		t.Errorf("%d connections are still being served", n)
	}
}

// TestGone checks that when a client is gone, its certificate is revoked, or an
// application resets its connection, the sessions at the exit end, whatever they are
// waiting for, and the targets notice.
func TestGone(t *testing.T) {
	silent := func(t *testing.T, c *net.TCPConn) { // it has already read EOF, so only a Write notices the reset
		eventually(t, "a reset", func() bool { _, err := c.Write([]byte("x")); return err != nil })
	}
	states := map[string]struct {
		begin func(t *testing.T, app, target *net.TCPConn)
		check func(t *testing.T, target *net.TCPConn)
		app   bool // also test a reset by the application
	}{
		"target does not read": {
			begin: func(t *testing.T, app, _ *net.TCPConn) { fillUp(t, app) },
			check: wantTargetReset,
			app:   true,
		},
		"target does not read, application has finished": {
			begin: func(t *testing.T, app, _ *net.TCPConn) {
				fillUp(t, app)
				_ = app.CloseWrite()
			},
			check: wantTargetReset,
		},
		"half-closed, target is silent": {
			begin: func(t *testing.T, app, target *net.TCPConn) {
				_, _ = app.Write([]byte("question"))
				_ = app.CloseWrite()
				if _, err := io.ReadAll(target); err != nil {
					t.Error(err)
				}
			},
			check: silent,
		},
		"application does not read": {
			begin: func(t *testing.T, _, target *net.TCPConn) { fillUp(t, target) },
			check: wantTargetReset,
			app:   true,
		},
		"both silent": {begin: func(*testing.T, *net.TCPConn, *net.TCPConn) {}, app: true},
	}
	for _, w := range ways {
		for _, cause := range []string{"client", "application", "certificate"} {
			if cause == "certificate" && w.eager != "tls" && w.remux != "tls" {
				continue
			}
			t.Run(fmt.Sprintf("%s %s %s, %s", w.eager, w.remux, w.server, cause), func(t *testing.T) {
				t.Parallel()
				target, conns := holding(t)
				authority := newAuthority(t)
				r := start(t, w.eager, w.remux, w.server, func(c *Config) {
					ownBudget(c)
					authority.apply(c)
				})
				var apps, targets []*net.TCPConn
				var checks []func(*testing.T, *net.TCPConn)
				var begun sync.WaitGroup
				for _, state := range states {
					if cause == "application" && !state.app {
						continue
					}
					app := r.dial(t, target.Addr)
					defer app.Close()
					far := <-conns
					begun.Go(func() { state.begin(t, app, far) })
					apps, targets, checks = append(apps, app), append(targets, far), append(checks, state.check)
				}
				begun.Wait()
				switch cause {
				case "certificate":
					if _, err := ca.Revoke(authority.dir, "client"); err != nil {
						t.Fatal(err)
					}
					if err := r.server.Reload(); err != nil {
						t.Fatal(err)
					}
				case "application":
					for _, app := range apps {
						_ = app.SetLinger(0)
						app.Close()
					}
					eventually(t, "the applications' connections have ended", func() bool { return r.clientL.Count(sla.Sock) == 0 })
				case "client":
					r.client.Close()
				}
				r.wantNothingHeld(t)
				for i, far := range targets {
					if checks[i] != nil && w.eager != "unix" { // a UNIX socket always closes cleanly
						checks[i](t, far)
					}
				}
			})
		}
	}
}

// ownBudget gives the rig a memory budget of its own.
func ownBudget(c *Config) { c.Remux.Budget = remux.NewBudget(0) }

// TestGoneThrottled checks that a session waiting for its client's rate limit ends when
// the client is gone.
func TestGoneThrottled(t *testing.T) {
	for _, w := range ways {
		if w.eager == "remux" && w.remux != "tls" || w.server == "unix" {
			continue // same code path
		}
		t.Run(fmt.Sprintf("%s %s %s", w.eager, w.remux, w.server), func(t *testing.T) {
			t.Parallel()
			target := testnet.Sink(t)
			r := start(t, w.eager, w.remux, w.server, func(c *Config) {
				ownBudget(c)
				c.Limits.Rate.Max = 1 << 10
			})
			app := r.dial(t, target.Addr)
			defer app.Close()
			fillUp(t, app)
			r.client.Close()
			r.wantNothingHeld(t)
		})
	}
}

// TestGoneServer checks that an application that is not reading is reset when its
// server is gone, and that data waiting for it is freed.
func TestGoneServer(t *testing.T) {
	for _, w := range ways {
		t.Run(fmt.Sprintf("%s %s %s", w.eager, w.remux, w.server), func(t *testing.T) {
			t.Parallel()
			target, conns := holding(t)
			r := start(t, w.eager, w.remux, w.server, ownBudget)
			app := r.dial(t, target.Addr)
			defer app.Close()
			far := <-conns
			fillUp(t, far)
			r.server.Close()
			eventually(t, "the application's connection has ended", func() bool { return r.clientL.Count(sla.Sock) == 0 })
			eventually(t, "no memory of the budget", func() bool { waiting, _, _ := r.cfg.Remux.Budget.Usage(); return waiting == 0 })
			wantTargetReset(t, app)
		})
	}
}

// TestGoneWhileDialing checks that a session ends when its client is gone, even while
// its target is being dialed.
func TestGoneWhileDialing(t *testing.T) {
	target := testnet.BlackHole(t)
	for _, w := range ways {
		if w.eager != "remux" {
			continue // without remux nothing watches the connection during the dial, which has its own timeout
		}
		t.Run(w.remux+" "+w.server, func(t *testing.T) {
			t.Parallel()
			r := start(t, w.eager, w.remux, w.server, func(c *Config) {
				c.DialTimeout = time.Hour
				c.EagerMode = eagersocks.On
				c.Remux.Budget = remux.NewBudget(0)
			})
			app := r.dial(t, target)
			defer app.Close()
			r.serverLog.Wait(t, "server", "[sock] + ")
			r.client.Close()
			r.wantNothingHeld(t)
		})
	}
}
