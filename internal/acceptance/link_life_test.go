//go:build unix

package acceptance

import (
	"context"
	"errors"
	"net"
	"syscall"
	"testing"
	"time"

	"tunnels/internal/testnet"
)

// TestLinkStall checks that a network that drops all data is detected by a timeout, and
// that traffic resumes when the network is back.
func TestLinkStall(t *testing.T) {
	t.Parallel()
	r := linkUp(t, linkSetup{})
	echo := testnet.Echo(t)
	c := linkOpen(t, r.client.Addr, echo.Addr)
	r.relay.Stall(true)
	begin := time.Now()
	if _, err := c.Write([]byte("anybody?")); err != nil {
		t.Fatal(err)
	}
	// The client sends a PING after 3 s of silence and closes the conn 5 s later. It
	// checks for both once a second.
	const latest = (3 + 5 + 2) * time.Second
	_, err := c.Read(make([]byte, 8))
	took := time.Since(begin)
	if !errors.Is(err, syscall.ECONNRESET) || took < 7*time.Second || took > latest+soon {
		t.Errorf("the request ended with %v after %v, want connection reset after 8 to %v", err, took, latest)
	}
	r.client.wantLine(patience, "[erro] [conn] -")
	// A new request waits until its dial times out, and then fails with the reason.
	begin = time.Now()
	_, err = linkAsk(t.Context(), r.client.Addr, echo.Addr)
	if fresh := time.Since(begin); err != linkRefused(1) || fresh > 10*time.Second+soon {
		t.Errorf("a new request: %v after %v, want SOCKS code 1 within 10 s", err, fresh)
	}
	// The next one fails immediately, unless on a busy machine it starts so late that
	// it waits for the next dial.
	eventually(t, patience, "a request fails immediately", func() bool {
		begin := time.Now()
		_, err := linkAsk(t.Context(), r.client.Addr, echo.Addr)
		if err != linkRefused(1) {
			t.Fatalf("a request while the server is silent: %v, want SOCKS code 1", err)
		}
		return time.Since(begin) < 5*time.Second
	})
	r.relay.Stall(false)
	again := linkTry(t, soon, r.client.Addr, echo.Addr)
	t.Logf("detected after %v, recovered after %v", took.Round(time.Millisecond), again.Round(time.Millisecond))
}

// linkOpen returns a connection to an echo server on which data has already been exchanged.
func linkOpen(t testing.TB, proxy, echo string) *net.TCPConn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := linkDial(ctx, proxy, echo)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	b := []byte("x")
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(b); err != nil {
		t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(60 * time.Second))
	return c
}

// atOnce is far less than the 10 s timeout of a dial, but more than an immediate reply
// takes on a busy machine.
const atOnce = 3 * time.Second

// TestLinkUnreachable checks that while no server is reachable, applications get an
// error, and get it immediately if a dial has just failed.
func TestLinkUnreachable(t *testing.T) {
	t.Parallel()
	r := linkUp(t, linkSetup{})
	echo := testnet.Echo(t)
	linkOpen(t, r.client.Addr, echo.Addr)
	r.relay.DropNew(true)
	r.relay.Reset()
	r.client.wantLine(patience, "[erro]", "cannot reach server "+r.relay.Addr)
	dialed := r.relay.Accepted()
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); {
		took, err := linkAsk(t.Context(), r.client.Addr, echo.Addr)
		if err != linkRefused(1) || took > atOnce {
			t.Errorf("no server: %v after %v, want SOCKS code 1 immediately", err, took)
			break
		}
	}
	if n := r.relay.Accepted() - dialed; n < 1 || n > 10 {
		t.Errorf("%d dials in 3 s of requests, want 1 to 10", n)
	}
	r.relay.DropNew(false)
	took := linkTry(t, soon, r.client.Addr, echo.Addr)
	t.Logf("recovered after %v", took.Round(time.Millisecond))
}

// TestLinkNoServerAtStart checks that a client started before its server works as soon
// as the server is running.
func TestLinkNoServerAtStart(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	relay := testnet.NewRelay(t, server.Addr)
	relay.DropNew(true)
	client := startClient(t, "-server.addr="+relay.Addr)
	client.wantLine(patience, "[erro]", "cannot reach server "+relay.Addr)
	echo := testnet.Echo(t)
	if took, err := linkAsk(t.Context(), client.Addr, echo.Addr); err != linkRefused(1) || took > atOnce {
		t.Errorf("no server: %v after %v, want SOCKS code 1 immediately", err, took)
	}
	relay.DropNew(false)
	linkTry(t, soon, client.Addr, echo.Addr)
}

// TestLinkIdle checks that an idle conn is closed together with its TCP connection.
func TestLinkIdle(t *testing.T) {
	t.Parallel()
	r := linkUp(t, linkSetup{client: []string{"-remux.idle.max.sec=1"}})
	echo := testnet.Echo(t)
	if _, err := linkAsk(t.Context(), r.client.Addr, echo.Addr); err != nil {
		t.Fatal(err)
	}
	_, conns := r.sessions()
	for _, p := range []*process{r.client, r.server} {
		p.wantLine(patience, "[info] [conn] - "+conns[0]+" = 0")
	}
	eventually(t, patience, "the TCP connection is closed", func() bool { return r.relay.Open() == 0 })
	// A new conn is opened when needed.
	if _, err := linkAsk(t.Context(), r.client.Addr, echo.Addr); err != nil {
		t.Errorf("a request after the idle period: %v", err)
	}
}
