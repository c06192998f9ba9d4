package lifecycle

import (
	"net"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"tunnels/internal/trim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestWorkTrims: connections that are served and end are what the trimmer looks at.
func TestWorkTrims(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w Work
		trims := 0
		w.Memory = trim.NewWith(w.Count, func() (int64, int64) { return 0, 0 }, func() bool { trims++; return true })
		end := make(chan struct{})
		for range 100 {
			c, _ := net.Pipe()
			w.Start(c, func() func() { return func() { <-end } })
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if trims != 0 {
			t.Error("memory is given back while all is in use")
		}
		close(end)
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if trims != 1 {
			t.Errorf("memory is given back %d times", trims)
		}
		w.Abort()
	})
}
