//go:build unix

package acceptance

import (
	"fmt"
	"net"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"tunnels/internal/testnet"
)

// TestCurl tests downloads and uploads with curl, small and large, over HTTP and HTTPS,
// by name and by address.
func TestCurl(t *testing.T) {
	t.Parallel()
	need(t, "curl")
	server, client := startPair(t)
	body := noise(3 << 20)
	serve := func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			fmt.Fprint(w, digestOf(t, r.Body))
			return
		}
		w.Write(body)
	}
	httpServer := web(t, serve)
	httpsServer, ca := webTLS(t, serve)
	upload := writeFile(t, "upload", body)
	_, port, _ := net.SplitHostPort(httpServer.Listener.Addr().String())
	for _, tt := range []struct {
		name string
		args []string
		want string
	}{
		{"http", []string{httpServer.URL}, string(body)},
		{"http by name", []string{"http://localhost:" + port}, string(body)},
		{"http upload", []string{"-T", upload, httpServer.URL}, digest(body)},
		{"http twice on one connection", []string{httpServer.URL, httpServer.URL}, string(body) + string(body)},
		{"https", []string{"--cacert", ca, httpsServer.URL}, string(body)},
		{"https 1.1", []string{"--http1.1", "--cacert", ca, httpsServer.URL}, string(body)},
		{"https upload", []string{"--cacert", ca, "-T", upload, httpsServer.URL}, digest(body)},
		{"https not verified", []string{"-k", httpsServer.URL}, string(body)},
	} {
		if got := curl(t, client.Addr, tt.args...).must(t).Stdout; got != tt.want {
			t.Errorf("curl %s = %s, want %s", tt.name, brief(got), brief(tt.want))
		}
	}
	// The name is resolved at the exit, so it appears in the server's log.
	server.waitLog(`\[info\] \[sock\] \+ localhost:` + port + ` = \d+ client=\S+$`)
	for _, p := range []*process{client, server} {
		p.wantRun("sock", "+", 8)
		p.wantRun("conn", "+", 1)
	}
}

// gitOrigin returns the URL of a repository with one file, "large", served over smart
// HTTP, and a working folder.
func gitOrigin(t testing.TB, content []byte) (dir, url string) {
	t.Helper()
	dir = t.TempDir()
	git := func(args ...string) result { return gitIn(t, dir, args...) }
	git("init", "-q", "origin")
	if err := os.WriteFile(filepath.Join(dir, "origin", "large"), content, 0o600); err != nil {
		t.Fatal(err)
	}
	git("-C", "origin", "add", ".")
	git("-C", "origin", "commit", "-q", "-m", "one")
	git("clone", "-q", "--bare", "origin", "origin.git")
	git("-C", "origin.git", "config", "http.receivepack", "true")
	backend := &cgi.Handler{
		Path: filepath.Join(strings.TrimSpace(git("--exec-path").Stdout), "git-http-backend"),
		Env:  []string{"GIT_PROJECT_ROOT=" + dir, "GIT_HTTP_EXPORT_ALL=1", "HOME=" + dir},
	}
	return dir, web(t, backend.ServeHTTP).URL + "/origin.git"
}

// gitIn runs git in dir, ignoring the user and system configuration.
func gitIn(t testing.TB, dir string, args ...string) result {
	t.Helper()
	id := []string{"-c", "user.name=a", "-c", "user.email=a@b.example", "-c", "init.defaultBranch=main",
		"-c", "http.postBuffer=20000000"} // package cgi does not support chunked request bodies
	return job{Dir: dir, Env: []string{"HOME=" + dir, "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0"}}.run(t, "git", append(id, args...)...).must(t)
}

// TestGit tests clone and push over smart HTTP, with git's proxy setting.
func TestGit(t *testing.T) {
	t.Parallel()
	need(t, "git")
	_, client := startPair(t)
	content := noise(4 << 20)
	dir, url := gitOrigin(t, content)
	git := func(args ...string) result {
		return gitIn(t, dir, append([]string{"-c", "http.proxy=socks5h://" + client.Addr}, args...)...)
	}

	git("clone", "-q", url, "clone")
	if got, err := os.ReadFile(filepath.Join(dir, "clone", "large")); err != nil || digest(got) != digest(content) {
		t.Errorf("cloned file: %d bytes, %v; want the %d bytes that were committed", len(got), err, len(content))
	}
	if err := os.WriteFile(filepath.Join(dir, "clone", "second"), noise(2<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	git("-C", "clone", "add", ".")
	git("-C", "clone", "commit", "-q", "-m", "two")
	git("-C", "clone", "push", "-q", "origin", "main")
	if got := git("-C", "origin.git", "log", "-1", "--format=%s", "main").Stdout; got != "two\n" {
		t.Errorf("last commit after the push is %q, want two", got)
	}
	git("-C", "origin.git", "fsck", "--full")
	client.wantRun("sock", "+", 2)
}

// sshServer is an sshd run by the test, with its keys and the files needed by ssh.
type sshServer struct {
	host, port, user string
	key, knownHosts  string
}

// startSSHD starts a server that runs an sshd for each connection, like inetd.
func startSSHD(t testing.TB) sshServer {
	t.Helper()
	need(t, "sshd", "ssh", "ssh-keygen")
	if os.Getuid() == 0 {
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil { // required by sshd
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	for _, k := range []string{"host", "user"} {
		run(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", in(k)).must(t)
	}
	config := strings.Join([]string{
		"HostKey " + in("host"), "AuthorizedKeysFile " + in("user.pub"), "StrictModes no", "UsePAM no",
		"PermitRootLogin prohibit-password", "PasswordAuthentication no", "Subsystem sftp internal-sftp", "UseDNS no",
	}, "\n") + "\n"
	if err := os.WriteFile(in("config"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	s := testnet.Serve(t, func(c *net.TCPConn) {
		f, err := c.File()
		if err != nil {
			return
		}
		defer f.Close()
		cmd := exec.CommandContext(t.Context(), lookup("sshd"), "-i", "-e", "-f", in("config"))
		cmd.Stdin, cmd.Stdout = f, f
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		var stderr output
		cmd.Stderr = &stderr
		err = cmd.Run() // sshd exits with the session's result, and may exit with 255 even after a successful session
		if !strings.Contains(stderr.String(), "Accepted publickey") && t.Context().Err() == nil {
			t.Logf("sshd: %v: %s", err, stderr.String())
		}
	})
	u, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	host, port, _ := net.SplitHostPort(s.Addr)
	return sshServer{host, port, u.Username, in("user"), in("known_hosts")}
}

// options returns options that make ssh and scp use the SOCKS5 proxy through
// proxyCommand.
func (s sshServer) options(proxyCommand string) []string {
	return []string{"-F", "none", "-i", s.key, "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR",
		"-o", "StrictHostKeyChecking=accept-new", "-o", "UserKnownHostsFile=" + s.knownHosts, "-o", "ProxyCommand=" + proxyCommand}
}

// TestSSH tests ssh, scp and rsync with a SOCKS ProxyCommand.
func TestSSH(t *testing.T) {
	t.Parallel()
	need(t, "nc", "ssh", "scp", "rsync")
	_, client := startPair(t)
	sshd := startSSHD(t)
	opts := sshd.options("nc -X 5 -x " + client.Addr + " %h %p")
	content := noise(5 << 20)
	file := writeFile(t, "content", content)
	host := sshd.user + "@" + sshd.host
	ssh := append(opts, "-p", sshd.port)

	got := run(t, "ssh", append(ssh, host, "echo hello")...).must(t).Stdout
	if got != "hello\n" {
		t.Errorf("ssh host echo hello = %q", got)
	}
	// The command prints its result once it sees EOF on its input.
	got = job{Stdin: content}.run(t, "ssh", append(ssh, host, "sha256sum")...).must(t).Stdout
	if got != digest(content)+"  -\n" {
		t.Errorf("ssh host sha256sum < file = %q, want %s", got, digest(content))
	}
	got = job{Stdin: content}.run(t, "ssh", append(ssh, host, "cat")...).must(t).Stdout
	if got != string(content) {
		t.Errorf("ssh host cat < file = %s, want %s", brief(got), brief(string(content)))
	}
	if r := run(t, "ssh", append(ssh, host, "exit 7")...); r.Code != 7 {
		t.Errorf("ssh host exit 7: %v", r)
	}

	dir := t.TempDir()
	same := func(what, name string) {
		t.Helper()
		if b, err := os.ReadFile(filepath.Join(dir, name)); err != nil || digest(b) != digest(content) {
			t.Errorf("%s: %d bytes, %v; want %d", what, len(b), err, len(content))
		}
	}
	scp := append(opts, "-q", "-P", sshd.port)
	run(t, "scp", append(scp, file, host+":"+filepath.Join(dir, "up"))...).must(t)
	same("scp to the host", "up")
	run(t, "scp", append(scp, host+":"+file, filepath.Join(dir, "down"))...).must(t)
	same("scp from the host", "down")

	// rsync splits -e at spaces, but supports quotes.
	shell := []string{"ssh"}
	for _, o := range ssh {
		shell = append(shell, "'"+o+"'")
	}
	rsync := []string{"-a", "-e", strings.Join(shell, " ")}
	run(t, "rsync", append(rsync, file, host+":"+filepath.Join(dir, "synced"))...).must(t)
	same("rsync to the host", "synced")
	run(t, "rsync", append(rsync, host+":"+file, filepath.Join(dir, "back"))...).must(t)
	same("rsync from the host", "back")
	client.wantRun("sock", "-", 7)
}

// TestSSHInput checks that a command sees EOF on its input and that its complete output
// arrives, over every type of connection between client and server.
func TestSSHInput(t *testing.T) {
	t.Parallel()
	need(t, "nc", "ssh")
	content := noise(5 << 20)
	sshd := startSSHD(t)
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) { // not parallel: all write known_hosts
			_, client := startWay(t, way.socket, way.args, nil)
			ssh := append(sshd.options("nc -X 5 -x "+client.Addr+" %h %p"), "-p", sshd.port)
			got := job{Stdin: content}.run(t, "ssh", append(ssh, sshd.user+"@"+sshd.host, "cat")...).must(t).Stdout
			if got != string(content) {
				t.Errorf("ssh host cat < file = %s, want %s", brief(got), brief(string(content)))
			}
		})
	}
}

// TestManyAtOnce tests a hundred concurrent downloads, with other connections open and
// idle.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	need(t, "curl")
	_, client := startPair(t)
	for range 50 {
		c, err := net.Dial("tcp", client.Addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	site := web(t, func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/"))
		w.Header().Set("Connection", "close")
		w.Write(noise(n * 5000))
	})
	dir := t.TempDir()
	curl(t, client.Addr, "--fail", "--parallel", "--parallel-immediate", "--parallel-max", "100",
		"--output-dir", dir, "-o", "#1", site.URL+"/[1-100]").must(t)
	for n := range 100 {
		got, err := os.ReadFile(filepath.Join(dir, strconv.Itoa(n+1)))
		if want := noise((n + 1) * 5000); err != nil || digest(got) != digest(want) {
			t.Errorf("download %d: %d bytes, %v; want %d", n+1, len(got), err, len(want))
		}
	}
	client.wantRun("sock", "-", 100)
	client.wantNoErrors()
}

// TestIPv6 tests a client, a server and a target with IPv6 addresses.
func TestIPv6(t *testing.T) {
	t.Parallel()
	need(t, "curl")
	ln, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skipf("no IPv6 on this system: %v", err)
	}
	site := &http.Server{Handler: serveText("hello"), ReadHeaderTimeout: patience}
	var wg sync.WaitGroup
	wg.Go(func() { site.Serve(ln) })
	t.Cleanup(wg.Wait)
	t.Cleanup(func() { site.Close() })
	server := startServer(t, "-server.addr=[::1]:0")
	client := startClient(t, "-client.addr=[::1]:0", "-server.addr="+server.Addr)
	if got := curl(t, client.Addr, "http://"+ln.Addr().String()).must(t).Stdout; got != "hello" {
		t.Errorf("curl = %q, want hello", got)
	}
	server.waitLog(`\[sock\] \+ \[::1\]:\d+ = 1 client=`)
}
