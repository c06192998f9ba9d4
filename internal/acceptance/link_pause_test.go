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

// TestLinkShortStall: a network outage of a few seconds breaks nothing.
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
		t.Errorf("after 4 s without network: %q, %v", b, err)
	}
	if took := time.Since(begin); took > soon {
		t.Errorf("answer after %v, want it when the network is back after 4 s", took)
	}
	for _, p := range []*process{r.client, r.server} {
		if lost := p.lines("[erro] [conn] -"); lost != nil {
			t.Errorf("%s: %v", p.Name, lost)
		}
	}
}

// TestLinkFrozen: an end that is frozen for a while, like a sleeping machine, is
// abandoned by the other end; when it wakes up, it works again at once.
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
			eventually(t, patience, "it stands still", frozen.stopped)
			defer frozen.Signal(syscall.SIGCONT)
			if who == "server" {
				if _, err := c.Write([]byte("x")); err != nil {
					t.Fatal(err)
				}
			}
			begin := time.Now()
			// It may take longer while bytes are still draining into the system's
			// buffers.
			other.wantLine(patience, "[erro] [conn] -")
			lost := time.Since(begin)
			frozen.Signal(syscall.SIGCONT)
			took := linkTry(t, soon, r.client.Addr, echo.Addr)
			if err := linkEnd(c, patience); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the request that ran ended with %v, want connection reset", err)
			}
			t.Logf("%s frozen: given up after %v, works again after %v", who, lost.Round(time.Millisecond), took.Round(time.Millisecond))
		})
	}
}

// TestLinkServerReplaced: a server is stopped and the next one started on its port at
// once: the old one's sessions finish, new ones go to the new server, and none is
// refused.
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
			t.Errorf("request %d after the change: %v after %v", i+1, err, took)
		}
	}
	took := time.Since(begin)
	r.server.wantRun("sess", "+", 5)
	b := []byte("x")
	if _, err := c.Write(b); err != nil {
		t.Error(err)
	}
	if _, err := c.Read(b); err != nil {
		t.Errorf("the request that ran on the old server: %v", err)
	}
	c.CloseWrite()
	if _, err := c.Read(b); err != io.EOF {
		t.Errorf("its end: %v", err)
	}
	if code := old.Wait(patience); code != 0 {
		t.Errorf("the old server ended with exit code %d", code)
	}
	t.Logf("10 requests after the change in %v", took.Round(time.Millisecond))
}

// TestLinkSlowLine: a line on which our own bytes are queued for many seconds is slow,
// not dead.
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
		t.Errorf("an upload at 32 KiB/s ended with %v within %v", err, long)
	}
	for _, p := range []*process{r.client, r.server} {
		if lost := p.lines("[erro] [conn] -"); lost != nil {
			t.Errorf("%s: %v", p.Name, lost)
		}
	}
	t.Logf("%d KiB arrived", sink.Bytes()>>10)
	c.SetLinger(0)
}
