package tunnel

import (
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"tunnels/internal/testnet"
)

// TestCloseHalfClosed: closing either end does not wait for a target that says
// nothing to an application that has ended its direction.
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
					t.Error("Close still waits after 10 s")
				}
				close(closed)
				<-done
			})
		}
	}
}
