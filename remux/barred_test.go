package remux_test

import (
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tunnels/internal/code"
	"tunnels/remux"
)

// visa is a lower connection whose peer may open sessions until a given time.
type visa struct {
	net.Conn
	until *atomic.Pointer[time.Time]
}

var errVisa = errors.New("the certificate of laptop expired")

func (v visa) Barred() error {
	if time.Now().After(*v.until.Load()) {
		return errVisa
	}
	return nil
}

// visaServer serves peers that may open sessions for an hour; barred counts the
// conns that were reported as barred.
func visaServer(t *testing.T) (s *server, until *atomic.Pointer[time.Time], barred *atomic.Int32) {
	until, barred = new(atomic.Pointer[time.Time]), new(atomic.Int32)
	end := time.Now().Add(time.Hour)
	until.Store(&end)
	cfg := remux.Config{Hooks: &remux.Hooks{ConnBarred: func(_ remux.ID, err error) {
		if !errors.Is(err, errVisa) {
			t.Errorf("the conn is barred with %v, want %v", err, errVisa)
		}
		barred.Add(1)
	}}}
	return newPipeServer(t, cfg, func(c net.Conn) net.Conn { return visa{c, until} }), until, barred
}

// TestBarred checks that once its certificate has expired, a peer can open no more
// sessions, while open ones continue.
func TestBarred(t *testing.T) {
	for _, tt := range []struct {
		name string
		jump bool // the clock jumps, so no timer has fired when the next session begins
	}{{"by the timer", false}, {"when a session begins", true}} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, until, barred := visaServer(t)
				p := s.full()
				running := s.wantNext("before expiry", p, 1)
				second := s.wantNext("also before expiry", p, 3)
				last := uint16(3)
				if tt.jump {
					now := time.Now().Add(-time.Nanosecond)
					until.Store(&now)
					p.write(data(5, "x"))
					p.wantFrame("a session after expiry", reset(5, code.NotAuthorised, errVisa.Error()))
					last = 5
				} else {
					time.Sleep(time.Until(*until.Load()) + 1100*time.Millisecond)
				}
				if got := p.wantGoAway("after expiry", code.NotAuthorised); got != last {
					t.Errorf("GOAWAY names session %d as the last, want %d", got, last)
				}
				p.write(open(7), data(9, "x"), fin(9))
				p.wantFrame("a session after GOAWAY", reset(7, code.NotAuthorised, errVisa.Error()))
				p.wantFrame("another one", reset(9, code.NotAuthorised, errVisa.Error()))
				time.Sleep(time.Minute) // without any session
				if _, err := running.Write([]byte("still here")); err != nil {
					t.Fatalf("Write on a running session: %v", err)
				}
				p.wantData("a running session", 1, "still here")
				p.write(data(1, "me too"), fin(1))
				wantEOF(t, "a running session", running, "me too")
				running.Close()
				p.wantFrame("the end of a running session", fin(1))
				second.Reset(code.Cancelled, "")
				p.wantReset("the last session", 3, code.Cancelled)
				p.wantClosed("after the last session")
				if n := barred.Load(); n != 1 {
					t.Errorf("reported as barred %d times, want once", n)
				}
			})
		})
	}
}

// TestBarredIdle checks that a conn without sessions is closed if its peer may open none.
func TestBarredIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, until, _ := visaServer(t)
		p := s.full()
		time.Sleep(time.Until(*until.Load()) + 2*time.Second)
		p.wantGoAway("after expiry", code.NotAuthorised)
		p.wantClosed("an idle conn")
	})
}

// TestBarredBasic checks that a session from a basic peer is refused with FIN, because it
// does not understand RESET.
func TestBarredBasic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, until, _ := visaServer(t)
		p := s.raw()
		time.Sleep(3 * time.Second) // no HELLO by now, so a basic peer
		synctest.Wait()
		p.mu.Lock()
		p.got = nil
		p.mu.Unlock()
		running := s.wantNext("before expiry", p, 1)
		time.Sleep(time.Until(*until.Load()) + 2*time.Second)
		p.write(data(3, "x"))
		p.wantFrame("a session after expiry", fin(3))
		if _, err := running.Write([]byte("still here")); err != nil {
			t.Fatalf("Write on a running session: %v", err)
		}
		p.wantData("a running session", 1, "still here")
	})
}
