//go:build unix

package acceptance

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// silent is the program in trial mode, with its standard error connected to a pipe held
// by the test.
type silent struct {
	cmd  *exec.Cmd
	addr string
	done chan error
}

func startSilent(t *testing.T, stderr *os.File, args ...string) *silent {
	t.Helper()
	greeting := filepath.Join(t.TempDir(), "greeting")
	out, err := os.Create(greeting)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := exec.Command(binary, append([]string{"-server", "-client", "-client.addr=127.0.0.1:0", "-sla.log.level=debug"}, args...)...)
	cmd.Env, cmd.Stdout, cmd.Stderr = environ(), out, stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := &silent{cmd: cmd, done: make(chan error, 1)}
	ended := make(chan struct{})
	go func() { defer close(ended); s.done <- cmd.Wait() }()
	t.Cleanup(func() { cmd.Process.Kill(); <-ended })
	at := regexp.MustCompile(`(?m)^Client: SOCKS5 proxy on (\S+)$`)
	eventually(t, time.Minute, "the greeting", func() bool {
		b, _ := os.ReadFile(greeting)
		m := at.FindSubmatch(b)
		if m != nil {
			s.addr = string(m[1])
		}
		return m != nil
	})
	return s
}

// stop stops the program with a single SIGTERM.
func (s *silent) stop(t *testing.T) {
	t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-s.done:
		if err != nil {
			t.Errorf("it exited with %v, want exit code 0", err)
		}
	case <-time.After(20 * time.Second): // no sessions are open, so it should not wait
		t.Error("it is still running after SIGTERM")
	}
}

// TestLogReader checks that if the reader of standard error closes it or does not read,
// log lines are lost but there is no other effect, even if standard error stands in for
// a log file.
func TestLogReader(t *testing.T) {
	t.Parallel()
	need(t, "curl")
	site := web(t, serveText("hello"))
	for _, tt := range []struct {
		name string
		path string
		gone bool // the reader closes the pipe; otherwise it stays open and unread
	}{
		{"gone", "-", true},
		{"gone, by the name of the device", "/dev/stderr", true},
		{"gone, in place of a full disk", "/dev/full", true},
		{"silent", "-", false},
		{"silent, in place of a full disk", "/dev/full", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if _, err := os.Stat("/dev/full"); tt.path == "/dev/full" && err != nil {
				t.Skip("no /dev/full")
			}
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if !tt.gone {
				fillPipe(t, w)
			}
			s := startSilent(t, w, "-sla.log.path="+tt.path)
			w.Close()
			curl(t, s.addr, site.URL).must(t)
			if tt.gone {
				r.Close()
			}
			for range 5 {
				curl(t, s.addr, site.URL).must(t)
			}
			s.stop(t)
		})
	}
}

// fillPipe writes until the pipe is full.
func fillPipe(t *testing.T, w *os.File) {
	t.Helper()
	if err := w.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 4096)
	for {
		if _, err := w.Write(b); err != nil {
			return
		}
	}
}

// TestLogInUse checks that a second process does not write to the first one's log, even
// if it fails to start.
func TestLogInUse(t *testing.T) {
	t.Parallel()
	first := startTunnels(t, "first", "-server", "-client", "-client.addr=127.0.0.1:0")
	addr := first.waitStdout(`^Client: SOCKS5 proxy on (\S+)$`)
	before, err := os.ReadFile(first.Log)
	if err != nil {
		t.Fatal(err)
	}
	r := tunnels(t, "-server", "-client", "-client.addr="+addr, "-sla.log.path="+first.Log)
	if r.Code != 1 {
		t.Errorf("second process on the same port: %v, want exit code 1", r)
	}
	contains(t, "output of the second process", r.Stderr, "another process is logging to it")
	after, err := os.ReadFile(first.Log)
	if err != nil {
		t.Fatal(err)
	}
	if added, _ := strings.CutPrefix(string(after), string(before)); strings.Contains(added, "stopped") || strings.Contains(added, "cannot start") {
		t.Errorf("the second process wrote to the first one's log: %s", added)
	}
}
