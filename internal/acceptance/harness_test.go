//go:build unix

// Package acceptance tests the built program the way it is used: with curl, git, ssh
// and a browser, with signals, and by its output.
//
// TestMain builds the program once. To test another binary, for example one with the
// race detector, set ACCEPTANCE_BINARY in the environment. A test starts as many
// processes as it needs:
//
//	server := startServer(t, "-server.dial.timeout.sec=2")
//	client := startClient(t, "-server.addr="+server.Addr)
//	curl := run(t, "curl", "-sS", "-x", "socks5h://"+client.Addr, url)
//
// Each process listens on a free loopback port, logs at level debug to its own file,
// and is stopped when the test ends. Then every line of its log is checked against the
// grammar, and the counts are replayed: unless the process was killed, they must end at
// 0.
//
// Tests do not sleep for a result; they wait for it with eventually.
package acceptance

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// patience is the time limit for operations that should be fast. It is generous,
// because other tests and programs may be using the machine.
const patience = time.Minute

// soon is how long an operation without any waiting may take on such a machine. It is
// less than the 30 s after which a process stops waiting for its sessions, or retries.
const soon = 20 * time.Second

// root is the path from this folder to the root of the repository.
const root = "../.."

// binary is the program under test, and described the output of git describe for its
// source, or empty; both are set by TestMain.
var binary, described string

func TestMain(m *testing.M) {
	dir, err := build()
	if err != nil {
		fmt.Fprintln(os.Stderr, "building the program to be tested:", err)
		os.RemoveAll(dir)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(exit int) {
		os.RemoveAll(dir)
		os.Exit(exit)
	}))
}

// build builds the program in a new folder and sets binary.
func build() (dir string, err error) {
	if dir, err = os.MkdirTemp("", "tunnels"); err != nil {
		return "", err
	}
	commonDir = dir
	if binary = os.Getenv("ACCEPTANCE_BINARY"); binary != "" {
		return dir, nil
	}
	binary = filepath.Join(dir, "tunnels")
	script, err := filepath.Abs(filepath.Join(root, "scripts/build.sh"))
	if err != nil {
		return dir, err
	}
	// Outside a git repository, there is no version.
	version, _ := exec.Command("git", "-C", root, "describe", "--tags", "--always").Output()
	described = strings.TrimSpace(string(version))
	if out, err := exec.Command(script, binary).CombinedOutput(); err != nil {
		return dir, fmt.Errorf("%s: %w\n%s", script, err, out)
	}
	return dir, nil
}

// commonDir is a folder shared by all tests, set by TestMain.
var commonDir string

// authority is a certificate authority in a folder populated by `tunnels certs init`.
type authority struct{ dir string }

// file returns the path of a file in the authority's folder.
func (a authority) file(name string) string { return filepath.Join(a.dir, name) }

// server returns the flags for a server that uses this authority's certificates.
func (a authority) server() []string {
	return []string{"-tls.server.cert=" + a.file("server.pem"), "-tls.server.key=" + a.file("server.key"), "-tls.server.ca=" + a.file("ca.pem")}
}

// client returns the flags for a client whose key, certificate and CA are in the given
// file.
func (a authority) client(file string) []string {
	f := a.file(file)
	return []string{"-tls.client.cert=" + f, "-tls.client.key=" + f, "-tls.client.ca=" + f}
}

// common returns an authority that is shared by all tests that do not change it. It has
// a second client, "laptop".
func common(t testing.TB) authority {
	t.Helper()
	a, err := commonOnce()
	if err != nil {
		t.Fatal(err)
	}
	return a
}

var commonOnce = sync.OnceValues(func() (authority, error) {
	a := authority{filepath.Join(commonDir, "certs")}
	return a, a.make()
})

// newAuthority returns a new authority, for a test that changes it.
func newAuthority(t testing.TB) authority {
	t.Helper()
	a := authority{filepath.Join(t.TempDir(), "certs")}
	if err := a.make(); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a authority) make() error {
	for _, args := range [][]string{
		{"certs", "init", "-dir", a.dir, "localhost", "127.0.0.1", "::1"},
		{"certs", "client", "-dir", a.dir, "laptop"},
	} {
		cmd := exec.Command(binary, args...)
		cmd.Env = environ()
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("tunnels %s: %w\n%s", strings.Join(args, " "), err, out)
		}
	}
	return nil
}

// startTunnels starts the program with the given arguments, preceded by defaults for
// the log.
func startTunnels(t testing.TB, name string, args ...string) *process {
	t.Helper()
	return startTunnelsEnv(t, name, nil, args...)
}

// startTunnelsEnv is like startTunnels, but with additional environment variables.
func startTunnelsEnv(t testing.TB, name string, env []string, args ...string) *process {
	t.Helper()
	dir := t.TempDir()
	args = append([]string{"-sla.log.path=" + filepath.Join(dir, name+".log"), "-sla.log.level=debug"}, args...)
	p := job{Dir: dir, Env: env}.start(t, name, binary, args...)
	p.Log = flagValue(args, "sla.log.path")
	if p.Log != "-" && !filepath.IsAbs(p.Log) {
		p.Log = filepath.Join(dir, p.Log)
	}
	t.Cleanup(p.finish)
	return p
}

// flagValue returns the last value given to a flag as -name=value, or "".
func flagValue(args []string, name string) (value string) {
	for _, a := range args {
		if v, ok := strings.CutPrefix(a, "-"+name+"="); ok {
			value = v
		}
	}
	return value
}

// plain reports whether the arguments, in the form -name=value, select a carrier
// without TLS.
func plain(args []string) bool {
	carrier := flagValue(args, "eagersocks.net")
	if carrier == "" || carrier == "remux" {
		carrier = flagValue(args, "remux.net")
	}
	return carrier != "" && carrier != "tls"
}

// startServer starts a server on a free port, with the common certificates and loopback
// targets allowed, and waits until it is listening. Arguments have the form -name=value
// and override these defaults.
func startServer(t testing.TB, args ...string) *process {
	t.Helper()
	all := []string{"-server", "-server.addr=127.0.0.1:0", "-server.allow=loopback"}
	if !plain(args) {
		all = append(all, common(t).server()...)
	}
	p := startTunnels(t, "server", append(all, args...)...)
	p.ServerAddr = p.waitStdout(`^Server: listening on (\S+)$`)
	p.Addr = p.ServerAddr
	return p
}

// startClient starts a client on a free port, with the common certificates, and waits
// until it is listening. Arguments have the form -name=value and must include
// -server.addr.
func startClient(t testing.TB, args ...string) *process {
	t.Helper()
	all := []string{"-client", "-client.addr=127.0.0.1:0"}
	if !plain(args) {
		all = append(all, common(t).client("laptop.pem")...)
	}
	p := startTunnels(t, "client", append(all, args...)...)
	p.Addr = p.waitStdout(`^Client: SOCKS5 proxy on (\S+)$`)
	return p
}

// startPair starts a server and a client that uses it, both with the same arguments.
func startPair(t testing.TB, args ...string) (server, client *process) {
	t.Helper()
	server = startServer(t, args...)
	return server, startClient(t, append([]string{"-server.addr=" + server.Addr}, args...)...)
}

// shortDir returns a temporary folder with a path short enough for a UNIX socket, which
// is limited to about 100 bytes.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "tn")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
