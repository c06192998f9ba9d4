package tunnel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/proxy"

	"tunnels/eagersocks"
	"tunnels/internal/events"
	"tunnels/internal/loglines"
	"tunnels/internal/loglines/logtest"
	"tunnels/internal/netx"
	"tunnels/internal/policy"
	"tunnels/sla"
	"tunnels/tls"
)

// ways lists every combination of networks that can carry requests.
var ways = []struct{ eager, remux, server string }{
	{"remux", "tls", "tcp"},
	{"remux", "tls", "unix"},
	{"remux", "tcp", "tcp"},
	{"remux", "unix", "tcp"},
	{"tls", "", "tcp"},
	{"tcp", "", "tcp"},
	{"unix", "", "tcp"},
}

// rig is a client connected to a server.
type rig struct {
	client         *Client
	server         *Server
	clientLog      *logtest.Buffer
	serverLog      *logtest.Buffer
	cfg            Config // configuration of the client
	clientL, servL *sla.Logger
	clientJ, servJ *loglines.Writer
	mistakes       *atomic.Int64 // user mistakes reported so far
}

// listOf returns a policy list of targets.
func listOf(entries ...string) *policy.List {
	l, err := policy.Parse(strings.Join(entries, ","))
	if err != nil {
		panic(err)
	}
	return l
}

// start returns a running rig. change may be nil.
func start(t *testing.T, eager, mux, network string, change func(*Config)) *rig {
	t.Helper()
	return startWatched(t, eager, mux, network, change, nil, nil)
}

// startWatched is like start with an extra subscriber, or nil, at each end.
func startWatched(t *testing.T, eager, mux, network string, change func(*Config), client, server *Events) *rig {
	t.Helper()
	r := &rig{clientLog: &logtest.Buffer{}, serverLog: &logtest.Buffer{}, mistakes: new(atomic.Int64)}
	newLog := func(b *logtest.Buffer) *sla.Logger { return b.Logger(t) }
	serverCert, clientCert, err := tls.Throwaway("server.test")
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{
		EagerNet: eager, RemuxNet: mux, ServerNet: network, ServerAddr: "127.0.0.1:0",
		ClientAddrs: []netx.Endpoint{{Network: "tcp", Address: "127.0.0.1:0"}},
		ServerTLS:   tls.Config{Material: serverCert},
		ClientTLS:   tls.Config{Material: clientCert, ServerName: "server.test", Names: tls.Names{Protocol: "-eagersocks.net"}},
		Allow:       listOf("all"),
	}
	if w, _ := cfg.way(); w.network == "unix" {
		cfg.ServerAddr = filepath.Join(t.TempDir(), "s")
	}
	if change != nil {
		change(&cfg)
	}
	r.servL, r.clientL = newLog(r.serverLog), newLog(r.clientLog)
	r.servJ, r.clientJ = loglines.New(r.servL), loglines.New(r.clientL)
	cfg.Events = events.Join(r.servJ.Events(), server)
	if r.server, err = NewServer(cfg); err != nil {
		t.Fatal(err)
	}
	if err := r.server.Listen(); err != nil {
		t.Fatal(err)
	}
	cfg.ServerAddr = r.server.Addr().String()
	cfg.Events = events.Join(r.clientJ.Events(), &Events{DoorRejected: func(_ string, err error) {
		if errors.Is(err, eagersocks.ErrMistake) {
			r.mistakes.Add(1)
		}
	}}, client)
	if r.client, err = NewClient(cfg); err != nil {
		t.Fatal(err)
	}
	if err := r.client.Listen(); err != nil {
		t.Fatal(err)
	}
	r.cfg = cfg
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := r.server.Serve(); err != nil {
			t.Errorf("server: %v", err)
		}
	})
	serving.Go(func() {
		if err := r.client.Serve(); err != nil {
			t.Errorf("client: %v", err)
		}
	})
	t.Cleanup(func() {
		r.client.Close()
		r.server.Close()
		serving.Wait()
		r.clientJ.Close()
		r.servJ.Close()
		if n := len(r.client.Sessions()) + len(r.server.Sessions()); n != 0 {
			t.Errorf("%d sessions still in the tables after the end", n)
		}
		for name, b := range map[string]*logtest.Buffer{"client": r.clientLog, "server": r.serverLog} {
			for line := range strings.Lines(b.String()) {
				if err := sla.Check(strings.TrimSuffix(line, "\n")); err != nil {
					t.Errorf("%s log: %v", name, err)
				}
			}
		}
		for _, l := range []*sla.Logger{r.clientL, r.servL} {
			for _, c := range []sla.Category{sla.Conn, sla.Sess, sla.Sock} {
				if n := l.Count(c); n != 0 {
					t.Errorf("%d of %s still counted after the end", n, c)
				}
			}
		}
		if t.Failed() {
			t.Logf("client:\n%s\nserver:\n%s", r.clientLog, r.serverLog)
		}
	})
	return r
}

// http returns an HTTP client that uses the rig as a SOCKS proxy, without keep-alive.
func (r *rig) http() *http.Client {
	return &http.Client{Transport: &http.Transport{
		Proxy:             http.ProxyURL(&url.URL{Scheme: "socks5h", Host: r.client.Addr().String()}),
		DisableKeepAlives: true,
	}}
}

// dial connects to address through the rig.
func (r *rig) dial(t *testing.T, address string) *net.TCPConn {
	t.Helper()
	d, err := proxy.SOCKS5("tcp", r.client.Addr().String(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := d.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	s, ok := c.(interface{ NetConn() net.Conn })
	if ok {
		c = s.NetConn()
	}
	// The proxy package's type hides CloseWrite, so use the underlying socket.
	type inner interface{ CloseWrite() error }
	if _, ok := c.(inner); !ok {
		t.Fatalf("the SOCKS dialer returned a %T without CloseWrite", c)
	}
	return c.(*net.TCPConn)
}

// TestEveryWay loads a page over every network that can carry requests.
func TestEveryWay(t *testing.T) {
	page := strings.Repeat("tunnels ", 100_000)
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, page)
	}))
	defer site.Close()
	for _, w := range ways {
		t.Run(fmt.Sprintf("%s %s %s", w.eager, w.remux, w.server), func(t *testing.T) {
			r := start(t, w.eager, w.remux, w.server, nil)
			for range 20 {
				resp, err := r.http().Post(site.URL, "text/plain", strings.NewReader(page))
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || string(got) != page {
					t.Fatalf("page of %d bytes, %v, want %d bytes", len(got), err, len(page))
				}
			}
		})
	}
}

// TestHalfClose checks that an application that closes its direction still gets the full
// reply.
func TestHalfClose(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var target sync.WaitGroup
	target.Go(func() { // replies after reading everything
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			all, _ := io.ReadAll(c)
			c.Write(bytes.ToUpper(all))
			c.Close()
		}
	})
	defer target.Wait()
	defer ln.Close()
	for _, w := range ways {
		t.Run(fmt.Sprintf("%s %s %s", w.eager, w.remux, w.server), func(t *testing.T) {
			r := start(t, w.eager, w.remux, w.server, nil)
			c := r.dial(t, ln.Addr().String())
			defer c.Close()
			sent := bytes.Repeat([]byte("half"), 50_000)
			if _, err := c.Write(sent); err != nil {
				t.Fatal(err)
			}
			if err := c.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(c)
			if err != nil || !bytes.Equal(got, bytes.ToUpper(sent)) {
				t.Errorf("reply of %d bytes, %v, want %d bytes", len(got), err, len(sent))
			}
		})
	}
}

// closedPort returns an address that nothing is listening on.
func closedPort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// TestRefusedTarget checks that an eager request to a closed port ends in a reset,
// never cleanly, and that the next request gets the right SOCKS code.
func TestRefusedTarget(t *testing.T) {
	r := start(t, "remux", "tls", "tcp", nil)
	target := closedPort(t)
	c := r.dial(t, target) // eagerly connected
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("first try: Read = %v, want connection reset", err)
	}
	c.Close()
	d, err := proxy.SOCKS5("tcp", r.client.Addr().String(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := d.Dial("tcp", target); err == nil || !strings.Contains(err.Error(), "connection refused") {
		if err == nil {
			c.Close()
		}
		t.Errorf("second try: %v, want SOCKS code 5, connection refused", err)
	}
	for name, log := range map[string]*logtest.Buffer{"client": r.clientLog, "server": r.serverLog} {
		log.Wait(t, name, "[info] [sock] - "+target+" = 0 ", "connection refused")
	}
}

// TestPolicy checks that nothing on the server's own machine can be reached by default.
func TestPolicy(t *testing.T) {
	site := httptest.NewServer(http.NotFoundHandler())
	defer site.Close()
	r := start(t, "remux", "tls", "tcp", func(c *Config) {
		c.Allow = nil
		c.EagerMode = eagersocks.Off
	})
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(site.URL, "http://"))
	for _, host := range []string{"127.0.0.1", "localhost", "::ffff:127.0.0.1", "::1", "0.0.0.0", "169.254.169.254"} {
		resp, err := r.http().Get("http://" + net.JoinHostPort(host, port) + "/")
		if err == nil {
			resp.Body.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "not allowed") {
			t.Errorf("%s: %v, want SOCKS code 2", host, err)
		}
	}
}

// TestShutdown checks that Shutdown stops listening and lets requests in progress finish.
func TestShutdown(t *testing.T) {
	more := make(chan struct{})
	finish := sync.OnceFunc(func() { close(more) })
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "first ")
		w.(http.Flusher).Flush()
		<-more
		io.WriteString(w, "second")
	}))
	defer site.Close()
	defer finish()
	r := start(t, "remux", "tls", "tcp", nil)
	resp, err := r.http().Get(site.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- r.server.Shutdown(ctx) }()
	// Shutdown closes the listener first.
	for {
		c, err := net.Dial("tcp", r.cfg.ServerAddr)
		if err != nil {
			break
		}
		c.Close()
	}
	select {
	case err := <-done:
		t.Fatalf("Shutdown did not wait for the download: %v", err)
	default:
	}
	finish()
	got, err := io.ReadAll(resp.Body)
	if err != nil || string(got) != "first second" {
		t.Errorf("download across a shutdown: %q, %v", got, err)
	}
	if err := <-done; err != nil {
		t.Errorf("Shutdown = %v, want nil", err)
	}
}

// TestServerDown checks that once the client knows that no server can be reached,
// applications get the matching SOCKS code, over every network.
func TestServerDown(t *testing.T) {
	for _, w := range ways {
		t.Run(fmt.Sprintf("%s %s %s", w.eager, w.remux, w.server), func(t *testing.T) {
			r := start(t, w.eager, w.remux, w.server, nil)
			r.server.Close()
			failed := false
			for range 5 {
				d, err := proxy.SOCKS5("tcp", r.client.Addr().String(), nil, nil)
				if err != nil {
					t.Fatal(err)
				}
				c, err := d.Dial("tcp", "target.test:80")
				if err == nil { // the first may be answered eagerly
					c.Read(make([]byte, 1))
					c.Close()
				}
				failed = failed || err != nil && strings.Contains(err.Error(), "general SOCKS server failure")
				if failed && err == nil {
					t.Error("answered eagerly after the server was known to be down")
				}
			}
			if !failed {
				t.Error("none of five requests with the server down was answered with code 1")
			}
		})
	}
}

// TestShutdownDeliversUploads checks that data an application sent before a clean end
// reaches a slow target even though the session has ended and the server is stopping.
func TestShutdownDeliversUploads(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	r := start(t, "remux", "tls", "tcp", nil)
	c := r.dial(t, ln.Addr().String())
	defer c.Close()
	target, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	target.(*net.TCPConn).CloseWrite() // the target sends nothing
	const size = 16 << 20
	var wg sync.WaitGroup
	wg.Go(func() {
		c.Write(make([]byte, size))
		c.CloseWrite()
		io.Copy(io.Discard, c)
	})
	// Read until the session has ended; the rest of the data is then held by the
	// server.
	first := 0
	for buf := make([]byte, 64<<10); !strings.Contains(r.serverLog.String(), "[debg] [sess] - "); {
		n, err := target.Read(buf)
		first += n
		if err == io.EOF { // all data had already arrived
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- r.server.Shutdown(ctx) }()
	got, err := io.Copy(io.Discard, target)
	if err != nil || got+int64(first) != size {
		t.Errorf("target got %d bytes, %v, want %d", got+int64(first), err, size)
	}
	if err := <-done; err != nil {
		t.Errorf("Shutdown = %v", err)
	}
	wg.Wait()
}
