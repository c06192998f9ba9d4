package remux_test

import (
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tunnels/internal/netx"
	"tunnels/remux"
)

// line is a lower connection that reports how much the peer's kernel has acknowledged.
type line struct {
	net.Conn
	acked  atomic.Uint64
	ends   atomic.Int64 // when the acknowledgments stop, in Unix nanoseconds
	every  time.Duration
	queued uint64 // unacknowledged bytes that Progress always reports
}

// Progress reports acknowledged bytes, for netx.Progress.
func (l *line) Progress() (netx.Sent, bool) {
	now := time.Now().UnixNano()
	if now < l.ends.Load() {
		l.acked.Store(uint64(now / int64(l.every)))
	}
	n := l.acked.Load()
	return netx.Sent{Acked: n, Queued: l.queued, Moved: n}, true
}

// look polls the pool's health, as a caller with several servers would, until it is want
// or the limit has passed.
func look(p *remux.Pool, want remux.State, limit time.Duration) (remux.State, time.Duration) {
	for start := time.Now(); ; time.Sleep(250 * time.Millisecond) {
		state, _ := p.Health()
		if took := time.Since(start); state == want || took >= limit {
			return state, took
		}
	}
}

// TestSlowLine checks that while bytes sent before a PING are being acknowledged, a conn
// that waits for the PONG is not dead and takes new sessions, and its server does not
// appear silent. When the acknowledgments stop, it is declared dead as soon as any other
// conn.
func TestSlowLine(t *testing.T) {
	for name, tt := range map[string]struct {
		every, lasts time.Duration
		dead         time.Duration // maximum time to declare the conn dead, after the last acknowledgment or the PING
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
					l = &line{Conn: nc, every: tt.every, queued: 1 << 40}
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
				p.wantType("PING after silence", typePing)
				asked := time.Now()
				if tt.lasts > time.Minute && tt.every <= time.Second {
					if state, took := look(c.Pool, remux.Silent, time.Minute); state != remux.Up {
						t.Errorf("the server appears %v after %v", state, took)
					}
					y := c.open()
					y.Write([]byte("y"))
					p.wantData("the next session uses the same conn", 3, "y")
				}
				p.wantClosed("no response")
				last := start.Add(tt.lasts)
				if last.Before(asked) {
					last = asked
				}
				switch took := time.Since(last); {
				case tt.dead == 0:
					if waited := time.Since(asked); waited > 20*time.Second {
						t.Errorf("declared dead after %v", waited)
					}
				case took > tt.dead || took < 0:
					t.Errorf("declared dead %v after the last acknowledgment", took)
				}
				wantBroken(t, "the session", x, "")
			})
		})
	}
}

// TestStoppedProcess: the kernel of a stopped process acknowledges everything sent to it.
// Acknowledgments of data after the PING do not show that the process is alive.
func TestStoppedProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newPipeClient(t, remux.Config{ReuseMaxAge: time.Hour, ReuseMaxCount: 1000}, func(nc net.Conn) net.Conn {
			l := &line{Conn: nc, every: 100 * time.Millisecond, queued: 3}
			l.ends.Store(time.Now().Add(time.Hour).UnixNano())
			return l
		})
		p := c.full()
		x := c.open()
		x.Write([]byte("x"))
		p.wantFrame("open", data(1, "x"))
		p.wantIdle("quiet")
		p.silent.Store(true)
		x.Write([]byte("request"))
		p.wantData("data", 1, "request")
		if state, took := look(c.Pool, remux.Silent, 4*time.Second); state != remux.Silent {
			t.Errorf("the server appears %v after %v", state, took)
		}
		p.wantType("PING after silence", typePing)
		p.wantClosed("no response")
		wantBroken(t, "the session", x, "")
	})
}
