package tunnel

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"tunnels/eagersocks"
	"tunnels/internal/testnet"
	"tunnels/internal/upstream"
)

// TestMismatchedEagerNet checks that if only one of client and server uses remux over
// TLS, they report it rather than pass each other's bytes to applications or targets.
func TestMismatchedEagerNet(t *testing.T) {
	for _, nets := range [][2]string{{"remux", "tls"}, {"tls", "remux"}} {
		t.Run(nets[0]+" for "+nets[1], func(t *testing.T) {
			server := start(t, nets[0], "tls", "tcp", nil)
			client := start(t, nets[1], "tls", "tcp", func(c *Config) {
				c.EagerMode = eagersocks.Off
				c.ServerTLS, c.ClientTLS = server.cfg.ServerTLS, server.cfg.ClientTLS
			})
			v := client.client.servers.All()[0]
			switch l := v.Link.(type) {
			case *upstream.Direct:
				l.Address = server.server.Addr().String()
				_, err := l.Open(t.Context())
				wantMismatch(t, err)
			case upstream.Pooled:
				p := client.cfg.Remux
				p.Dial = client.client.tls.Dial
				pool := p.NewPool("tcp", server.server.Addr().String())
				defer pool.Close()
				_, err := pool.Open(t.Context())
				wantMismatch(t, err)
			}
		})
	}
}

// wantMismatch checks that err reports the mismatch.
func wantMismatch(t *testing.T, err error) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), "-eagersocks.net must be the same") {
		t.Errorf("Open = %v, want an error about -eagersocks.net", err)
	}
}

// TestCloseHalfClosed checks that closing the client or server does not wait for a silent target
// after the application has closed its direction.
func TestCloseHalfClosed(t *testing.T) {
	for _, w := range ways {
		for _, end := range []string{"client", "server"} {
			t.Run(fmt.Sprintf("%s %s %s, %s", w.eager, w.remux, w.server, end), func(t *testing.T) {
				t.Parallel()
				heard, closed := make(chan struct{}), make(chan struct{})
				target := testnet.Serve(t, func(c *net.TCPConn) {
					_, _ = io.Copy(io.Discard, c)
					close(heard)
					<-closed
				})
				r := start(t, w.eager, w.remux, w.server, nil)
				c := r.dial(t, target.Addr)
				defer c.Close()
				if err := c.CloseWrite(); err != nil {
					t.Fatal(err)
				}
				<-heard
				done := make(chan struct{})
				go func() {
					defer close(done)
					if end == "client" {
						r.client.Close()
					} else {
						r.server.Close()
					}
				}()
				select {
				case <-done:
				case <-time.After(10 * time.Second):
					t.Error("Close is still waiting after 10 s")
				}
				close(closed)
				<-done
			})
		}
	}
}
