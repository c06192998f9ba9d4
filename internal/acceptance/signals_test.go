//go:build unix

package acceptance

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// slow is an HTTP server that sends half of a body, and the rest when the test says so.
func slow(t testing.TB, body []byte) (url string, half <-chan struct{}, rest chan<- struct{}) {
	sent, more := make(chan struct{}, 8), make(chan struct{})
	s := web(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.Write(body[:len(body)/2])
		http.NewResponseController(w).Flush()
		sent <- struct{}{}
		select {
		case <-more:
			w.Write(body[len(body)/2:])
		case <-r.Context().Done():
		}
	})
	return s.URL, sent, more
}

// startCurl starts a download through the proxy.
func startCurl(t testing.TB, addr, url, file string) *process {
	t.Helper()
	return job{}.start(t, "curl", "curl", "-sS", "--max-time", "20", "-x", "socks5h://"+addr, "-o", file, url)
}

// wantRefused waits until connections to addr are refused.
func wantRefused(t testing.TB, addr string) {
	t.Helper()
	eventually(t, patience, "new connections to "+addr+" are refused", func() bool {
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
}

// TestStopDrains checks that when stopped, each end refuses new sessions, finishes open
// ones and exits with code 0.
func TestStopDrains(t *testing.T) {
	t.Parallel()
	need(t, "curl")
	for _, which := range []string{"server", "client"} {
		for _, way := range []string{"remux", "tls"} {
			t.Run(which+" over "+way, func(t *testing.T) {
				t.Parallel()
				server, client := startPair(t, "-eagersocks.net="+way)
				body, file := noise(8<<20), filepath.Join(t.TempDir(), "got")
				url, half, rest := slow(t, body)
				download := startCurl(t, client.Addr, url, file)
				<-half
				stopped := map[string]*process{"server": server, "client": client}[which]
				stopped.Signal(syscall.SIGTERM)
				stopped.waitLog(`\[info\] \[main\] terminated: stopping`)
				wantRefused(t, stopped.Addr)
				if which == "server" {
					if r := curl(t, client.Addr, "--max-time", "15", url); r.Code == 0 {
						t.Errorf("a new request was served while the server was stopping: %v", r)
					}
				}
				close(rest)
				if code := download.Wait(patience); code != 0 {
					t.Errorf("curl: exit code %d, %s", code, download.Stderr)
				}
				if got, err := os.ReadFile(file); err != nil || digest(got) != digest(body) {
					t.Errorf("downloaded %d bytes, %v; want %d", len(got), err, len(body))
				}
				if code := stopped.Wait(soon); code != 0 {
					t.Errorf("%s: exit code %d, want 0", which, code)
				}
				stopped.waitLog(`\[info\] \[main\] stopped$`)
			})
		}
	}
}

// TestSecondSignal checks that after a second signal, a process exits immediately with
// code 0, and the application sees that its download is incomplete.
func TestSecondSignal(t *testing.T) {
	t.Parallel()
	need(t, "curl")
	for _, which := range []string{"server", "client"} {
		for _, second := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
			t.Run(which+" "+second.String(), func(t *testing.T) {
				t.Parallel()
				server, client := startPair(t)
				body := noise(1 << 20)
				url, half, _ := slow(t, body)
				download := startCurl(t, client.Addr, url, filepath.Join(t.TempDir(), "got"))
				<-half
				stopped := map[string]*process{"server": server, "client": client}[which]
				stopped.Signal(syscall.SIGTERM)
				stopped.waitLog(`: stopping`)
				begin := time.Now()
				stopped.Signal(second)
				if code := stopped.Wait(soon); code != 0 {
					t.Errorf("%s: exit code %d, want 0", which, code)
				}
				t.Logf("exited after %v", time.Since(begin).Round(time.Millisecond))
				if code := download.Wait(patience); code == 0 {
					t.Error("curl took half of a download for all of it")
				}
				stopped.waitLog(`\[warn\] \[main\] .* again: stopping now$`)
			})
		}
	}
}

// TestReopenLog sends SIGUSR1 after renaming the log file, as logrotate does.
func TestReopenLog(t *testing.T) {
	t.Parallel()
	_, client := startPair(t)
	site := web(t, serveText("hello"))
	client.waitLog(`\[conn\] \+`)
	moved := client.Log + ".1"
	if err := os.Rename(client.Log, moved); err != nil {
		t.Fatal(err)
	}
	client.Signal(syscall.SIGUSR1)
	eventually(t, patience, "there is a new log file", func() bool { _, err := os.Stat(client.Log); return err == nil })
	curl(t, client.Addr, site.URL).must(t)
	client.waitLog(`\[sock\] - .* = 0 up=\d+ down=\d+ sec=\S+$`)
	old, err := os.ReadFile(moved)
	if err != nil || strings.Contains(string(old), "[sock]") {
		t.Errorf("the moved file, %v, has lines written after the move:\n%s", err, old)
	}
	client.stop()
	now, err := os.ReadFile(client.Log)
	if err != nil {
		t.Fatal(err)
	}
	// Together they form one log for the harness to check.
	if err := os.WriteFile(client.Log, append(old, now...), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestReloadCertificates checks that SIGHUP reloads the certificates, and that if a
// file is invalid, the previous ones remain in use.
func TestReloadCertificates(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	server := startServer(t, a.server()...)
	client := startClient(t, append(a.client("laptop.pem"), "-server.addr="+server.Addr, "-remux.reuse.max.cnt=1")...)
	site := web(t, serveText("hello"))
	before := serverSerial(t, a, server.Addr)

	for _, name := range []string{"server.pem", "server.key"} {
		if err := os.Rename(a.file(name), a.file(name+".old")); err != nil {
			t.Fatal(err)
		}
	}
	tunnels(t, "certs", "init", "-dir", a.dir, "localhost", "127.0.0.1").must(t)
	server.Signal(syscall.SIGHUP)
	server.waitLog(`\[info\] \[main\] server: reloaded certificates$`)
	after := serverSerial(t, a, server.Addr)
	if after == before {
		t.Error("after SIGHUP, the server still presents the old certificate")
	}
	client.Signal(syscall.SIGHUP)
	client.waitLog(`\[info\] \[main\] client: reloaded certificates$`)
	for range 3 {
		curl(t, client.Addr, site.URL).must(t)
	}

	if err := os.WriteFile(a.file("server.pem"), []byte("no certificate\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	server.Signal(syscall.SIGHUP)
	server.waitLog(`\[erro\] \[main\] .*server\.pem.*; keeping the previous ones$`)
	if got := serverSerial(t, a, server.Addr); got != after {
		t.Errorf("with a bad file, the server presents serial %s, want %s as before", got, after)
	}
	curl(t, client.Addr, site.URL).must(t)
}

// serverSerial returns the serial number of the certificate that a server presents.
func serverSerial(t testing.TB, a authority, addr string) string {
	t.Helper()
	pool := x509.NewCertPool()
	pem, err := os.ReadFile(a.file("ca.pem"))
	if err != nil || !pool.AppendCertsFromPEM(pem) {
		t.Fatalf("reading the CA: %v", err)
	}
	pair, err := tls.LoadX509KeyPair(a.file("laptop.pem"), a.file("laptop.pem"))
	if err != nil {
		t.Fatal(err)
	}
	d := &net.Dialer{Timeout: patience}
	c, err := tls.DialWithDialer(d, "tcp", addr, &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}, NextProtos: []string{"tunnels/1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].SerialNumber.String()
}

// TestPortTaken checks that a second process on the same port reports the conflict and
// exits with code 1.
func TestPortTaken(t *testing.T) {
	t.Parallel()
	server, client := startPair(t)
	for _, tt := range []struct {
		args []string
		addr string
	}{
		{append(common(t).server(), "-server", "-server.addr="+server.Addr), server.Addr},
		{append(common(t).client("laptop.pem"), "-client", "-server.addr="+server.Addr, "-client.addr="+client.Addr), client.Addr},
	} {
		log := filepath.Join(t.TempDir(), "log")
		r := tunnels(t, append(tt.args, "-sla.log.path="+log)...)
		if r.Code != 1 || r.Stdout != "" || strings.Count(r.Stderr, "\n") != 1 {
			t.Errorf("second process on %s: want exit code 1 and one line, got %v", tt.addr, r)
		}
		contains(t, "standard error", r.Stderr, "tunnels: ", tt.addr, "is in use, perhaps by another tunnels process")
		b, _ := os.ReadFile(log) // a missing file is detected below
		contains(t, "the log", string(b), "[erro] [main] cannot start: ", tt.addr)
	}
	// The first process was not affected.
	curl(t, client.Addr, web(t, serveText("hello")).URL).must(t)
}

// TestSocketTaken checks that a UNIX socket left behind by a killed process is
// replaced, but not one that is in use.
func TestSocketTaken(t *testing.T) {
	t.Parallel()
	dir := shortDir(t)
	serverAddr, clientAddr := filepath.Join(dir, "s"), filepath.Join(dir, "c")
	args := []string{"-remux.net=unix", "-server.addr=" + serverAddr}
	start := func() (server, client *process) {
		return startServer(t, args...), startClient(t, append(args, "-client.net=unix", "-client.addr="+clientAddr)...)
	}
	site := web(t, serveText("hello"))
	reach := func() {
		t.Helper()
		if got := curl(t, "localhost"+clientAddr, site.URL).must(t).Stdout; got != "hello" {
			t.Errorf("curl = %q, want hello", got)
		}
	}
	server, client := start()
	reach()
	for _, second := range [][]string{
		append([]string{"-server"}, args...),
		append([]string{"-client", "-client.net=unix", "-client.addr=" + clientAddr}, args...),
	} {
		r := tunnels(t, append(second, "-sla.log.path=-")...)
		if r.Code != 1 || r.Stdout != "" {
			t.Errorf("second process %v: want exit code 1, got %v", second, r)
		}
		contains(t, "standard error", r.Stderr, "already", dir)
	}
	reach()
	server.Kill()
	client.Kill()
	server, client = start()
	reach()
	for _, p := range []*process{client, server} {
		p.stop()
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("after a clean exit the folder contains %v, %v; want no files", left, err)
	}
}

// TestReloadWarnsAboutOptions checks that a reload does not apply a changed
// configuration file, but logs a warning.
func TestReloadWarnsAboutOptions(t *testing.T) {
	t.Parallel()
	conf := writeFile(t, "tunnels.conf", []byte("server = true\nremux.net = tcp\nserver.addr = 127.0.0.1:0\n"))
	p := startTunnels(t, "server", "-config="+conf)
	p.waitStdout(`^Server: listening on`)
	p.Signal(syscall.SIGHUP)
	p.waitLog(`server: reloaded certificates`)
	if bad := p.lines("has changed"); len(bad) > 0 {
		t.Errorf("log about an unchanged file: %q", bad)
	}
	if err := os.WriteFile(conf, []byte("server = true\nremux.net = tcp\nserver.addr = 127.0.0.1:0\nserver.allow = all\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.Signal(syscall.SIGHUP)
	p.waitLog(`\[warn\] \[main\] ` + regexp.QuoteMeta(conf) + ` has changed: options are read only at startup; restart`)
}

// TestNotify checks that systemd is notified when the process is listening, and not
// before.
func TestNotify(t *testing.T) {
	t.Parallel()
	path := filepath.Join(shortDir(t), "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	p := startTunnelsEnv(t, "server", []string{"NOTIFY_SOCKET=" + path}, "-server", "-remux.net=tcp", "-server.addr=127.0.0.1:0")
	_ = c.SetReadDeadline(time.Now().Add(patience))
	b := make([]byte, 100)
	n, err := c.Read(b)
	if string(b[:n]) != "READY=1" {
		t.Fatalf("notification is %q, %v, want READY=1", b[:n], err)
	}
	address := strings.TrimPrefix(p.waitStdout(`^Server: listening on (\S+)$`), "Server: listening on ")
	conn, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		t.Fatalf("connecting after the notification: %v", err)
	}
	conn.Close()
}
