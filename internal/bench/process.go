package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// process is a child process. It never outlives this process.
type process struct {
	name   string
	at     site
	cmd    *exec.Cmd
	stdin  io.Closer     // a role's standard input, closed to end it; nil otherwise
	output string        // path of the file with its output
	ended  chan struct{} // closed once it has been reaped
}

// startProcess starts a program, with its output going to a file in dir.
func startProcess(at site, dir, name string, args ...string) (*process, error) {
	return startWith(at, dir, name, nil, args...)
}

func startWith(at site, dir, name string, prepare func(*exec.Cmd) error, args ...string) (*process, error) {
	f, err := os.CreateTemp(dir, name+"-*.out")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = f, f
	cmd.Dir = dir
	cmd.SysProcAttr = tied()
	for _, e := range os.Environ() { // options set in the environment must not affect the measurement
		if !strings.HasPrefix(e, "TUNNELS_") && !strings.HasPrefix(e, "SSLKEYLOGFILE=") {
			cmd.Env = append(cmd.Env, e)
		}
	}
	if prepare != nil {
		if err := prepare(cmd); err != nil {
			return nil, fmt.Errorf("start %s: %w", name, err)
		}
	}
	if err := at.start(cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p := &process{name: name, at: at, cmd: cmd, output: f.Name(), ended: make(chan struct{})}
	go func() { // exits with the process; stop waits for that
		defer close(p.ended)
		cmd.Wait()
	}()
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// stop ends the process and waits for it to exit.
func (p *process) stop() {
	if p.stdin != nil {
		p.stdin.Close()
	}
	killGroup(p.pid())
	<-p.ended
}

// lastOutput returns the end of the process's output, for an error message.
func (p *process) lastOutput() string {
	b, _ := os.ReadFile(p.output)
	s := strings.Join(strings.Fields(string(b[max(0, len(b)-300):])), " ") // notes are single lines
	if s == "" {
		return "it printed nothing"
	}
	return "it printed: " + s
}

// listening waits until p accepts connections at addr.
func (p *process) listening(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	for {
		c, err := p.connect(ctx, addr)
		if err == nil {
			return c.Close()
		}
		select {
		case <-p.ended:
			return fmt.Errorf("%s exited before it was listening; %s", p.name, p.lastOutput())
		case <-ctx.Done():
			return fmt.Errorf("%s is not listening on %s: %w; %s", p.name, addr, context.Cause(ctx), p.lastOutput())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// connect connects to addr from where p runs.
func (p *process) connect(ctx context.Context, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	return p.at.dial(ctx, "tcp", addr)
}

// spawn starts a role as a process and stores its addresses in where.
func (w *world) spawn(ctx context.Context, at site, role string, spec, where any) (*process, error) {
	b, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	var stdin io.WriteCloser
	// Use our own pipe: Wait would close StdoutPipe while it is still being read.
	r, out, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	p, err := startWith(at, w.dir, strings.TrimPrefix(role, "@"), func(cmd *exec.Cmd) (err error) {
		cmd.Stdout = out
		stdin, err = cmd.StdinPipe()
		return err
	}, w.self, "bench", role)
	out.Close()
	if err != nil {
		return nil, err
	}
	p.stdin = stdin
	defer context.AfterFunc(ctx, func() { killGroup(p.pid()) })()
	stdin.Write(append(b, '\n')) // if this fails, so does the read
	line, err := bufio.NewReader(r).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, where)
	}
	if err != nil {
		p.stop()
		return nil, fmt.Errorf("start %s: %w; %s", p.name, err, p.lastOutput())
	}
	return p, nil
}

// find returns the path of a program, even if it is only in root's PATH.
func find(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return filepath.Abs(path)
	}
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin", "/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not installed", name)
}
