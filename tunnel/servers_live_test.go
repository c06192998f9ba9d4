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
	"tunnels/internal/loglines"
	"tunnels/internal/loglines/logtest"
	"tunnels/internal/netx"
	"tunnels/internal/testnet"
	"tunnels/internal/upstream"
	"tunnels/remux"
	"tunnels/sla"
	"tunnels/tls"
)

// testServer is a server behind a relay.
type testServer struct {
	server *Server
	relay  *testnet.Relay
	log    *logtest.Buffer
}

// kill resets all connections to the server and refuses new ones.
func (p *testServer) kill() {
	p.relay.DropNew(true)
	p.relay.Reset()
}

// revive undoes kill.
func (p *testServer) revive() { p.relay.DropNew(false) }

// used returns how many requests the server has received.
func (p *testServer) used() int { return strings.Count(p.log.String(), "[sock] + ") }

const ms = time.Millisecond

// cluster is a client with three servers.
type cluster struct {
	t       *testing.T
	client  *Client
	servers [3]*testServer
	log     *logtest.Buffer
}

// startCluster starts three servers, with round trips of 0, 100 and 300 ms, and a
// client for them. change may be nil.
func startCluster(t *testing.T, eager string, change func(*Config)) *cluster {
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
	v := &cluster{t: t, log: &logtest.Buffer{}}
	var serving sync.WaitGroup
	for i, delay := range []time.Duration{0, 50 * ms, 150 * ms} {
		p := &testServer{log: &logtest.Buffer{}}
		cfg.Events = loglines.New(p.log.Logger(t)).Events()
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
		v.servers[i] = p
		cfg.Servers = append(cfg.Servers, p.relay.Addr)
	}
	log := v.log.Logger(t)
	lines := loglines.New(log)
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
		for _, p := range v.servers {
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
func (v *cluster) dial(target string) (net.Conn, error) {
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

// ask makes one request to an echo server and waits for the reply.
func (v *cluster) ask(target string) error {
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

// greeting makes one request to a greeter and reads the banner without sending
// anything.
func (v *cluster) greeting(target string) error {
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
		return nil // the server died after the answer had begun, so a reset is correct
	}
	return err
}

const banner = "220 server.test at your service\r\n"

// greeter returns a target that sends the banner as soon as a client connects.
func greeter(t *testing.T) *testnet.Server {
	return testnet.Serve(t, func(c *net.TCPConn) { io.WriteString(c, banner) })
}

// wantUsed makes requests until server i receives one, and returns how long that took.
func (v *cluster) wantUsed(target string, i int, limit time.Duration) time.Duration {
	v.t.Helper()
	start := time.Now()
	for tick := time.NewTicker(20 * ms); ; <-tick.C {
		before := v.servers[i].used()
		if err := v.ask(target); err == nil && v.servers[i].used() > before {
			return time.Since(start)
		}
		if time.Since(start) > limit {
			v.t.Fatalf("server %d is not used within %v", i, limit)
		}
	}
}

// wantState waits until the client sees server i in state want.
func (v *cluster) wantState(i int, want remux.State) {
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

// TestServersKill checks that the nearest server is used, that the next one replaces it
// immediately when it is killed, and that it is used again once it is back.
func TestServersKill(t *testing.T) {
	t.Parallel()
	for _, way := range []string{"remux", "tls"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			v := startCluster(t, way, func(c *Config) { c.EagerMode = eagersocks.Off })
			echo := testnet.Echo(t)
			v.log.Wait(t, "client", "[main] using server "+v.servers[0].relay.Addr)
			v.wantUsed(echo.Addr, 0, time.Second)
			v.servers[0].kill()
			if err := v.ask(echo.Addr); err != nil {
				t.Errorf("the request after the kill: %v", err)
			}
			if v.servers[1].used() != 1 {
				t.Errorf("server 1 had %d requests, want the one after the kill", v.servers[1].used())
			}
			v.log.Wait(t, "client", "[main] using server "+v.servers[1].relay.Addr, " instead of "+v.servers[0].relay.Addr+" (unreachable)")
			v.servers[0].revive()
			t.Logf("used again after %v", v.wantUsed(echo.Addr, 0, 25*time.Second))
		})
	}
}

// TestServersStop checks that the client abandons a server within 5 s after it stops
// answering, and that a session on it resumes when the server does.
func TestServersStop(t *testing.T) {
	t.Parallel()
	v := startCluster(t, "remux", nil)
	echo := testnet.Echo(t)
	v.log.Wait(t, "client", "[main] using server "+v.servers[0].relay.Addr)
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
	v.servers[0].relay.Stall(true)
	start := time.Now()
	var asking sync.WaitGroup
	asking.Go(func() { v.ask(echo.Addr) }) // may fail: it has sent a byte, so it cannot be retried
	v.log.Wait(t, "client", "[main] using server "+v.servers[1].relay.Addr, " instead of "+v.servers[0].relay.Addr+" (silent)")
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("abandoned after %v, want at most 5s", took)
	} else {
		t.Logf("abandoned after %v", took)
	}
	if err := v.ask(echo.Addr); err != nil || v.servers[1].used() == 0 {
		t.Errorf("the next request: %v, with %d at server 1", err, v.servers[1].used())
	}
	v.servers[0].relay.Stall(false)
	if err := say(); err != nil {
		t.Errorf("the session kept on server 0: %v", err)
	}
	asking.Wait()
	v.wantUsed(echo.Addr, 0, 25*time.Second)
}

// TestServersLoseNothing checks that while servers keep dying, no request that has not
// sent anything fails, eager or not.
func TestServersLoseNothing(t *testing.T) {
	t.Parallel()
	for _, mode := range []eagersocks.Mode{eagersocks.On, eagersocks.Off} {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			v := startCluster(t, "remux", func(c *Config) { c.EagerMode, c.ServerChoice = mode, upstream.Spread })
			site := greeter(t)
			for i, p := range v.servers {
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
						err := v.greeting(site.Addr)
						mu.Lock()
						asked++
						mu.Unlock()
						if err != nil {
							t.Errorf("a request that sent nothing failed: %v", err)
						}
					}
				})
			}
			for i := range 6 { // never two servers at once
				v.servers[i%3].kill()
				v.wantState(i%3, remux.Down)
				v.servers[i%3].revive()
				v.wantState(i%3, remux.Up)
			}
			close(over)
			asking.Wait()
			t.Logf("%d requests", asked)
			for i, p := range v.servers {
				if p.used() == 0 {
					t.Errorf("server %d was never used", i)
				}
			}
		})
	}
}

// TestServersAllDown checks that the application promptly gets an error when all
// servers are down.
func TestServersAllDown(t *testing.T) {
	t.Parallel()
	v := startCluster(t, "remux", nil)
	v.log.Wait(t, "client", "[main] using server ")
	for _, p := range v.servers {
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
		t.Errorf("%v after %v, want SOCKS code 1 promptly", err, time.Since(start))
	}
}
