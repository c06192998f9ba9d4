//go:build unix

package acceptance

import (
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tunnels/internal/testnet"
)

// hold opens n sessions concurrently, alternating between CONNECT and UDP. It returns
// those admitted and the number of replies with each code.
func hold(t testing.TB, dial func() (net.Conn, error), echo string, n int) (in []net.Conn, codes map[int]int) {
	t.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	codes = map[int]int{}
	for i := range n {
		wg.Go(func() {
			req := request(1, "127.0.0.1", portOf(t, echo))
			if i%2 == 1 {
				req = request(3, "0.0.0.0", 0)
			}
			code, c, _ := exitSays(dial, req)
			mu.Lock()
			defer mu.Unlock()
			codes[code]++
			if code == 0 {
				in = append(in, c)
			} else if c != nil {
				c.Close()
			}
		})
	}
	wg.Wait()
	t.Cleanup(func() { leave(in) })
	return in, codes
}

func leave(all []net.Conn) {
	for _, c := range all {
		c.Close()
	}
}

// TestAdversaryLimits checks that a client's session limit applies to all its
// connections together, even if they arrive at the same time, that sessions free their
// slots when they end, and that another client is served in the meantime.
func TestAdversaryLimits(t *testing.T) {
	t.Parallel()
	server := startServer(t, "-eagersocks.net=tls", "-server.client.sess.max.cnt=5", "-server.sess.max.cnt=8")
	echo := testnet.Echo(t)
	laptop, other := byTLS(t, server.Addr, "laptop.pem"), byTLS(t, server.Addr, "client.pem")
	for range 3 {
		in, codes := hold(t, laptop, echo.Addr, 40)
		if len(in) != 5 || codes[0] != 5 || codes[2] != 35 {
			t.Errorf("40 sessions from one client: %d admitted, codes %v; want 5 admitted and 35 times code 2", len(in), codes)
		}
		in2, codes := hold(t, other, echo.Addr, 20)
		if len(in2) != 3 || codes[2]+codes[0x15] != 17 {
			t.Errorf("20 sessions from the other client: %d admitted, codes %v; want 3", len(in2), codes)
		}
		leave(in)
		leave(in2)
		eventually(t, patience, "all sessions have ended", func() bool { return len(server.lines("[sock] + ")) == len(server.lines("[sock] - ")) })
	}
	if n := len(server.lines("refused client laptop")); n == 0 || n > 6 {
		t.Errorf("%d log lines about one client's refused sessions within seconds, want 1 to 6", n)
	}
}

// TestAdversaryOpening checks that a client that opens many sessions at once is allowed
// a burst of five seconds' worth, and then the configured number per second.
func TestAdversaryOpening(t *testing.T) {
	t.Parallel()
	server := startServer(t, "-eagersocks.net=tls", "-server.client.open.max.sec=4")
	echo := testnet.Echo(t)
	begin := time.Now()
	in, codes := hold(t, byTLS(t, server.Addr, "laptop.pem"), echo.Addr, 120)
	most := 20 + int(4*time.Since(begin).Seconds()) + 1
	if len(in) < 20 || len(in) > most || codes[2] != 120-len(in) {
		t.Errorf("%d of 120 sessions were admitted, want 20 to %d; codes %v", len(in), most, codes)
	}
	leave(in)
}

// TestAdversaryRate checks that a client's rate limit applies to all its sessions and
// connections together, in each direction.
func TestAdversaryRate(t *testing.T) {
	t.Parallel()
	const rate = 512 << 10
	server := startServer(t, "-eagersocks.net=tls", fmt.Sprintf("-server.client.rate.max.kb=%d", rate>>10))
	source, sink := testnet.Source(t, -1), testnet.Sink(t)
	dial := byTLS(t, server.Addr, "laptop.pem")
	var down atomic.Int64
	var wg sync.WaitGroup
	end := time.Now().Add(4 * time.Second)
	for i := range 8 {
		target := []string{source.Addr, sink.Addr}[i%2]
		code, c, err := exitSays(dial, request(1, "127.0.0.1", portOf(t, target)))
		if code != 0 {
			t.Fatalf("code %d, %v", code, err)
		}
		defer c.Close()
		_ = c.SetDeadline(end)
		wg.Go(func() {
			if target == source.Addr {
				n, _ := io.Copy(io.Discard, c)
				down.Add(n)
				return
			}
			for b := make([]byte, 64<<10); ; {
				if _, err := c.Write(b); err != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	for what, n := range map[string]int64{"down": down.Load(), "up": sink.Bytes()} {
		if n < rate || n > 4*rate+3*rate/2 {
			t.Errorf("%s: %d KiB in 4 s at %d KiB per second", what, n>>10, rate>>10)
		}
	}
}
