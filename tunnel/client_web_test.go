package tunnel

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tunnels/eagersocks"
	"tunnels/internal/testnet"
)

// httpProxy returns an HTTP client that uses the rig as an HTTP proxy, with keep-alive.
func (r *rig) httpProxy(t *testing.T) *http.Client {
	tr := &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: r.client.Addr().String()})}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 20 * time.Second}
}

// get returns the status and body for url.
func get(t *testing.T, c *http.Client, url string) (status int, body string) {
	t.Helper()
	resp, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// TestHTTPProxy sends requests and CONNECT over every network, eager or not, and checks
// that requests on one connection of the application share one connection to the target.
func TestHTTPProxy(t *testing.T) {
	page := strings.Repeat("tunnels ", 50_000)
	serve := func(w http.ResponseWriter, r *http.Request) {
		sent, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s%d", page, len(sent))
	}
	site := httptest.NewUnstartedServer(http.HandlerFunc(serve))
	var conns atomic.Int32
	site.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns.Add(1)
		}
	}
	site.Start()
	defer site.Close()
	secure := httptest.NewTLSServer(http.HandlerFunc(serve))
	defer secure.Close()
	for _, mode := range []eagersocks.Mode{eagersocks.On, eagersocks.Off} {
		for _, w := range ways {
			t.Run(fmt.Sprintf("%v %s %s %s", mode, w.eager, w.remux, w.server), func(t *testing.T) {
				r := start(t, w.eager, w.remux, w.server, func(c *Config) { c.EagerMode = mode })
				conns.Store(0)
				c := r.httpProxy(t)
				for range 5 {
					resp, err := c.Post(site.URL, "text/plain", strings.NewReader(page))
					if err != nil {
						t.Fatal(err)
					}
					got, err := io.ReadAll(resp.Body)
					resp.Body.Close()
					if want := fmt.Sprint(page, len(page)); err != nil || string(got) != want {
						t.Fatalf("page of %d bytes, %v, want %d", len(got), err, len(want))
					}
				}
				if n := conns.Load(); n != 1 {
					t.Errorf("%d connections to the target, want all requests to share 1", n)
				}
				c.Transport.(*http.Transport).TLSClientConfig = secure.Client().Transport.(*http.Transport).TLSClientConfig
				if status, body := get(t, c, secure.URL); status != 200 || body != page+"0" {
					t.Errorf("https: status %d, %d bytes", status, len(body))
				}
				c.CloseIdleConnections()
				r.clientLog.Wait(t, "client", "[info] [sock] - "+site.Listener.Addr().String()+" = ")
			})
		}
	}
}

// TestHTTPFailurePages checks that a failure before the first byte of the response is
// reported as a page with the reason, even for eager requests.
func TestHTTPFailurePages(t *testing.T) {
	closed := closedPort(t)
	for _, mode := range []eagersocks.Mode{eagersocks.On, eagersocks.Off} {
		t.Run(mode.String(), func(t *testing.T) {
			r := start(t, "remux", "tls", "tcp", func(c *Config) { c.EagerMode, c.Deny = mode, listOf("192.0.2.1") })
			c := r.httpProxy(t)
			for range 2 { // eagerly the first time, then with the failure remembered
				if status, body := get(t, c, "http://"+closed+"/"); status != 502 || !strings.Contains(body, "connection refused") || !strings.Contains(body, closed) {
					t.Errorf("closed port: %d %q, want 502 with the reason", status, body)
				}
				if status, body := get(t, c, "http://192.0.2.1/"); status != 403 || !strings.Contains(body, "192.0.2.1:80") {
					t.Errorf("denied target: %d %q, want 403", status, body)
				}
			}
			r.clientLog.Wait(t, "client", "[info] [sock] - "+closed+" = ", "connection refused")
			r.server.Close()
			status := 0
			for range 3 {
				status, _ = get(t, c, "http://"+closed+"/")
			}
			if status != 502 {
				t.Errorf("no server: status %d, want 502", status)
			}
		})
	}
}

// TestHTTPTimeout checks that a target that does not answer results in status 504.
func TestHTTPTimeout(t *testing.T) {
	r := start(t, "remux", "tls", "tcp", func(c *Config) { c.DialTimeout = 50 * time.Millisecond })
	c := r.httpProxy(t)
	hole := testnet.BlackHole(t)
	if hole == "" { // not available on this system
		return
	}
	if status, body := get(t, c, "http://"+hole+"/"); status != 504 {
		t.Errorf("black hole: %d %q, want 504", status, body)
	}
}

// TestHTTPShutdown checks that Shutdown lets a response in progress finish and closes
// idle connections immediately.
func TestHTTPShutdown(t *testing.T) {
	more := make(chan struct{})
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "first ")
		if r.URL.Path == "/slow" {
			w.(http.Flusher).Flush()
			<-more
		}
		io.WriteString(w, "second")
	}))
	defer site.Close()
	r := start(t, "remux", "tls", "tcp", nil)
	idle, err := net.Dial("tcp", r.client.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	fmt.Fprintf(idle, "GET %s/ HTTP/1.1\r\nHost: x\r\n\r\n", site.URL)
	in := bufio.NewReader(idle)
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, resp.Body)
	slow, err := r.httpProxy(t).Get(site.URL + "/slow")
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Body.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- r.client.Shutdown(ctx) }()
	if _, err := in.ReadByte(); err != io.EOF {
		t.Errorf("idle connection: %v, want EOF", err)
	}
	select {
	case err := <-done:
		t.Fatalf("Shutdown did not wait for the download: %v", err)
	default:
	}
	close(more)
	if got, err := io.ReadAll(slow.Body); err != nil || string(got) != "first second" {
		t.Errorf("download during a shutdown: %q, %v", got, err)
	}
	if err := <-done; err != nil {
		t.Errorf("Shutdown = %v, want nil", err)
	}
}

// TestHTTPCloseAborts checks that Close aborts requests in progress.
func TestHTTPCloseAborts(t *testing.T) {
	arrived := make(chan struct{}, 1)
	site := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-r.Context().Done()
	}))
	defer site.Close()
	r := start(t, "remux", "tls", "tcp", nil)
	failed := make(chan error, 1)
	c := r.httpProxy(t)
	go func() {
		resp, err := c.Get(site.URL)
		if err == nil {
			resp.Body.Close()
		}
		failed <- err
	}()
	<-arrived
	r.client.Close()
	if err := <-failed; err == nil {
		t.Error("a closed client answered a request")
	}
}

// TestCurlHTTPProxy runs curl through the proxy with the options that programs commonly
// use.
func TestCurlHTTPProxy(t *testing.T) {
	path, err := exec.LookPath("curl")
	if err != nil {
		t.Fatal("curl is not installed: run scripts/setup.sh")
	}
	serve := func(w http.ResponseWriter, r *http.Request) {
		sent, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %d;", r.Method, r.URL.Path, len(sent))
	}
	site, secure := httptest.NewServer(http.HandlerFunc(serve)), httptest.NewTLSServer(http.HandlerFunc(serve))
	defer site.Close()
	defer secure.Close()
	gone := "http://" + closedPort(t) + "/"
	r := start(t, "remux", "tls", "tcp", nil)
	upload := strings.Repeat("x", 2<<20)
	for _, tt := range []struct {
		name string
		args []string
		want string
		exit int
	}{
		{"http", []string{site.URL + "/a"}, "GET /a 0;", 0},
		{"twice", []string{site.URL + "/a", site.URL + "/b"}, "GET /a 0;GET /b 0;", 0},
		{"HTTP/1.0", []string{"-0", site.URL + "/a"}, "GET /a 0;", 0},
		{"upload with 100-continue", []string{"-T", "-", "-H", "Expect: 100-continue", "-H", "Transfer-Encoding:", "-H", "Content-Length: 2097152", site.URL + "/a"}, "PUT /a 2097152;", 0},
		{"chunked upload", []string{"-T", "-", site.URL + "/a"}, "PUT /a 2097152;", 0},
		{"https", []string{"-k", secure.URL + "/a"}, "GET /a 0;", 0},
		{"http by CONNECT", []string{"--proxytunnel", site.URL + "/a"}, "GET /a 0;", 0},
		{"http, then https", []string{"-k", site.URL + "/a", secure.URL + "/b"}, "GET /a 0;GET /b 0;", 0},
		{"refused", []string{"-f", gone}, "", 22},
		{"refused CONNECT", []string{"--proxytunnel", gone}, "", 56},
	} {
		args := append([]string{"-q", "-sS", "--max-time", "20", "-x", "http://" + r.client.Addr().String()}, tt.args...)
		cmd := exec.CommandContext(t.Context(), path, args...)
		cmd.Stdin = strings.NewReader(upload)
		out, err := cmd.Output()
		exit := 0
		if e, ok := errors.AsType[*exec.ExitError](err); ok {
			exit = e.ExitCode()
			if tt.exit == 0 {
				t.Logf("%s", e.Stderr)
			}
		} else if err != nil {
			t.Fatal(err)
		}
		if string(out) != tt.want || exit != tt.exit {
			t.Errorf("curl %s = %q, exit code %d; want %q, %d", tt.name, out, exit, tt.want, tt.exit)
		}
	}
}

// TestConnectReportsReason checks that the second CONNECT to a dead target is not
// answered eagerly but reports the reason the exit gave for the first.
func TestConnectReportsReason(t *testing.T) {
	r := start(t, "remux", "tls", "tcp", nil)
	target := closedPort(t)
	ask := func() string {
		c, err := net.Dial("tcp", r.client.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\nHost: %[1]s\r\n\r\n", target)
		said, _ := io.ReadAll(c) // ends in a reset the first time
		return string(said)
	}
	if said := ask(); !strings.HasPrefix(said, "HTTP/1.1 200 ") {
		t.Errorf("first try: %q, want an eager 200", said)
	}
	r.clientLog.Wait(t, "client", "[info] [sock] - "+target+" = 0 ")
	if said := ask(); !strings.HasPrefix(said, "HTTP/1.1 502 ") || !strings.Contains(said, target+": connection refused") {
		t.Errorf("second try: %q, want 502 and the exit's reason", said)
	}
}
