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

// TestWorkTrims checks that Work notifies its Trimmer when connections start and end.
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
			t.Error("memory was returned while all connections were open")
		}
		close(end)
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if trims != 1 {
			t.Errorf("memory was returned %d times, want once", trims)
		}
		w.Abort()
	})
}
