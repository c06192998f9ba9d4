package httpdoor

import (
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"tunnels/eagersocks"
	"tunnels/internal/code"
	"tunnels/internal/door"
	"tunnels/internal/socksaddr"
	"tunnels/internal/splice"
)

// rig is a front door that serves HTTP. The test acts as the targets.
type rig struct {
	ln     eagersocks.Listener
	ctx    context.Context
	cancel context.CancelFunc
	dial   Dial
	wg     sync.WaitGroup

	mu    sync.Mutex
	conns []*Conn // guarded by mu
	errs  []error // guarded by mu; errors returned by Serve
}

func newRig(t testing.TB, c *Config, dial Dial) *rig {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	read := door.FirstByte[*eagersocks.Request](New(*c))
	limits := door.Config{Timeout: c.HeadTimeout, Max: c.UnauthenticatedMax, Rejected: c.Rejected}
	r := &rig{ln: door.Listen(ln, read, limits), dial: dial}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.wg.Go(r.run)
	t.Cleanup(func() {
		r.cancel()
		r.ln.Close()
		r.wg.Wait()
	})
	return r
}

func (r *rig) run() {
	for {
		c, req, err := r.ln.Accept()
		if err != nil {
			return
		}
		web, ok := c.(*Conn)
		if !ok {
			r.wg.Go(func() { r.connect(c.(splice.Stream), req) })
			continue
		}
		r.mu.Lock()
		r.conns = append(r.conns, web)
		r.mu.Unlock()
		r.wg.Go(func() {
			err := web.Serve(r.ctx, r.dial)
			r.mu.Lock()
			r.errs = append(r.errs, err)
			r.mu.Unlock()
		})
	}
}

func (r *rig) connect(app splice.Stream, req *eagersocks.Request) {
	far, err := r.dial(r.ctx, req.Target)
	if err != nil {
		why, _ := code.Of(err)
		req.Refuse(why, err.Error())
		return
	}
	req.Reply()
	far.Write(req.Early())
	splice.Both(app, far.(splice.Stream), code.Cancelled, code.General)
}

// app connects an application.
func (r *rig) app(t testing.TB) *net.TCPConn {
	t.Helper()
	nc, err := net.Dial("tcp", r.ln.(interface{ Addr() net.Addr }).Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	c := nc.(*net.TCPConn)
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

// said returns all data that an application receives after sending say.
func (r *rig) said(t testing.TB, say string) string {
	t.Helper()
	c := r.app(t)
	if _, err := io.WriteString(c, say); err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(c)
	if err != nil {
		t.Errorf("application read %q, then %v; want a clean end", all, err)
	}
	return string(all)
}

// heard returns all data that an application receives after sending say and closing its
// direction.
func (r *rig) heard(t testing.TB, say string) string {
	t.Helper()
	c := r.app(t)
	io.WriteString(c, say)
	c.CloseWrite()
	all, err := io.ReadAll(c)
	if err != nil {
		t.Errorf("application read %q, then %v; want a clean end", all, err)
	}
	return string(all)
}

// step is one action by a target.
type step struct {
	dial   string // host that must be dialed first
	want   string // what the target must receive
	answer string // then sent by the target
	hangUp bool   // the target then closes its direction
}

// lines replaces \n by CR LF in a head or body.
func lines(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }

// script simulates targets that perform the steps in order.
type script struct {
	t     testing.TB
	steps []step
	conns chan net.Conn // dialed connections waiting for their step
	names chan string
	done  chan struct{}
}

// runScript starts a script. After its last step, dialing fails.
func runScript(t testing.TB, steps []step) *script {
	s := &script{t: t, steps: steps, conns: make(chan net.Conn, 10), names: make(chan string, 10), done: make(chan struct{})}
	go s.run()
	return s
}

func (s *script) dial(_ context.Context, target socksaddr.Address) (net.Conn, error) {
	near, far, err := connPair()
	if err != nil {
		return nil, err
	}
	s.names <- target.String()
	s.conns <- far
	return near, nil
}

func connPair() (net.Conn, net.Conn, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	defer ln.Close()
	near, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		return nil, nil, err
	}
	far, err := ln.Accept()
	return near, far, err
}

func (s *script) run() {
	defer close(s.done)
	var c net.Conn
	for i, st := range s.steps {
		if st.dial != "" {
			s.rest(c)
			select {
			case name := <-s.names:
				if c = <-s.conns; name != st.dial {
					s.t.Errorf("step %d: %s was dialed, want %s", i, name, st.dial)
				}
			case <-time.After(10 * time.Second):
				s.t.Errorf("step %d: %s was not dialed", i, st.dial)
				return
			}
			c.SetDeadline(time.Now().Add(20 * time.Second))
		}
		got := make([]byte, len(lines(st.want)))
		n, err := io.ReadFull(c, got)
		if string(got[:n]) != lines(st.want) {
			s.t.Errorf("step %d: target received %q (%v), want %q", i, got[:n], err, lines(st.want))
			c.Close()
			return
		}
		io.WriteString(c, lines(st.answer))
		if st.hangUp {
			c.(*net.TCPConn).CloseWrite()
		}
	}
	s.rest(c)
}

// rest checks that a target receives no more data.
func (s *script) rest(c net.Conn) {
	if c == nil {
		return
	}
	if more, err := io.ReadAll(c); len(more) > 0 || timedOut(err) {
		s.t.Errorf("target received extra data %q, %v", more, err)
	}
	c.Close()
}

// wait waits until all steps are done, and checks that no other target was dialed.
func (s *script) wait() {
	s.t.Helper()
	<-s.done
	select {
	case name := <-s.names:
		s.t.Errorf("%s was also dialed", name)
		(<-s.conns).Close()
	default:
	}
}
