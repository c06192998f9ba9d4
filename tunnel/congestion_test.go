package tunnel

import (
	"io"
	"runtime"
	"testing"

	"tunnels/internal/netx"
	"tunnels/internal/testnet"
)

// TestCongestion checks that both ends apply the choice to their connection with each
// other, whatever it carries, and to no other one.
func TestCongestion(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("congestion control can be chosen only on Linux")
	}
	echo := testnet.Echo(t)
	for _, w := range ways {
		for _, name := range []string{"auto", "reno"} {
			t.Run(w.eager+" "+w.remux+" "+w.server+" "+name, func(t *testing.T) {
				choice, err := netx.ParseCongestion(name)
				if err != nil {
					t.Fatal(err)
				}
				uses := map[string]chan netx.CongestionUse{"client": make(chan netx.CongestionUse, 100), "server": make(chan netx.CongestionUse, 100)}
				watch := func(end string) *Events {
					return &Events{CongestionChosen: func(u netx.CongestionUse) { uses[end] <- u }}
				}
				var network string
				r := startWatched(t, w.eager, w.remux, w.server, func(cfg *Config) {
					cfg.Congestion = choice
					way, _ := cfg.way()
					network = way.network
				}, watch("client"), watch("server"))
				c := r.dial(t, echo.Addr)
				if _, err := c.Write([]byte("x")); err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
					t.Fatal(err)
				}
				for end, reported := range uses {
					if network == "unix" {
						if len(reported) > 0 {
							t.Errorf("%s: %+v on a UNIX socket", end, <-reported)
						}
						continue
					}
					if len(reported) == 0 { // it is reported before the connection is used
						t.Errorf("%s: nothing reported", end)
						continue
					}
					u := <-reported
					want := u.System
					if name == "reno" {
						want = "reno"
					} else if u.Long() {
						continue // a very busy machine
					}
					if u.Used != want || u.Choice != choice || u.RTT == 0 || len(reported) > 0 {
						t.Errorf("%s: %+v and %d more, want %s once", end, u, len(reported), want)
					}
				}
			})
		}
	}
}
