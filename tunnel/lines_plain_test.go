package tunnel

import (
	"io"
	"strings"
	"testing"

	"tunnels/internal/loglines/logtest"
	"tunnels/internal/testnet"
)

// TestResetIsNotAnError checks that neither end logs an error when an application resets its
// connection, over every network.
func TestResetIsNotAnError(t *testing.T) {
	for _, w := range ways {
		if w.eager == "unix" {
			continue // a UNIX socket has no reset
		}
		t.Run(w.eager+" "+w.remux, func(t *testing.T) {
			r := start(t, w.eager, w.remux, w.server, nil)
			echo := testnet.Echo(t)
			c := r.dial(t, echo.Addr)
			b := []byte("x")
			if _, err := c.Write(b); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(c, b); err != nil {
				t.Fatal(err)
			}
			c.SetLinger(0)
			c.Close()
			for name, log := range map[string]*logtest.Buffer{"client": r.clientLog, "server": r.serverLog} {
				log.Wait(t, name, "[sock] - "+echo.Addr+" = 0")
				if strings.Contains(log.String(), "[erro]") {
					t.Errorf("the %s's log has an error:\n%s", name, log)
				}
			}
		})
	}
}
