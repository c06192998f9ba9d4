package loglines

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"tunnels/internal/loglines/logtest"
	"tunnels/sla"
)

// TestDialLines checks that a server that remains unreachable is logged once a minute.
func TestDialLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := new(logtest.Buffer)
		l := log.LoggerWith(t, sla.Config{})
		defer l.Close()
		j := New(l)
		defer j.Close()
		dialed := j.Events().ServerDialed
		refused, expired := errors.New("connection refused"), errors.New("certificate has expired")
		dialed("a.test:443", 0, nil)
		for range 601 { // 5 minutes
			dialed("a.test:443", 0, refused)
			time.Sleep(500 * time.Millisecond)
		}
		for range 100 { // a changed reason is logged sooner
			dialed("a.test:443", 0, expired)
			time.Sleep(100 * time.Millisecond)
		}
		dialed("a.test:443", 0, nil)
		dialed("a.test:443", 0, nil)
		const away = "[warn] [main] cannot reach server a.test:443: connection refused (120 attempts since this was last logged)"
		log.Want(t,
			"[erro] [main] cannot reach server a.test:443: connection refused",
			away, away, away, away, away,
			"[warn] [main] cannot reach server a.test:443: certificate has expired (96 attempts since this was last logged)",
			"[info] [main] server a.test:443 can be reached again")
	})
}
