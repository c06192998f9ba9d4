package remux

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tunnels/remux/internal/conn"
	"tunnels/remux/internal/frame"
)

// named is a connection whose peer's certificate has the given name.
type named struct {
	net.Conn
	name, protocol string
}

func (n named) PeerName() string           { return n.name }
func (n named) NegotiatedProtocol() string { return n.protocol }

// roomServer is a listener that echoes on its sessions until the peer ends them.
type roomServer struct {
	*SessionListener
	pipes   chan net.Conn
	pools   []*Pool
	mu      sync.Mutex
	refused []string // guarded by mu: calls of Refused
}

func withRoomServer(t *testing.T, most int, f func(t *testing.T, s *roomServer)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bubble{pipes: make(chan net.Conn, 1000)}
		s := &roomServer{pipes: b.pipes}
		s.SessionListener = Config{ConnMax: most, Hooks: &Hooks{Refused: func(client, _ string, why error) {
			s.mu.Lock()
			s.refused = append(s.refused, fmt.Sprintf("%s: %v", client, why))
			s.mu.Unlock()
		}}}.NewListener(b)
		var serving sync.WaitGroup
		serving.Go(func() {
			for {
				c, err := s.Accept()
				if err != nil {
					return
				}
				serving.Go(func() { io.Copy(onlyWriter{c}, c); c.Close() })
			}
		})
		defer func() {
			for _, p := range s.pools {
				p.Close()
			}
			s.Close()
			serving.Wait()
		}()
		f(t, s)
	})
}

// mute opens a conn from the given client on which only say is sent, and returns a
// channel that is closed when the conn ends.
func (s *roomServer) mute(client, protocol string, say []byte) (ended chan struct{}) {
	near, far := net.Pipe()
	s.pipes <- named{far, client, protocol}
	ended = make(chan struct{})
	go near.Write(say)
	go func() {
		defer close(ended)
		io.Copy(io.Discard, near)
		near.Close()
	}()
	synctest.Wait()
	return ended
}

// pool returns a pool for an honest client.
func (s *roomServer) pool(client string) *Pool {
	p := Config{Dial: func(_ context.Context, _, _ string) (net.Conn, error) {
		near, far := net.Pipe()
		s.pipes <- named{far, client, conn.Protocol}
		return named{near, "server", conn.Protocol}, nil
	}}.NewPool("pipe", "server")
	s.pools = append(s.pools, p)
	return p
}

func ask(p *Pool) error {
	c, err := p.Dial()
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.Write([]byte("x")); err != nil {
		return err
	}
	_, err = io.ReadFull(c, make([]byte, 1))
	return err
}

func isEnded(c chan struct{}) bool {
	synctest.Wait()
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// A conn that sends nothing, or too little, is closed after a few seconds, regardless of
// the protocol it negotiated, and Refused is called with its client.
func TestSilentConns(t *testing.T) {
	for _, protocol := range []string{"", conn.Protocol} {
		for name, say := range map[string][]byte{"nothing": nil, "half a header": {0, 1}} {
			t.Run(protocol+name, func(t *testing.T) {
				withRoomServer(t, 8, func(t *testing.T, s *roomServer) {
					c := s.mute("Mallory", protocol, say)
					time.Sleep(8 * time.Second)
					if isEnded(c) && protocol == "" { // with the full protocol, it has not answered a PING either
						t.Error("closed too soon for a slow line")
					}
					time.Sleep(5 * time.Second)
					if !isEnded(c) {
						t.Error("a silent conn is still open")
					}
					if want := "mallory: it opened a conn and sent nothing"; len(s.refused) != 1 || s.refused[0] != want {
						t.Errorf("reported %q, want %q", s.refused, want)
					}
				})
			})
		}
	}
}

// However many conns one client opens, and whatever it does with them, the others are
// served without delay and the limit is not exceeded.
func TestConnShares(t *testing.T) {
	helloBytes := frame.AppendHello(nil, frame.Hello{Version: frame.Version, Conn: 1, Window: frame.Floor, Frame: frame.MaxPayload})
	busy := append(append([]byte(nil), helloBytes...), frame.AppendOpen(nil, 1)...)
	for name, say := range map[string][]byte{"silent": nil, "idle": helloBytes, "busy": busy, "basic": {0, 1, 0, 1, 'x'}} {
		for _, most := range []int{8, 100} {
			t.Run(fmt.Sprint(name, most), func(t *testing.T) {
				withRoomServer(t, most, func(t *testing.T, s *roomServer) {
					protocol := conn.Protocol
					if say == nil || say[0] == 0 && say[1] == 1 {
						protocol = ""
					}
					for range 5 {
						for range 2 * most {
							s.mute("mallory", protocol, say)
						}
						p := s.pool("alice")
						if err := ask(p); err != nil {
							t.Errorf("alice was not served: %v", err)
						}
						p.Close()
						synctest.Wait()
						s.SessionListener.mu.Lock()
						n, mallory := len(s.room.all), len(s.room.byClient["mallory"])
						s.SessionListener.mu.Unlock()
						if n > most || mallory > shareOf(most) {
							t.Errorf("%d conns, %d of mallory's, limit %d", n, mallory, most)
						}
					}
					if len(s.refused) == 0 {
						t.Error("Refused was not called")
					}
				})
			})
		}
	}
}

// At the limit, the client with the most conns loses an idle one to another client, but
// is otherwise unaffected.
func TestIdleGivesWay(t *testing.T) {
	withRoomServer(t, 4, func(t *testing.T, s *roomServer) {
		greedy := s.pool("greedy")
		greedy.cfg.IdleMax = time.Hour
		for range 3 {
			greedy.mu.Lock()
			greedy.dialLocked()
			greedy.mu.Unlock()
			time.Sleep(time.Second)
		}
		for _, name := range []string{"alice", "bob"} {
			if err := ask(s.pool(name)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		time.Sleep(3 * time.Second)
		if n := greedy.count(); n != 2 {
			t.Errorf("greedy has %d conns, want 2", n)
		}
		if err := ask(greedy); err != nil {
			t.Errorf("greedy was not served: %v", err)
		}
		if greedy.lastErr != nil {
			t.Errorf("greedy's pool counts the eviction as a failure: %v", greedy.lastErr)
		}
	})
}
