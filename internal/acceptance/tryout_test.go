//go:build unix

package acceptance

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// greeting matches the text that a process prints at startup to guide newcomers.
var greeting = regexp.MustCompile(`(?m)\ATrial mode: client and server run in this process[\s\S]+^Server: listening on 127\.0\.0\.1:\d+
Client: SOCKS5 proxy on 127\.0\.0\.1:\d+
Log:    here
Stop:   Ctrl-C
Status: (?:connected to 127\.0\.0\.1:\d+ \(.* ms\)|not connected yet: .*\n        Still trying\.)
Help:   http://127\.0\.0\.1:\d+/ .*
Try:    curl -x socks5h://127\.0\.0\.1:\d+ http://127\.0\.0\.1:\d+/
\z`)

// tryIt runs the command printed after "Try:" in a shell.
func tryIt(t testing.TB, p *process) {
	t.Helper()
	need(t, "curl")
	line := p.waitStdout(`^Try: +(curl .*)$`)
	r := run(t, "sh", "-c", line).must(t)
	contains(t, line, r.Stdout, "through the tunnel")
	p.waitLog(`\[info\] \[sock\] - .* = 0 .*sec=\S+$`)
}

// TestTryOut runs both roles in an empty folder, without any preparation.
func TestTryOut(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	// 127.0.0.1:1080, the default, may be in use on the test machine.
	p := job{Dir: dir, Env: []string{"TUNNELS_CLIENT_ADDR=127.0.0.1:0"}}.start(t, "tunnels", binary, "-server", "-client", "-sla.log.path=-")
	p.Log = "-"
	p.args = append(p.args, "-sla.log.level=info")
	p.waitStdout(`^Try: .*$`)
	if got := p.Stdout.String(); !greeting.MatchString(got) {
		t.Errorf("greeting is\n%swant it to match\n%s", got, greeting)
	}
	tryIt(t, p)
	// Client and server run in one process, so both log each event.
	p.wantRun("sock", "+", 2)
	p.Signal(syscall.SIGINT)
	if code := p.Wait(soon); code != 0 {
		t.Errorf("after Ctrl-C: exit code %d, want 0", code)
	}
	contains(t, "standard error", p.Stderr.String(), "[main] interrupt: stopping; ", "second signal")
	if n := strings.Count(p.Stderr.String(), "stopping"); n != 1 {
		t.Errorf("it logged %d times that it is stopping, want once", n)
	}
	p.finish()
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("it left %v, %v in its folder, want no files", left, err)
	}
}

// clone returns a clone of the repository, including uncommitted changes.
func clone(t testing.TB) string {
	t.Helper()
	need(t, "git")
	if _, err := os.Stat(filepath.Join(root, ".git")); err != nil {
		t.Skipf("not in a repository: %v", err)
	}
	dir := filepath.Join(t.TempDir(), "clone")
	from, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	git := func(args ...string) string {
		return run(t, "git", append([]string{"-c", "safe.directory=*"}, args...)...).must(t).Stdout
	}
	git("clone", "-q", from, dir)
	files := git("-C", from, "ls-files", "-z", "--modified", "--others", "--deleted", "--exclude-standard")
	for name := range strings.SplitSeq(strings.TrimSuffix(files, "\x00"), "\x00") {
		if name != "" {
			copyFile(t, filepath.Join(from, name), filepath.Join(dir, name))
		}
	}
	return dir
}

// copyFile copies a file, or removes its copy if the original no longer exists.
func copyFile(t testing.TB, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if os.IsNotExist(err) {
		os.Remove(to)
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	info, err := in.Stat()
	if err == nil {
		err = os.MkdirAll(filepath.Dir(to), 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, info.Mode())
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
}

// TestMakeRun tests the commands in README for a fresh clone.
func TestMakeRun(t *testing.T) {
	t.Parallel()
	need(t, "make", "go")
	dir := clone(t)
	p := job{Dir: dir, Env: []string{"TUNNELS_CLIENT_ADDR=127.0.0.1:0"}}.start(t, "make run", "make", "run")
	p.Log = "-"
	eventually(t, patience, "make run has printed a command to try", func() bool {
		return !p.Running() || strings.Contains(p.Stdout.String(), "\nTry: ")
	})
	if !p.Running() {
		t.Fatalf("make run has exited\n%s", p.state())
	}
	tryIt(t, p)
	// Ctrl-C on a terminal reaches make and the processes it has started.
	if err := syscall.Kill(-p.Pid(), syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	p.Wait(soon)
	contains(t, "standard error", p.Stderr.String(), "stopping", "[main] stopped\n")
	got := run(t, filepath.Join(dir, "bin/tunnels"), "version").must(t).Stdout
	if strings.Contains(got, "unknown") {
		t.Errorf("the version is %q, want the output of git describe", got)
	}
	if r := run(t, "make", "-C", dir); r.Code != 0 || !strings.Contains(r.Stdout, "make TARGET") {
		t.Errorf("make without a target: %v", r)
	}
}
