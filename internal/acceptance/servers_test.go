//go:build unix

package acceptance

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tunnels/internal/testnet"
)

// threeServers holds a client and three servers, each behind its own relay: one nearby,
// one 100 ms away and one 300 ms away.
type threeServers struct {
	servers [3]*process
	relays  [3]*testnet.Relay
	client  *process
}

func startThree(t testing.TB, args ...string) *threeServers {
	t.Helper()
	r := &threeServers{}
	var addrs []string
	for i, delay := range []time.Duration{0, 50 * time.Millisecond, 150 * time.Millisecond} {
		r.servers[i] = startServer(t)
		r.relays[i] = testnet.NewRelay(t, r.servers[i].Addr)
		r.relays[i].SetDelay(delay)
		addrs = append(addrs, r.relays[i].Addr)
	}
	r.client = startClient(t, append([]string{"-server.addr=" + strings.Join(addrs, ",")}, args...)...)
	r.client.wantLine(patience, "using server "+addrs[0]+" (")
	return r
}

// wantSwitch waits until the client logs that it uses server i instead of another one.
func (r *threeServers) wantSwitch(i, instead int, why string) {
	r.client.t.Helper()
	r.client.wantLine(2*patience, "using server "+r.relays[i].Addr+" (", " instead of "+r.relays[instead].Addr+" ("+why)
}

// hear connects to a target that speaks first, and reads the greeting without sending
// any data.
func (r *threeServers) hear(t testing.TB, target string) error {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := linkDial(ctx, r.client.Addr, target)
	if err != nil {
		return err
	}
	defer c.Close()
	got, err := io.ReadAll(c)
	switch {
	case err == nil && string(got) != "hello":
		return errors.New("the greeting is incomplete")
	case errors.Is(err, syscall.ECONNRESET) && len(got) > 0:
		return nil // the server was lost in the middle of the greeting, so a reset is correct
	}
	return err
}

// asking keeps making requests that send no data until end is called. None may fail.
func (r *threeServers) asking(t testing.TB) (end func()) {
	site := testnet.Serve(t, func(c *net.TCPConn) { io.WriteString(c, "hello") })
	over := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
				}
				if err := r.hear(t, site.Addr); err != nil {
					t.Errorf("a request that had sent no data: %v", err)
					return
				}
			}
		})
	}
	return func() { close(over); wg.Wait() }
}

// TestServersKilled checks that the nearest of three servers is used. When it is
// killed, requests that had sent no data must not fail, and the next server must be
// used immediately. After a restart, the nearest must be used again.
func TestServersKilled(t *testing.T) {
	for _, eager := range []string{"on", "off"} {
		t.Run(eager, func(t *testing.T) {
			t.Parallel()
			r := startThree(t, "-eagersocks.eager="+eager)
			end := r.asking(t)
			near := r.servers[0]
			eventually(t, patience, "the nearest server is used", func() bool { return len(near.lines("[sock] + ")) > 20 })
			near.Kill()
			r.wantSwitch(1, 0, "unreachable")
			begin := time.Now()
			before := len(r.servers[1].lines("[sock] + "))
			eventually(t, patience, "the next server is used", func() bool { return len(r.servers[1].lines("[sock] + ")) > before })
			t.Logf("killed: the next server was used %v after the switch", time.Since(begin))
			r.servers[0] = startServer(t, "-server.addr="+near.Addr)
			begin = time.Now()
			r.wantSwitch(0, 1, "")
			t.Logf("restarted: used again after %v", time.Since(begin))
			end()
		})
	}
}

// TestServersStopped checks that the client switches away from a server suspended by a
// signal. When the server resumes, it must be used again, and its sessions must
// continue unless the silence was long enough to lose their conn.
func TestServersStopped(t *testing.T) {
	t.Parallel()
	r := startThree(t)
	echo := testnet.Echo(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*patience)
	defer cancel()
	kept, err := linkDial(ctx, r.client.Addr, echo.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	say := func() error {
		if _, err := kept.Write([]byte("!")); err != nil {
			return err
		}
		_, err := io.ReadFull(kept, make([]byte, 1))
		return err
	}
	if err := say(); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	r.servers[0].Signal(syscall.SIGSTOP)
	eventually(t, patience, "the server is stopped", r.servers[0].stopped)
	defer r.servers[0].Signal(syscall.SIGCONT)
	var stuck sync.WaitGroup
	stuck.Go(func() { linkAsk(ctx, r.client.Addr, echo.Addr) }) // it has sent data, so it must wait
	r.wantSwitch(1, 0, "silent")
	t.Logf("stopped: switched after %v", time.Since(begin))
	if took, err := linkAsk(ctx, r.client.Addr, echo.Addr); err != nil {
		t.Errorf("the request after the switch: %v after %v", err, took)
	}
	r.servers[0].Signal(syscall.SIGCONT)
	const silence = 8 * time.Second // after this long the client considers a conn lost
	if err := say(); err != nil && (time.Since(begin) < silence || len(r.client.lines("the peer is not responding")) == 0) {
		t.Errorf("the session that was already open: %v", err)
	}
	stuck.Wait()
	begin = time.Now()
	r.wantSwitch(0, 1, "")
	t.Logf("resumed: used again after %v", time.Since(begin))
}
