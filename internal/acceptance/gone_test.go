//go:build unix

package acceptance

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"tunnels/internal/testnet"
)

// stuff writes until the other end stops accepting data.
func stuff(t testing.TB, c net.Conn) {
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

// TestKilledClient checks that after a client is killed, the exit frees all its
// resources, whatever its sessions are waiting for, and closes the connections to the
// targets.
func TestKilledClient(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"remux":                   nil,
		"a conn for each session": {"-eagersocks.net=tls"},
		"without TLS":             {"-remux.net=tcp"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, client := startPair(t, args...)
			ended := make(chan error, 2)
			over := make(chan struct{})
			deaf := testnet.Serve(t, func(c *net.TCPConn) { <-over })
			quiet := testnet.Serve(t, func(c *net.TCPConn) { // reads EOF, but does not close its own direction
				_, err := io.Copy(io.Discard, c)
				for err == nil {
					_, err = c.Write([]byte("x"))
				}
				ended <- err
			})
			t.Cleanup(func() { close(over) }) // before waiting for the targets' connections
			var apps []*net.TCPConn
			for _, target := range []string{deaf.Addr, quiet.Addr} {
				app, err := linkDial(t.Context(), client.Addr, target)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { app.Close() })
				apps = append(apps, app)
			}
			stuff(t, apps[0])
			if err := apps[1].CloseWrite(); err != nil {
				t.Fatal(err)
			}
			server.waitLog(`\[sock\] \+ .* = 2\b`)
			client.Kill()
			server.waitLog(`\[sock\] - .* = 0\b`)
			<-ended
		})
	}
}

// TestMemoryIsReturned checks that the memory used by 100 unread downloads is returned
// to the system about 30 s after they end.
func TestMemoryIsReturned(t *testing.T) {
	t.Parallel()
	r := linkUp(t, linkSetup{client: []string{"-remux.reuse.max.cnt=1000"}})
	endless := testnet.Source(t, -1)
	before := []int64{r.server.rss(), r.client.rss()}
	all := linkStalled(t, r, endless.Addr, 100)
	most := []int64{r.server.rss(), r.client.rss()}
	for _, c := range all {
		c.Close()
	}
	server, client := int64(0), int64(0)
	began := time.Now()
	eventually(t, patience, "the memory has been returned to the system", func() bool {
		server, client = r.server.rss()-before[0], r.client.rss()-before[1]
		return server < 12<<20 && client < 12<<20
	})
	took := time.Since(began)
	t.Logf("server from %d to %d to %d KiB, client from %d to %d to %d KiB, after %v",
		before[0]>>10, most[0]>>10, (before[0]+server)>>10, before[1]>>10, most[1]>>10, (before[1]+client)>>10, took)
}
