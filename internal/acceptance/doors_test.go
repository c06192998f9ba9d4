//go:build unix

package acceptance

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

// usersFile writes a users file with the given passwords.
func usersFile(t testing.TB, passwords map[string]string) string {
	t.Helper()
	var lines strings.Builder
	for name, password := range passwords {
		hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&lines, "%s:%s\n", name, hash)
	}
	return writeFile(t, "users", []byte(lines.String()))
}

// schemes lists the proxy protocols that curl supports.
var schemes = []string{"socks5", "socks5h", "socks4", "socks4a", "http"}

// proxyURL returns the URL of the proxy at addr for a user. SOCKS4 has a single field
// for name and password.
func proxyURL(scheme, addr, name, password string) string {
	switch {
	case name == "":
		return scheme + "://" + addr
	case strings.HasPrefix(scheme, "socks4"):
		return scheme + "://" + name + "%3A" + password + "@" + addr
	}
	return scheme + "://" + name + ":" + password + "@" + addr
}

// TestDoorsCurl checks that curl can use every protocol of the port, with and without a
// password, for HTTP and HTTPS.
func TestDoorsCurl(t *testing.T) {
	t.Parallel()
	need(t, "curl")
	body := noise(1 << 20)
	serve := func(w http.ResponseWriter, _ *http.Request) { w.Write(body) }
	plain := web(t, serve)
	secure, ca := webTLS(t, serve)
	server := startServer(t)
	open := startClient(t, "-server.addr="+server.Addr)
	closed := startClient(t, "-server.addr="+server.Addr, "-client.users="+usersFile(t, map[string]string{"alice": "secret"}))
	for _, scheme := range schemes {
		for _, url := range []string{plain.URL, secure.URL} {
			for _, proxy := range []string{proxyURL(scheme, open.Addr, "", ""), proxyURL(scheme, closed.Addr, "alice", "secret")} {
				r := run(t, "curl", "-sS", "--max-time", "15", "--cacert", ca, "-x", proxy, url)
				if r.Code != 0 || r.Stdout != string(body) {
					t.Errorf("curl -x %s %s: exit code %d, %s, stderr %s", proxy, url, r.Code, brief(r.Stdout), r.Stderr)
				}
			}
		}
	}
}

// TestDoorsWrongPassword checks that every protocol rejects a wrong password, and that
// each attempt takes longer than the previous one.
func TestDoorsWrongPassword(t *testing.T) {
	t.Parallel()
	need(t, "curl")
	site := web(t, serveText("inside"))
	server := startServer(t)
	users := usersFile(t, map[string]string{"alice": "secret"})
	for _, scheme := range schemes {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			client := startClient(t, "-server.addr="+server.Addr, "-client.users="+users)
			var took [3]float64
			for i := range took {
				r := run(t, "curl", "-sS", "--max-time", "15", "-o", "/dev/null", "-w", "%{http_code} %{time_total}",
					"-x", proxyURL(scheme, client.Addr, "alice", "wrong"+strconv.Itoa(i)), site.URL)
				status, seconds, _ := strings.Cut(r.Stdout, " ")
				took[i], _ = strconv.ParseFloat(seconds, 64)
				want, wantCode := "000", 97 // CURLE_PROXY
				if scheme == "http" {
					want, wantCode = "407", 0
				}
				if status != want || r.Code != wantCode {
					t.Errorf("curl with a wrong password: status %s, exit code %d, want %s and %d: %s", status, r.Code, want, wantCode, r.Stderr)
				}
			}
			if took[0] >= took[1] || took[1] >= took[2] {
				t.Errorf("three wrong passwords took %v seconds, want each longer than the one before", took)
			}
			r := run(t, "curl", "-sS", "--max-time", "15", "-x", proxyURL(scheme, client.Addr, "alice", "secret"), site.URL)
			if r.Stdout != "inside" {
				t.Errorf("the correct password after wrong ones: %v", r)
			}
			if strings.Contains(client.log(), "wrong0") || strings.Contains(client.log(), "secret") {
				t.Error("a password is in the log")
			}
		})
	}
}

// TestDoorsPrograms tests programs configured for an HTTP proxy, each in its own way.
func TestDoorsPrograms(t *testing.T) {
	t.Parallel()
	need(t, "wget", "python3", "ssh", "nc")
	_, client := startPair(t)
	proxy := "http://" + client.Addr
	body := noise(3 << 20)
	plain := web(t, func(w http.ResponseWriter, _ *http.Request) { w.Write(body) })
	env := []string{"http_proxy=" + proxy, "https_proxy=" + proxy, "HOME=" + t.TempDir()}

	got := job{Env: env}.run(t, "wget", "-q", "-O", "-", plain.URL).must(t).Stdout
	if got != string(body) {
		t.Errorf("wget: %s", brief(got))
	}
	script := "import sys, urllib.request; sys.stdout.buffer.write(urllib.request.urlopen(sys.argv[1]).read())"
	got = job{Env: env}.run(t, "python3", "-c", script, plain.URL).must(t).Stdout
	if got != string(body) {
		t.Errorf("Python with http_proxy: %s", brief(got))
	}
	sshd := startSSHD(t)
	ssh := append(sshd.options("nc -X connect -x "+client.Addr+" %h %p"), "-p", sshd.port, sshd.user+"@"+sshd.host, "cat")
	got = job{Stdin: body}.run(t, "ssh", ssh...).must(t).Stdout
	if got != string(body) {
		t.Errorf("ssh with an HTTP ProxyCommand: %s", brief(got))
	}
	client.wantRun("sock", "+", 3)
}

// TestDoorsGit tests git clone through the HTTP proxy.
func TestDoorsGit(t *testing.T) {
	t.Parallel()
	need(t, "git")
	_, client := startPair(t)
	dir, url := gitOrigin(t, noise(2<<20))
	gitIn(t, dir, "-c", "http.proxy=http://"+client.Addr, "clone", "-q", url, "clone")
	if got, err := os.ReadFile(dir + "/clone/large"); err != nil || digest(got) != digest(noise(2<<20)) {
		t.Errorf("cloned file: %d bytes, %v", len(got), err)
	}
	client.wantRun("sock", "+", 1)
}

// TestDoorsOtherClients tests SOCKS clients from other projects.
func TestDoorsOtherClients(t *testing.T) {
	t.Parallel()
	need(t, "proxychains4", "socat", "curl")
	site := web(t, serveText("inside\n"))
	server := startServer(t)
	client := startClient(t, "-server.addr="+server.Addr)
	closed := startClient(t, "-server.addr="+server.Addr, "-client.users="+usersFile(t, map[string]string{"alice": "secret"}))
	for _, line := range []string{"socks5 " + client.Addr, "socks4 " + client.Addr, "http " + client.Addr,
		"socks5 " + closed.Addr + " alice secret", "http " + closed.Addr + " alice secret"} {
		conf := writeFile(t, "proxychains.conf", []byte("strict_chain\nproxy_dns\n[ProxyList]\n"+strings.Replace(line, ":", " ", 1)+"\n"))
		r := run(t, "proxychains4", "-q", "-f", conf, "curl", "-sS", "--max-time", "15", site.URL)
		if r.Stdout != "inside\n" {
			t.Errorf("proxychains with %s: %v", line, r)
		}
	}
	host, port, _ := net.SplitHostPort(site.Listener.Addr().String())
	proxyHost, proxyPort, _ := net.SplitHostPort(client.Addr)
	for _, name := range []string{host, "localhost"} {
		r := job{Stdin: []byte("GET / HTTP/1.0\r\n\r\n")}.run(t, "socat", "-t5", "-", fmt.Sprintf("SOCKS4A:%s:%s:%s,socksport=%s", proxyHost, name, port, proxyPort))
		if !strings.HasSuffix(r.Stdout, "inside\n") {
			t.Errorf("socat SOCKS4A to %s: %v", name, r)
		}
	}
}
