package loglines

import (
	"syscall"
	"testing"
	"time"

	"tunnels/internal/loglines/logtest"
	"tunnels/internal/netx"
	"tunnels/sla"
)

// TestCongestionLines checks that each use is logged once, and none on short paths.
func TestCongestionLines(t *testing.T) {
	log := new(logtest.Buffer)
	l := log.LoggerWith(t, sla.Config{})
	defer l.Close()
	j := New(l)
	defer j.Close()
	chosen := j.Events().CongestionChosen
	use := netx.CongestionUse{RTT: netx.LongRTT, System: "cubic", Used: "cubic"}
	chosen(use)
	use.RTT, use.Used = time.Second, "bbr"
	chosen(use)
	chosen(use)
	use.Used, use.Err = "cubic", syscall.EINVAL
	chosen(use)
	chosen(use)
	const line = "[info] [main] congestion control between client and server: "
	log.Want(t,
		line+"bbr where the round trip is above 5 ms (the system's is cubic)",
		line+"cubic (the system default); bbr, which is faster on lossy paths, is not available: invalid argument")
}
