package remux_test

import (
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tunnels/remux"
)

// line is a lower connection whose system tells what the peer has acknowledged.
type line struct {
	net.Conn
	acked atomic.Uint64
	ends  atomic.Int64 // unix nanoseconds; when the acknowledgments end
	every time.Duration
}

// Progress implements what netx asks for.
func (l *line) Progress() (uint64, bool) {
	now := time.Now().UnixNano()
	if now < l.ends.Load() {
		l.acked.Store(uint64(now / int64(l.every)))
	}
	return l.acked.Load(), true
}

// TestSlowLine: while bytes are acknowledged a conn is not dead, though its PING is
// not answered, and takes new sessions; when they no longer are, it is dead as soon
// as ever.
func TestSlowLine(t *testing.T) {
	for name, tt := range map[string]struct {
		every, lasts time.Duration
		dead         time.Duration // behind the last acknowledgment, at most; or behind the PING
	}{
		"steady":              {100 * time.Millisecond, 10 * time.Minute, 7 * time.Second},
		"every four seconds":  {4 * time.Second, 10 * time.Minute, 11 * time.Second},
		"no acknowledgments":  {time.Second, 0, 6 * time.Second},
		"for a moment":        {time.Second, 4 * time.Second, 7 * time.Second},
		"less than every 5 s": {12 * time.Second, time.Hour, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var l *line
				c := newPipeClient(t, remux.Config{ReuseMaxAge: time.Hour, ReuseMaxCount: 1000}, func(nc net.Conn) net.Conn {
					l = &line{Conn: nc, every: tt.every}
					return l
				})
				p := c.full()
				x := c.open()
				x.Write([]byte("x"))
				p.wantFrame("open", data(1, "x"))
				p.wantIdle("quiet")
				p.silent.Store(true)
				p.waits = 2 * time.Hour
				x.Write([]byte("upload"))
				start := time.Now()
				l.ends.Store(start.Add(tt.lasts).UnixNano())
				p.wantData("data", 1, "upload")
				p.wantType("asked for a sign of life", typePing)
				asked := time.Now()
				if tt.lasts > time.Minute && tt.every <= time.Second {
					time.Sleep(time.Minute)
					y := c.open()
					y.Write([]byte("y"))
					p.wantData("the next session is on the same conn", 3, "y")
				}
				p.wantClosed("no sign of life")
				last := start.Add(tt.lasts)
				if last.Before(asked) {
					last = asked
				}
				switch took := time.Since(last); {
				case tt.dead == 0:
					if waited := time.Since(asked); waited > 20*time.Second {
						t.Errorf("dead after %v", waited)
					}
				case took > tt.dead || took < 0:
					t.Errorf("dead %v behind the last sign", took)
				}
				wantBroken(t, "the session", x, "")
			})
		})
	}
}
