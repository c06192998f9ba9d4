//go:build unix

package acceptance

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"tunnels/internal/testnet"
)

// startStarved starts a server with a low limit on file descriptors.
func startStarved(t testing.TB, files int) *process {
	t.Helper()
	dir := t.TempDir()
	script, log := filepath.Join(dir, "starved"), filepath.Join(dir, "server.log")
	if err := os.WriteFile(script, fmt.Appendf(nil, "#!/bin/sh\nulimit -n %d\nexec %s \"$@\"\n", files, binary), 0o700); err != nil {
		t.Fatal(err)
	}
	args := append(common(t).server(), "-server", "-server.addr=127.0.0.1:0", "-server.allow=loopback",
		"-sla.log.path="+log, "-sla.log.level=debug")
	p := job{Dir: dir}.start(t, "server", script, args...)
	p.Log = log
	t.Cleanup(p.finish)
	p.Addr = p.waitStdout(`^Server: listening on (\S+)$`)
	return p
}

// TestLinkNoDescriptors checks that a server that runs out of file descriptors logs
// that once, refuses requests it cannot serve, and recovers when descriptors become
// free.
func TestLinkNoDescriptors(t *testing.T) {
	const starved = "too many open files"
	t.Run("accepting", func(t *testing.T) {
		r := &linkRig{server: startStarved(t, 40)}
		r.behind(t, linkSetup{})
		echo := testnet.Echo(t)
		linkTry(t, soon, r.client.Addr, echo.Addr)
		for round := range 2 { // close together, so both are logged as one line
			var all []net.Conn
			for range 60 {
				c, err := net.Dial("tcp", r.server.Addr)
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, c)
			}
			eventually(t, patience, "the server logs that it has run out", func() bool {
				return len(r.server.lines("accepting on", starved)) > 0
			})
			linkPause(500 * time.Millisecond) // the server keeps retrying
			for _, c := range all {
				c.Close()
			}
			took := linkTry(t, soon, r.client.Addr, echo.Addr)
			fresh := r.addClient(t) // also works with a new conn
			linkTry(t, soon, fresh.Addr, echo.Addr)
			t.Logf("round %d: recovered after %v", round+1, took.Round(time.Millisecond))
		}
		if said := r.server.lines("accepting on", starved); len(said) != 1 {
			t.Errorf("%d log lines, want one:\n%s", len(said), strings.Join(said, "\n"))
		}
	})
	t.Run("dialing", func(t *testing.T) {
		r := &linkRig{server: startStarved(t, 40)}
		r.behind(t, linkSetup{client: []string{"-remux.reuse.max.cnt=1000"}})
		echo := testnet.Echo(t)
		linkTry(t, soon, r.client.Addr, echo.Addr)
		var all []net.Conn
		refused := 0
		for range 60 {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			c, err := linkDial(ctx, r.client.Addr, echo.Addr)
			cancel()
			switch {
			case err == nil:
				all = append(all, c)
			case err == linkRefused(1):
				refused++
			default:
				t.Errorf("a request in excess of the limit: %v, want SOCKS code 1", err)
			}
		}
		r.server.wantLine(patience, "[erro] [sock] - "+echo.Addr, starved)
		served := 0
		for _, c := range all {
			b := []byte("x")
			_, werr := c.Write(b)
			if _, err := c.Read(b); werr == nil && err == nil {
				served++
			}
		}
		if served < 15 {
			t.Errorf("%d of 60 requests were served with 40 descriptors, want 15 at least", served)
		}
		for _, c := range all {
			c.Close()
		}
		took := linkTry(t, soon, r.client.Addr, echo.Addr)
		t.Logf("%d of 60 served, %d refused; recovered after %v", served, refused, took.Round(time.Millisecond))
	})
}

// TestLinkSilent checks that many silent connections, to either port, do not block
// others.
func TestLinkSilent(t *testing.T) {
	t.Parallel()
	r := linkUp(t, linkSetup{})
	echo := testnet.Echo(t)
	var mu sync.Mutex
	var all []net.Conn // guarded by mu
	t.Cleanup(func() {
		for _, c := range all {
			c.Close()
		}
	})
	open := func(n int, addr, greeting string) {
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range n / 8 {
					c, err := net.Dial("tcp", addr)
					if err != nil {
						t.Error(err)
						return
					}
					if greeting != "" {
						c.Write([]byte(greeting))
					}
					mu.Lock()
					all = append(all, c)
					mu.Unlock()
				}
			})
		}
		wg.Wait()
	}
	open(304, r.server.Addr, "")
	begin := time.Now()
	fresh := r.addClient(t)
	if took, err := linkAsk(t.Context(), fresh.Addr, echo.Addr); err != nil || took > 8*time.Second {
		t.Errorf("a new client with 304 silent connections open: %v, %v", took, err)
	}
	server := time.Since(begin)
	open(5000, r.client.Addr, "\x05")
	slow := all[len(all)-1]
	since := time.Now()
	took, err := linkAsk(t.Context(), r.client.Addr, echo.Addr)
	if err != nil || took > 8*time.Second {
		t.Errorf("an application during 5000 slow greetings: %v, %v, want an immediate reply", took, err)
	}
	burst := linkBurst(t, 20, r.client.Addr, echo.Addr)
	if burst[19] > 8*time.Second {
		t.Errorf("20 applications during 5000 slow greetings: the slowest took %v", burst[19])
	}
	_ = slow.SetReadDeadline(time.Now().Add(patience))
	_, err = slow.Read(make([]byte, 1))
	cut := time.Since(since)
	if e, ok := err.(net.Error); err == nil || ok && e.Timeout() || cut > 30*time.Second {
		t.Errorf("a slow greeting ended with %v after %v, want it cut off after 10 s", err, cut)
	}
	t.Logf("with 304 silent connections, a client was started and served in %v; with 5000 slow greetings, one request took %v, slowest of 20 %v; greetings are cut off after %v",
		server.Round(time.Millisecond), took.Round(time.Millisecond), burst[19].Round(time.Millisecond), cut.Round(time.Millisecond))
}
