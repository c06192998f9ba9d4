package tunnel

import (
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/proxy"

	"tunnels/eagersocks"
	"tunnels/internal/journal"
	"tunnels/internal/journal/logtest"
	"tunnels/internal/netx"
	"tunnels/internal/testnet"
	"tunnels/internal/upstream"
	"tunnels/remux"
	"tunnels/sla"
	"tunnels/tls"
)

// post is a server of a test and the network before it.
type post struct {
	server *Server
	relay  *testnet.Relay
	log    *logtest.Buffer
}

// kill has it gone, as its clients see it, and new connections refused.
func (p *post) kill() {
	p.relay.DropNew(true)
	p.relay.Reset()
}

func (p *post) back() { p.relay.DropNew(false) }

// used is how many requests it has had.
func (p *post) used() int { return strings.Count(p.log.String(), "[sock] + ") }

const ms = time.Millisecond

// convoy is a client with three servers.
type convoy struct {
	t      *testing.T
	client *Client
	posts  [3]*post
	log    *logtest.Buffer
}

// startConvoy starts servers that are 0, 100 and 300 ms away, and their client;
// change may be nil.
func startConvoy(t *testing.T, eager string, change func(*Config)) *convoy {
	t.Helper()
	server, client, err := tls.Throwaway("server.test")
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{
		EagerNet: eager, RemuxNet: "tls", ServerNet: "tcp", ServerAddr: "127.0.0.1:0",
		ClientAddrs: []netx.Endpoint{{Network: "tcp", Address: "127.0.0.1:0"}},
		ServerTLS:   tls.Config{Material: server},
		ClientTLS:   tls.Config{Material: client, ServerName: "server.test"},
		Allow:       listOf("all"),
	}
	if change != nil {
		change(&cfg)
	}
	v := &convoy{t: t, log: &logtest.Buffer{}}
	var serving sync.WaitGroup
	for i, delay := range []time.Duration{0, 50 * ms, 150 * ms} {
		p := &post{log: &logtest.Buffer{}}
		cfg.Events = journal.New(p.log.Logger(t)).Events()
		if p.server, err = NewServer(cfg); err != nil {
			t.Fatal(err)
		}
		if err := p.server.Listen(); err != nil {
			t.Fatal(err)
		}
		serving.Go(func() { p.server.Serve() })
		t.Cleanup(func() { p.server.Close() })
		p.relay = testnet.NewRelay(t, p.server.Addr().String())
		p.relay.SetDelay(delay)
		v.posts[i] = p
		cfg.Servers = append(cfg.Servers, p.relay.Addr)
	}
	log := v.log.Logger(t)
	lines := journal.New(log)
	cfg.Events = lines.Events()
	if v.client, err = NewClient(cfg); err != nil {
		t.Fatal(err)
	}
	if err := v.client.Listen(); err != nil {
		t.Fatal(err)
	}
	serving.Go(func() { v.client.Serve() })
	t.Cleanup(func() {
		v.client.Close()
		for _, p := range v.posts {
			p.server.Close()
		}
		serving.Wait()
		lines.Close()
		for _, c := range []sla.Category{sla.Conn, sla.Sess, sla.Sock} {
			if n := log.Count(c); n != 0 {
				t.Errorf("%d of %s still counted after the end", n, c)
			}
		}
		if t.Failed() {
			t.Logf("client:\n%s", v.log)
		}
	})
	return v
}

// dial connects through the client.
func (v *convoy) dial(target string) (net.Conn, error) {
	d, err := proxy.SOCKS5("tcp", v.client.Addr().String(), nil, nil)
	if err != nil {
		return nil, err
	}
	c, err := d.Dial("tcp", target)
	if err == nil {
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	}
	return c, err
}

// ask makes one request of an echo and wants the answer.
func (v *convoy) ask(target string) error {
	c, err := v.dial(target)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.Write([]byte("?")); err != nil {
		return err
	}
	_, err = io.ReadFull(c, make([]byte, 1))
	return err
}

// hear makes one request of who speaks first, and sends it nothing.
func (v *convoy) hear(target string) error {
	c, err := v.dial(target)
	if err != nil {
		return err
	}
	defer c.Close()
	got, err := io.ReadAll(c)
	switch {
	case err == nil && string(got) != banner:
		return errors.New("answer " + string(got))
	case errors.Is(err, syscall.ECONNRESET) && len(got) > 0:
		return nil // the answer had begun when the server went: then a reset is right
	}
	return err
}

const banner = "220 server.test at your service\r\n"

// greeter speaks first.
func greeter(t *testing.T) *testnet.Server {
	return testnet.Serve(t, func(c *net.TCPConn) { io.WriteString(c, banner) })
}

// wantUsed asks until it is that server that is asked.
func (v *convoy) wantUsed(target string, i int, limit time.Duration) time.Duration {
	v.t.Helper()
	start := time.Now()
	for tick := time.NewTicker(20 * ms); ; <-tick.C {
		before := v.posts[i].used()
		if err := v.ask(target); err == nil && v.posts[i].used() > before {
			return time.Since(start)
		}
		if time.Since(start) > limit {
			v.t.Fatalf("server %d is not used within %v", i, limit)
		}
	}
}

// wantState waits until that server is seen to be so.
func (v *convoy) wantState(i int, want remux.State) {
	v.t.Helper()
	s := v.client.servers
	for start, tick := time.Now(), time.NewTicker(5*ms); ; <-tick.C {
		state, why := s.All()[i].State()
		if state == want {
			return
		}
		if time.Since(start) > 20*time.Second {
			v.t.Fatalf("server %d is %v, %v: want %v", i, state, why, want)
		}
	}
}

// TestServersKill: the nearest server is used; when it is killed the next one is, at
// once; and when it is back, it is again.
func TestServersKill(t *testing.T) {
	t.Parallel()
	for _, way := range []string{"remux", "tls"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			v := startConvoy(t, way, func(c *Config) { c.EagerMode = eagersocks.Off })
			echo := testnet.Echo(t)
			v.log.Wait(t, "client", "[main] using server "+v.posts[0].relay.Addr)
			v.wantUsed(echo.Addr, 0, time.Second)
			v.posts[0].kill()
			if err := v.ask(echo.Addr); err != nil {
				t.Errorf("the request after the kill: %v", err)
			}
			if v.posts[1].used() != 1 {
				t.Errorf("server 1 had %d requests, want the one after the kill", v.posts[1].used())
			}
			v.log.Wait(t, "client", "[main] using server "+v.posts[1].relay.Addr, " instead of "+v.posts[0].relay.Addr+" (unreachable)")
			v.posts[0].back()
			t.Logf("used again after %v", v.wantUsed(echo.Addr, 0, 25*time.Second))
		})
	}
}

// TestServersStop: a server that stops answering is left within 5 s; a session that
// runs there stays, and goes on when the server does.
func TestServersStop(t *testing.T) {
	t.Parallel()
	v := startConvoy(t, "remux", nil)
	echo := testnet.Echo(t)
	v.log.Wait(t, "client", "[main] using server "+v.posts[0].relay.Addr)
	v.wantUsed(echo.Addr, 0, time.Second)
	kept, err := v.dial(echo.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	say := func() error {
		if _, err := kept.Write([]byte("!")); err != nil {
			return err
		}
		_, err := io.ReadFull(kept, make([]byte, 1))
		return err
	}
	if err := say(); err != nil {
		t.Fatal(err)
	}
	v.posts[0].relay.Stall(true)
	start := time.Now()
	var asking sync.WaitGroup
	asking.Go(func() { v.ask(echo.Addr) }) // waits, in vain perhaps: its byte was sent
	v.log.Wait(t, "client", "[main] using server "+v.posts[1].relay.Addr, " instead of "+v.posts[0].relay.Addr+" (silent)")
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("left after %v, want 5s at most", took)
	} else {
		t.Logf("left after %v", took)
	}
	if err := v.ask(echo.Addr); err != nil || v.posts[1].used() == 0 {
		t.Errorf("the request after: %v, with %d at server 1", err, v.posts[1].used())
	}
	v.posts[0].relay.Stall(false)
	if err := say(); err != nil {
		t.Errorf("the session that had stayed: %v", err)
	}
	asking.Wait()
	v.wantUsed(echo.Addr, 0, 25*time.Second)
}

// TestServersLoseNothing: with servers dying all the time, no request fails that had
// sent nothing, whether it was answered eagerly or not.
func TestServersLoseNothing(t *testing.T) {
	t.Parallel()
	for _, mode := range []eagersocks.Mode{eagersocks.On, eagersocks.Off} {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			v := startConvoy(t, "remux", func(c *Config) { c.EagerMode, c.ServerChoice = mode, upstream.Spread })
			site := greeter(t)
			for i, p := range v.posts {
				v.wantState(i, remux.Up)
				p.relay.SetDelay(15 * ms)
			}
			over := make(chan struct{})
			var asking sync.WaitGroup
			var mu sync.Mutex
			asked := 0
			for range 8 {
				asking.Go(func() {
					for {
						select {
						case <-over:
							return
						default:
						}
						err := v.hear(site.Addr)
						mu.Lock()
						asked++
						mu.Unlock()
						if err != nil {
							t.Errorf("a request that had sent nothing: %v", err)
						}
					}
				})
			}
			for i := range 6 { // never two at a time
				v.posts[i%3].kill()
				v.wantState(i%3, remux.Down)
				v.posts[i%3].back()
				v.wantState(i%3, remux.Up)
			}
			close(over)
			asking.Wait()
			t.Logf("%d requests", asked)
			for i, p := range v.posts {
				if p.used() == 0 {
					t.Errorf("server %d was never used", i)
				}
			}
		})
	}
}

// TestServersAllDown: as with one server, the application is told.
func TestServersAllDown(t *testing.T) {
	t.Parallel()
	v := startConvoy(t, "remux", nil)
	v.log.Wait(t, "client", "[main] using server ")
	for _, p := range v.posts {
		p.kill()
	}
	for tick := time.NewTicker(20 * ms); v.client.servers.Reachable(); <-tick.C {
	}
	start := time.Now()
	c, err := v.dial("target.test:80")
	if err == nil {
		c.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "general SOCKS server failure") || time.Since(start) > 3*time.Second {
		t.Errorf("%v after %v, want SOCKS code 1 soon", err, time.Since(start))
	}
}
