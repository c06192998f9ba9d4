//go:build unix

package acceptance

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// output collects the output of a process.
type output struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// process is a program started by a test: tunnels or another one.
type process struct {
	Name           string
	Addr           string // listening address; the client's if the process has both roles
	ServerAddr     string // listening address of the server role, if any
	Log            string // log file, or "-" for standard error
	Stdout, Stderr *output

	t     testing.TB
	cmd   *exec.Cmd
	args  []string
	ended chan struct{} // closed when the process has ended and cmd.ProcessState is set
}

// start starts a program. It is killed when the test ends.
func (j job) start(t testing.TB, name, program string, args ...string) *process {
	t.Helper()
	need(t, program)
	p := &process{Name: name, Stdout: new(output), Stderr: new(output), t: t, args: args, ended: make(chan struct{})}
	p.cmd = exec.Command(lookup(program), args...)
	p.cmd.Dir, p.cmd.Env = j.Dir, environ(j.Env...)
	if j.Stdin != nil {
		p.cmd.Stdin = bytes.NewReader(j.Stdin)
	}
	p.cmd.Stdout, p.cmd.Stderr = p.Stdout, p.Stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.cmd.WaitDelay = soon
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("starting %s: %v", name, err)
	}
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait() // the result is in cmd.ProcessState
	}()
	t.Cleanup(p.Kill)
	return p
}

// Pid returns the process id.
func (p *process) Pid() int { return p.cmd.Process.Pid }

// Running reports whether the process is still running.
func (p *process) Running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// Signal sends a signal. It does nothing if the process has ended.
func (p *process) Signal(s syscall.Signal) {
	if p.Running() {
		_ = p.cmd.Process.Signal(s) // the process may just have ended
	}
}

// Kill kills the process and all its children with SIGKILL, and waits for it to end.
func (p *process) Kill() {
	_ = syscall.Kill(-p.Pid(), syscall.SIGKILL) // there may be none left
	<-p.ended
}

// Wait waits for the process to end and returns its exit code, or -1 if it was killed
// by a signal.
func (p *process) Wait(limit time.Duration) int {
	p.t.Helper()
	select {
	case <-p.ended:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(limit):
		p.t.Fatalf("%s has not ended within %v\n%s", p.Name, limit, p.state())
		return 0
	}
}

// state describes the process for the output of a failed test.
func (p *process) state() string {
	return fmt.Sprintf("%s stdout:\n%s%s stderr:\n%s%s log:\n%s", p.Name, tail(p.Stdout.String()), p.Name, tail(p.Stderr.String()), p.Name, tail(p.log()))
}

// tail returns the last lines of s. It omits most of a run of similar lines, because
// thousands of them would hide other events.
func tail(s string) string {
	const most, alike = 60, 3
	var lines []string
	begin, run := "", 0
	for line := range strings.Lines(s) {
		words := strings.Fields(line) // date, time, level, subject, ...
		if b := strings.Join(words[min(2, len(words)):min(6, len(words))], " "); b != begin {
			begin, run = b, 0
		}
		if run++; run <= alike {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines[max(0, len(lines)-most):], "")
}

// log returns the current contents of the process's log.
func (p *process) log() string {
	switch p.Log {
	case "":
		return ""
	case "-":
		return p.Stderr.String()
	}
	b, _ := os.ReadFile(p.Log) // it may not exist yet
	return string(b)
}

// waitLog waits for a log line that matches pattern, and returns it.
func (p *process) waitLog(pattern string) string {
	p.t.Helper()
	return p.wait("log", pattern, p.log)
}

// waitStdout waits for a line of standard output that matches pattern, and returns the
// first group, or the whole match if there are no groups.
func (p *process) waitStdout(pattern string) string {
	p.t.Helper()
	return p.wait("standard output", pattern, p.Stdout.String)
}

// waitStderr is like waitStdout, but for standard error.
func (p *process) waitStderr(pattern string) string {
	p.t.Helper()
	return p.wait("standard error", pattern, p.Stderr.String)
}

func (p *process) wait(where, pattern string, text func() string) string {
	p.t.Helper()
	re := regexp.MustCompile("(?m)" + pattern)
	var m []string
	if !within(patience, func() bool {
		over := !p.Running()
		m = re.FindStringSubmatch(text())
		return m != nil || over
	}) || m == nil {
		p.t.Fatalf("no line in the %s of %s matches %q\n%s", where, p.Name, pattern, p.state())
	}
	return m[len(m)-1]
}

// crash matches the first lines printed by the runtime and the race detector.
var crash = regexp.MustCompile(`(?m)^(panic: |fatal error: |WARNING: DATA RACE|runtime: ).*`)

// stop sends SIGTERM and checks that the process exits cleanly.
func (p *process) stop() {
	p.t.Helper()
	p.Signal(syscall.SIGTERM)
	if code := p.Wait(patience); code != 0 {
		p.t.Errorf("%s: after SIGTERM its exit code is %d, want 0", p.Name, code)
	}
}

// stopped reports whether all threads of the process have stopped after a SIGSTOP,
// which may take a while on a busy machine. If the system does not provide that
// information, it returns true.
func (p *process) stopped() bool {
	all, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", p.Pid()))
	for _, file := range all {
		stat, err := os.ReadFile(file)
		if err != nil {
			continue // the thread has ended
		}
		if _, state, ok := strings.Cut(string(stat), ") "); ok && state[0] != 'T' {
			return false
		}
	}
	return true
}

// finish stops the process the way a user would, unless it has already ended, and
// checks its log.
func (p *process) finish() {
	t := p.t
	if p.Running() {
		p.Signal(syscall.SIGTERM)
		if !within(2*time.Second, func() bool { return !p.Running() }) {
			p.Signal(syscall.SIGTERM)
		}
		if !within(patience, func() bool { return !p.Running() }) {
			t.Errorf("%s is still running after two SIGTERMs", p.Name)
			p.Signal(syscall.SIGQUIT) // prints the stacks of all goroutines
			within(patience, func() bool { return !p.Running() })
		}
		p.Kill()
		if code := p.cmd.ProcessState.ExitCode(); code > 0 {
			t.Errorf("%s: stopped by a signal, its exit code is %d, want 0", p.Name, code)
		}
	}
	p.Kill()
	if m := crash.FindString(p.Stderr.String()); m != "" {
		t.Errorf("%s: standard error contains %q", p.Name, m)
	}
	p.judgeLog()
	if t.Failed() {
		t.Logf("%s %s\n%s", p.Name, strings.Join(p.args, " "), p.state())
	}
}
