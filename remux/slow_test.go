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

// line is a lower connection whose system tells what the peer has acknowledged.
type line struct {
	net.Conn
	acked  atomic.Uint64
	ends   atomic.Int64 // unix nanoseconds; when the acknowledgments end
	every  time.Duration
	queued uint64 // what is always ahead of the peer
}

// Progress implements what netx asks for.
func (l *line) Progress() (netx.Sent, bool) {
	now := time.Now().UnixNano()
	if now < l.ends.Load() {
		l.acked.Store(uint64(now / int64(l.every)))
	}
	n := l.acked.Load()
	return netx.Sent{Acked: n, Queued: l.queued, Moved: n}, true
}

// look asks the pool for its health, as callers with several
// servers do, until that is want or the time is up.
func look(p *remux.Pool, want remux.State, limit time.Duration) (remux.State, time.Duration) {
	for start := time.Now(); ; time.Sleep(250 * time.Millisecond) {
		state, _ := p.Health()
		if took := time.Since(start); state == want || took >= limit {
			return state, took
		}
	}
}

// TestSlowLine: while bytes before it are acknowledged a conn is not dead, though its
// PING is not answered, and takes new sessions, nor does its server appear silent; when
// they no longer are, it is dead as soon as ever.
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
				p.wantType("asked for a sign of life", typePing)
				asked := time.Now()
				if tt.lasts > time.Minute && tt.every <= time.Second {
					if state, took := look(c.Pool, remux.Silent, time.Minute); state != remux.Up {
						t.Errorf("the server appears %v after %v", state, took)
					}
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

// TestStoppedProcess: the system of a process that has stopped acknowledges whatever is
// sent to it. What comes behind the PING is no sign of life.
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
		p.wantType("asked for a sign of life", typePing)
		p.wantClosed("no sign of life")
		wantBroken(t, "the session", x, "")
	})
}
