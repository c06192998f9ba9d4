package tunnel

import (
	"context"
	"io"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"

	"tunnels/internal/loglines/logtest"
	"tunnels/internal/testnet"
	"tunnels/sla"
)

// TestLinesNameClient checks that over every network, both ends' log lines name a
// connection's client and the bytes it carried.
func TestLinesNameClient(t *testing.T) {
	grammar := regexp.MustCompile(sla.Grammar)
	for _, way := range ways {
		t.Run(way.eager+" "+way.remux+" "+way.server, func(t *testing.T) {
			secured := way.eager == "tls" || way.remux == "tls"
			r := start(t, way.eager, way.remux, way.server, nil)
			target := testnet.Serve(t, func(c *net.TCPConn) {
				b, _ := io.ReadAll(c)
				_, _ = c.Write(append(b, "0123456789"...))
			}).Addr
			const socks, connect = 300, 400
			exchange(t, r.dial(t, target), socks)
			exchange(t, connectHTTP(t, r, target), connect)
			for name, log := range map[string]*logtest.Buffer{"client": r.clientLog, "server": r.serverLog} {
				log.Wait(t, name, "[sock] - "+target+" ", " up=300 down=310 sec=")
				log.Wait(t, name, "[sock] - "+target+" ", " up=400 down=410 sec=")
				for line := range strings.Lines(log.String()) {
					m := grammar.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
					if m == nil || m[grammar.SubexpIndex("sign")] == "" || m[grammar.SubexpIndex("category")] == "sess" {
						continue
					}
					want := ""
					if name == "server" && secured {
						want = "client"
					}
					if got := m[grammar.SubexpIndex("client")]; got != want {
						t.Errorf("%s: the client of %q is %q, want %q", name, line, got, want)
					}
				}
			}
			if way.eager != "remux" {
				return
			}
			r.serverLog.Wait(t, "server", "[conn] + ", " from=")
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			_ = r.client.Shutdown(ctx) // only the log line matters here
			r.serverLog.Wait(t, "server", "[conn] - ", " sec=")
		})
	}
}

// exchange sends n bytes on c and reads the whole reply.
func exchange(t *testing.T, c net.Conn, n int) {
	t.Helper()
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := c.Write([]byte(strings.Repeat("x", n))); err != nil {
		t.Fatal(err)
	}
	_ = c.(interface{ CloseWrite() error }).CloseWrite()
	if b, err := io.ReadAll(c); err != nil || len(b) != n+10 {
		t.Errorf("read %d bytes, %v, want %d", len(b), err, n+10)
	}
}

// connectHTTP connects to target with an HTTP CONNECT request.
func connectHTTP(t *testing.T, r *rig, target string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", r.client.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(c, "CONNECT "+target+" HTTP/1.1\r\nHost: "+target+"\r\n\r\n")
	const ok = "\r\n\r\n"
	var head []byte
	for !strings.HasSuffix(string(head), ok) {
		b := make([]byte, 1)
		if _, err := io.ReadFull(c, b); err != nil {
			t.Fatal(err)
		}
		head = append(head, b...)
	}
	return c
}
