//go:build unix

package acceptance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// environ returns this process's environment plus more, without variables that
// configure proxies or the program under test.
func environ(more ...string) []string {
	env := slices.DeleteFunc(os.Environ(), func(kv string) bool {
		key, _, _ := strings.Cut(kv, "=")
		return strings.HasPrefix(key, "TUNNELS_") || strings.HasSuffix(strings.ToLower(key), "_proxy") || key == "SSLKEYLOGFILE"
	})
	return append(env, more...)
}

// need skips the test unless all the given programs are installed. On Linux it fails
// the test instead, because scripts/setup.sh installs them.
func need(t testing.TB, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if lookup(p) != "" {
			continue
		}
		if runtime.GOOS != "linux" {
			t.Skipf("%s is not installed", p)
		}
		t.Fatalf("%s is not installed: run scripts/setup.sh", p)
	}
}

// lookup finds a program, even in folders that only root's PATH includes, or returns "".
func lookup(program string) string {
	for _, p := range []string{program, "/usr/sbin/" + program} {
		if path, err := exec.LookPath(p); err == nil {
			return path
		}
	}
	return ""
}

// eventually polls ok until it returns true, and fails the test if that takes longer
// than limit.
func eventually(t testing.TB, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	if !within(limit, ok) {
		t.Fatalf("not within %v: %s", limit, what)
	}
}

// within polls ok until it returns true or limit has passed.
func within(limit time.Duration, ok func() bool) bool {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	end := time.Now().Add(limit)
	for !ok() {
		if time.Now().After(end) {
			return false
		}
		<-tick.C
	}
	return true
}

// result is the outcome of a program that has exited.
type result struct {
	Stdout, Stderr string
	Code           int // exit code, or -1 if killed by a signal
}

func (r result) String() string {
	return fmt.Sprintf("exit code %d\nstdout: %.2000s\nstderr: %.2000s", r.Code, r.Stdout, r.Stderr)
}

// job holds settings for running a program, in addition to the parameters of run.
type job struct {
	Dir   string   // "" means the current folder
	Env   []string // in addition to environ
	Stdin []byte
	Limit time.Duration // 0 means patience
}

// run runs a program and waits for it to exit.
func run(t testing.TB, program string, args ...string) result {
	t.Helper()
	return job{}.run(t, program, args...)
}

// tunnels runs the program under test and waits for it to exit.
func tunnels(t testing.TB, args ...string) result {
	t.Helper()
	return job{}.run(t, binary, args...)
}

func (j job) run(t testing.TB, program string, args ...string) result {
	t.Helper()
	path := lookup(program)
	if path == "" {
		need(t, program)
	}
	limit := j.Limit
	if limit == 0 {
		limit = patience
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir, cmd.Env, cmd.Stdin = j.Dir, environ(j.Env...), bytes.NewReader(j.Stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	// Processes started by the program are killed with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = soon
	err := cmd.Run()
	if cmd.Process != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // usually none are left
	}
	r := result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()} // -1 also if it never ran
	if ctx.Err() != nil {
		t.Fatalf("%s %s: not finished within %v\n%s", program, strings.Join(args, " "), limit, r)
	}
	if _, ended := errors.AsType[*exec.ExitError](err); err != nil && !ended {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, r)
	}
	return r
}

// must fails the test if the program's exit code is not 0.
func (r result) must(t testing.TB) result {
	t.Helper()
	if r.Code != 0 {
		t.Fatal(r)
	}
	return r
}
