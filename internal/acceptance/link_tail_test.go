//go:build unix

package acceptance

import (
	"context"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"tunnels/internal/testnet"
)

// TestLinkTail checks that data that ends cleanly arrives completely, even if its last
// bytes are still in the system's buffers when the sockets are closed or the whole
// process exits.
func TestLinkTail(t *testing.T) {
	const size = 1 << 20 // fits into the buffers
	over := func(p *process) func() bool {
		return func() bool { return len(p.lines("[sock] -")) == 1 }
	}
	end := map[string]func(p *process){
		"stays":   func(*process) {},
		"SIGTERM": func(p *process) { p.Signal(syscall.SIGTERM); p.Wait(patience) },
		"SIGKILL": func(p *process) { p.Kill() },
	}
	for name, stop := range end {
		t.Run("download, client "+name, func(t *testing.T) {
			r := linkUp(t, linkSetup{})
			source := testnet.Source(t, size)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			c, err := linkDial(ctx, r.client.Addr, source.Addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c.CloseWrite()
			eventually(t, patience, "the client's session has ended", over(r.client))
			stop(r.client)
			if n, err := io.Copy(io.Discard, c); n != size || err != nil {
				t.Errorf("read %d bytes, %v, want %d and a clean end", n, err, size)
			}
		})
		t.Run("upload, server "+name, func(t *testing.T) {
			r := linkUp(t, linkSetup{})
			read, got := make(chan struct{}), make(chan error, 1)
			var n int64
			target := testnet.Serve(t, func(c *net.TCPConn) {
				c.CloseWrite()
				<-read
				var err error
				n, err = io.Copy(io.Discard, c)
				got <- err
			})
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			c, err := linkDial(ctx, r.client.Addr, target.Addr)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Write(make([]byte, size)); err != nil {
				t.Error(err)
			}
			c.Close()
			ok := within(patience, over(r.server))
			stop(r.server)
			close(read)
			if err := <-got; !ok || n != size || err != nil {
				t.Errorf("the target read %d bytes, %v, want %d and a clean end; session ended at the server: %v", n, err, size, ok)
			}
		})
	}
}

// TestLinkSlowLineLatency checks that on a slow line, a keystroke sent during bulk
// transfers in both directions waits only for the line's own queue, and that no conn is
// considered dead.
func TestLinkSlowLineLatency(t *testing.T) {
	t.Parallel()
	const rate, rtt = 1 << 20, 40 * time.Millisecond
	r := &linkRig{server: startServer(t)}
	r.relay = testnet.NewRelay(t, r.server.Addr)
	r.relay.SetRate(rate)
	r.relay.SetDelay(rtt / 2)
	r.client = r.addClient(t, "-remux.reuse.max.cnt=1000")
	echo, endless, sink := testnet.Echo(t), testnet.Source(t, -1), testnet.Sink(t)
	keys := linkOpen(t, r.client.Addr, echo.Addr)
	key := func() time.Duration {
		begin := time.Now()
		b := []byte("k")
		if _, err := keys.Write(b); err != nil {
			t.Fatal(err)
		}
		if _, err := keys.Read(b); err != nil {
			t.Fatal(err)
		}
		return time.Since(begin)
	}
	alone := key()
	for _, tt := range []struct {
		name   string
		target string
		upload bool
	}{{"download", endless.Addr, false}, {"upload", sink.Addr, true}} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		c, err := linkDial(ctx, r.client.Addr, tt.target)
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Time{})
		up, down := r.relay.Bytes()
		done := make(chan struct{})
		go func() {
			defer close(done)
			if tt.upload {
				io.Copy(c, zeros{})
			} else {
				io.Copy(io.Discard, c)
			}
		}()
		eventually(t, patience, "the bulk transfer is running", func() bool {
			u, d := r.relay.Bytes()
			return u-up+d-down > rate
		})
		var all []time.Duration
		for range 8 {
			all = append(all, key())
		}
		t.Logf("keystroke alone: %v; during a %s: median %v", alone.Round(time.Millisecond), tt.name, linkMedian(all).Round(time.Millisecond))
		if m := linkMedian(all); m > 5*time.Second {
			t.Errorf("keystroke during a %s: %v, alone: %v", tt.name, m, alone)
		}
		c.SetLinger(0)
		c.Close()
		<-done
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
