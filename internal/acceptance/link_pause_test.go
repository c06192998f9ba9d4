//go:build unix

package acceptance

import (
	"context"
	"errors"
	"io"
	"os"
	"syscall"
	"testing"
	"time"

	"tunnels/internal/testnet"
)

// TestLinkShortStall checks that connections survive a network outage of a few seconds.
func TestLinkShortStall(t *testing.T) {
	t.Parallel()
	r := linkUp(t, linkSetup{})
	echo := testnet.Echo(t)
	c := linkOpen(t, r.client.Addr, echo.Addr)
	r.relay.Stall(true)
	back := time.AfterFunc(4*time.Second, func() { r.relay.Stall(false) })
	defer back.Stop()
	begin := time.Now()
	b := []byte("still here?")
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, b); err != nil || string(b) != "still here?" {
		t.Errorf("after a 4 s outage: %q, %v", b, err)
	}
	if took := time.Since(begin); took > soon {
		t.Errorf("reply after %v, want it as soon as the network is back after 4 s", took)
	}
	for _, p := range []*process{r.client, r.server} {
		if lost := p.lines("[erro] [conn] -"); lost != nil {
			t.Errorf("%s: %v", p.Name, lost)
		}
	}
}

// TestLinkFrozen checks that the other end gives up on a process that is frozen for a
// while, as on a sleeping machine, and that requests work again as soon as it wakes up.
func TestLinkFrozen(t *testing.T) {
	t.Parallel()
	for _, who := range []string{"client", "server"} {
		t.Run(who, func(t *testing.T) {
			t.Parallel()
			r := linkUp(t, linkSetup{})
			echo, origin := testnet.Echo(t), linkOrigin(t, false)
			linkDownload(t, r.client.Addr, origin.Addr)
			c := linkOpen(t, r.client.Addr, echo.Addr)
			frozen, other := r.client, r.server
			if who == "server" {
				frozen, other = r.server, r.client
			}
			frozen.Signal(syscall.SIGSTOP)
			eventually(t, patience, "the process is stopped", frozen.stopped)
			defer frozen.Signal(syscall.SIGCONT)
			if who == "server" {
				if _, err := c.Write([]byte("x")); err != nil {
					t.Fatal(err)
				}
			}
			begin := time.Now()
			// This may take longer while data is still draining into the system's
			// buffers.
			other.wantLine(patience, "[erro] [conn] -")
			lost := time.Since(begin)
			frozen.Signal(syscall.SIGCONT)
			took := linkTry(t, soon, r.client.Addr, echo.Addr)
			if err := linkEnd(c, patience); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the open session ended with %v, want connection reset", err)
			}
			t.Logf("%s frozen: detected after %v, recovered after %v", who, lost.Round(time.Millisecond), took.Round(time.Millisecond))
		})
	}
}

// TestLinkServerReplaced stops a server and immediately starts another on its port. The
// old server's sessions must continue, new ones must go to the new server, and none may
// be refused.
func TestLinkServerReplaced(t *testing.T) {
	t.Parallel()
	r := linkUp(t, linkSetup{delay: linkRTT / 4})
	echo := testnet.Echo(t)
	c := linkOpen(t, r.client.Addr, echo.Addr)
	old := r.server
	old.Signal(syscall.SIGTERM)
	old.waitLog("stopping")
	r.serverAgain(t)
	begin := time.Now()
	for i := range 10 {
		if took, err := linkAsk(t.Context(), r.client.Addr, echo.Addr); err != nil {
			t.Errorf("request %d after the replacement: %v after %v", i+1, err, took)
		}
	}
	took := time.Since(begin)
	r.server.wantRun("sess", "+", 5)
	b := []byte("x")
	if _, err := c.Write(b); err != nil {
		t.Error(err)
	}
	if _, err := c.Read(b); err != nil {
		t.Errorf("the session on the old server: %v", err)
	}
	c.CloseWrite()
	if _, err := c.Read(b); err != io.EOF {
		t.Errorf("closing the session on the old server: %v, want EOF", err)
	}
	if code := old.Wait(patience); code != 0 {
		t.Errorf("the old server exited with code %d", code)
	}
	t.Logf("10 requests after the replacement in %v", took.Round(time.Millisecond))
}

// TestLinkSlowLine checks that a slow line, on which sent data is queued for many
// seconds, is not considered dead.
func TestLinkSlowLine(t *testing.T) {
	t.Parallel()
	r := &linkRig{server: startServer(t)}
	r.relay = testnet.NewRelay(t, r.server.Addr)
	r.relay.SetRate(32 << 10)
	r.client = r.addClient(t)
	sink := testnet.Sink(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := linkDial(ctx, r.client.Addr, sink.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const long = 14 * time.Second
	_ = c.SetDeadline(time.Now().Add(long))
	_, err = io.Copy(c, zeros{})
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("an upload at 32 KiB/s failed with %v within %v", err, long)
	}
	for _, p := range []*process{r.client, r.server} {
		if lost := p.lines("[erro] [conn] -"); lost != nil {
			t.Errorf("%s: %v", p.Name, lost)
		}
	}
	t.Logf("%d KiB arrived", sink.Bytes()>>10)
	c.SetLinger(0)
}
