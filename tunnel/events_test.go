package tunnel

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"tunnels/eagersocks"
	"tunnels/internal/admission"
	"tunnels/internal/events"
	"tunnels/internal/testnet"
)

// eventLog subscribes to request events and records their names.
type eventLog struct {
	mu    sync.Mutex
	names []string // guarded by mu
}

func (l *eventLog) note(name string, r *Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r != nil {
		name = fmt.Sprintf("%s(%t)", name, r.Started())
	}
	l.names = append(l.names, name)
}

func (l *eventLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.names, " ")
}

func (l *eventLog) events() *Events {
	return &Events{
		RequestAccepted: func(r *Request) { l.note("accepted", r) },
		RequestStarted:  func(r *Request) { l.note("started", r) },
		RequestDialed:   func(r *Request) { l.note("dialed", r) },
		RequestAnswered: func(r *Request) { l.note("answered", r) },
		RequestClosed:   func(r *Request, _ events.End) { l.note("closed", r) },
		RequestRefused:  func(admission.Refusal, string, error) { l.note("refused", nil) },
	}
}

// TestRequestEvents checks that both ends report every request, with the same sequence
// of events over every network, and that a refused one never starts at the server.
func TestRequestEvents(t *testing.T) {
	for _, w := range ways {
		t.Run(w.eager+" "+w.remux+" "+w.server, func(t *testing.T) {
			echo := testnet.Echo(t)
			for _, tt := range []struct {
				mode           eagersocks.Mode
				target         string
				client, server string
			}{
				{eagersocks.Off, echo.Addr, "accepted(false) started(true) dialed(true) answered(true) closed(true)", "accepted(false) started(true) dialed(true) answered(true) closed(true)"},
				{eagersocks.On, echo.Addr, "accepted(false) started(true) answered(true) closed(true)", "accepted(false) started(true) dialed(true) answered(true) closed(true)"},
				{eagersocks.Off, "192.0.2.1:80", "accepted(false) started(true) closed(true)", "accepted(false) refused closed(false)"},
			} {
				client, server := new(eventLog), new(eventLog)
				r := startWatched(t, w.eager, w.remux, w.server, func(c *Config) { c.EagerMode, c.Deny = tt.mode, listOf("192.0.2.1") }, client.events(), server.events())
				if tt.target == echo.Addr {
					c := r.dial(t, tt.target)
					ping(t, c)
					wantLive(t, r)
					c.Close()
				} else {
					refusedBy(t, r, tt.target)
				}
				until(t, "the server has reported "+tt.server, func() bool { return server.String() == tt.server })
				until(t, "the client has reported "+tt.client, func() bool { return client.String() == tt.client })
			}
		})
	}
}

// ping sends a byte to an echo server and waits for the reply.
func ping(t *testing.T, c *net.TCPConn) {
	t.Helper()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := c.Write([]byte("!")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
}

// wantLive checks that both tables show a single session that has carried one byte each
// way.
func wantLive(t *testing.T, r *rig) {
	t.Helper()
	for name, sessions := range map[string]func() []Live{"client": r.client.Sessions, "server": r.server.Sessions} {
		var l Live
		until(t, "the "+name+" shows one session with a byte each way", func() bool {
			live := sessions()
			if len(live) == 1 {
				l = live[0]
			}
			return l.Up == 1 && l.Down == 1 && l.FirstByte > 0
		})
		if l.ID == 0 || l.Target == "" || time.Since(l.Began) > time.Minute {
			t.Errorf("the %s shows %+v", name, l)
		}
		if (name == "client") != (l.Server != "") {
			t.Errorf("the %s shows the server %q", name, l.Server)
		}
		if name == "server" && l.Connect <= 0 {
			t.Errorf("the server shows that connecting took %s", l.Connect)
		}
	}
}
