// Package trial tests the path from a client to a target step by step and reports which step
// fails. Neither a client nor, for RunServer, a server needs to be running, and running ones
// are not disturbed.
package trial

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"tunnels/eagersocks"
	"tunnels/internal/code"
	"tunnels/internal/netx"
	"tunnels/internal/splice"
	"tunnels/internal/upstream"
	"tunnels/remux"
	"tunnels/tls"
)

// Step is the result of one step on the path to a target.
type Step struct {
	Name    string        // resolve, connect, congestion, tls, round trip, exit or target
	Took    time.Duration // 0 if nothing was measured
	Text    string        // the result, or why the step failed and how to fix it
	Failed  bool
	Skipped bool // not tried because an earlier step failed
}

// replyGrace is added to the target's timeout to allow for the reply's travel time.
const replyGrace = 5 * time.Second

// Config describes the path to test.
type Config struct {
	Network, Address string             // of the server
	TLS              *tls.Client        // nil without TLS; Run sets its DialLower
	Mux              bool               // requests are remux sessions
	Remux            remux.Config       // configuration of the conn
	Target           eagersocks.Address // requested from the exit
	Timeout          time.Duration      // for each step
	Congestion       netx.Congestion    // of the connection to the server

	// Allow and Rules are the names messages use for the server's allow list and rules
	// file. Either may be empty.
	Allow, Rules string
}

// Run performs the steps from the server's address to the target and reports whether all
// succeeded. It calls report after each step. Each step is limited by its timeout and by
// ctx.
func Run(ctx context.Context, cfg Config, report func(Step)) bool {
	t := &trial{cfg: cfg, report: report}
	t.left = []string{"resolve", "connect", "tls", "round trip", "exit", "target"}
	t.run(ctx)
	for _, name := range t.left {
		if name != "tls" || cfg.TLS != nil {
			report(Step{Name: name, Skipped: true})
		}
	}
	return !t.failed
}

const (
	lookEvery = 10 * time.Millisecond // interval for checking the state of a new conn
	leaveMax  = time.Second           // time limit for ending the conn cleanly
)

// trial is one call to Run, whose goroutine owns it.
type trial struct {
	cfg     Config
	report  func(Step)
	left    []string      // steps not yet reported
	took    time.Duration // time taken to connect
	secured time.Duration // time taken by the TLS handshake
	failed  bool
}

// emit reports a step and removes it, and any before it, from left.
func (t *trial) emit(s Step) {
	for i, name := range t.left {
		if name == s.Name {
			t.left = t.left[i+1:]
			break
		}
	}
	t.failed = t.failed || s.Failed
	t.report(s)
}

// done reports a step that succeeded.
func (t *trial) done(name string, took time.Duration, format string, a ...any) {
	t.emit(Step{Name: name, Took: took, Text: fmt.Sprintf(format, a...)})
}

// fail reports a step that failed.
func (t *trial) fail(name string, took time.Duration, err error) {
	t.emit(Step{Name: name, Took: took, Text: err.Error() + upstream.Hint(err), Failed: true})
}

// run performs the steps until one fails.
func (t *trial) run(ctx context.Context) {
	if !t.resolve(ctx) {
		return
	}
	conn := t.connect(ctx)
	if conn == nil {
		return
	}
	defer conn.Close()
	if !t.cfg.Mux {
		t.request(ctx, conn.(splice.Stream), func() {
			t.certificate(conn)
			t.done("round trip", t.took, "the time it took to connect")
		})
		return
	}
	conf := t.cfg.Remux
	conf.Dial = once(conn)
	conf.Hooks = nil
	pool := conf.NewPool(t.cfg.Network, t.cfg.Address)
	defer t.leave(pool)
	if !t.measure(ctx, pool, conn) {
		return
	}
	ctx, cancel := t.limit(ctx)
	defer cancel()
	s, err := pool.Open(ctx)
	if err != nil {
		t.fail("exit", 0, err)
		return
	}
	t.request(ctx, s, func() {})
}

// leave ends the conn cleanly, so that the server's log shows no failure.
func (t *trial) leave(pool *remux.Pool) {
	ctx, cancel := context.WithTimeout(context.Background(), leaveMax)
	defer cancel()
	_ = pool.Shutdown(ctx) // a failure to end cleanly does not matter
}

// limit returns a context with the timeout of one step.
func (t *trial) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	limit := t.cfg.Timeout
	return context.WithTimeoutCause(ctx, limit, silence(limit))
}

// silence is the error for a step that got no reply within this time.
type silence time.Duration

// Error implements error.
func (s silence) Error() string { return fmt.Sprintf("no response within %s", time.Duration(s)) }

// Timeout returns true, which makes silence a timeout as defined by package net.
func (s silence) Timeout() bool { return true }

// resolve looks up the server's name, which connect will look up again.
func (t *trial) resolve(ctx context.Context) bool {
	host, _, err := net.SplitHostPort(t.cfg.Address)
	if _, noIP := netip.ParseAddr(host); err != nil || noIP == nil || !strings.HasPrefix(t.cfg.Network, "tcp") {
		t.done("resolve", 0, "%s is an address", t.cfg.Address)
		return true
	}
	ctx, cancel := t.limit(ctx)
	defer cancel()
	begin := time.Now()
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip"+strings.TrimPrefix(t.cfg.Network, "tcp"), host)
	if err != nil {
		t.fail("resolve", time.Since(begin), err)
		return false
	}
	var all []string
	for _, ip := range ips {
		all = append(all, ip.Unmap().String())
	}
	t.done("resolve", time.Since(begin), "%s", strings.Join(all, ", "))
	return true
}

// connect dials the server, performs the TLS handshake, and returns the connection or nil if
// that failed. The success of TLS is reported later by certificate, because with TLS 1.3 a
// server refuses a client's certificate after the handshake.
func (t *trial) connect(ctx context.Context) net.Conn {
	ctx, cancel := t.limit(ctx)
	defer cancel()
	sockets := upstream.NewDialer(netx.Config{Carrier: t.cfg.Mux}.Dialer(0), t.cfg.Timeout)
	begin := time.Now()
	lower := func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := sockets.Dial(ctx, network, address)
		t.took = time.Since(begin)
		if err != nil {
			t.fail("connect", t.took, err)
			return nil, err
		}
		t.done("connect", t.took, "%s", conn.RemoteAddr())
		t.congestion(conn)
		return conn, nil
	}
	if t.cfg.TLS == nil {
		conn, err := lower(ctx, t.cfg.Network, t.cfg.Address)
		if err != nil {
			return nil
		}
		return conn
	}
	t.cfg.TLS.DialLower = lower
	conn, err := t.cfg.TLS.Dial(ctx, t.cfg.Network, t.cfg.Address)
	t.secured = time.Since(begin) - t.took
	if err != nil {
		if !t.failed {
			t.fail("tls", t.secured, err)
		}
		return nil
	}
	return conn
}

// certificate reports that TLS, if used, succeeded, and how long the certificates
// remain valid.
func (t *trial) certificate(conn net.Conn) {
	if c, ok := conn.(*tls.Conn); ok {
		t.done("tls", t.secured, "certificate of %s, %s left; this client's, %s left", c.PeerName(), days(c.PeerNotAfter()), days(t.cfg.TLS.NotAfter()))
	}
}

// days returns the number of days until t, in words.
func days(until time.Time) string {
	n := int(time.Until(until).Hours() / 24)
	if n == 1 {
		return "1 day"
	}
	return fmt.Sprintf("%d days", n)
}

// measure waits until the server has accepted the conn and answered a PING.
func (t *trial) measure(ctx context.Context, pool *remux.Pool, conn net.Conn) bool {
	ctx, cancel := t.limit(ctx)
	defer cancel()
	begin := time.Now()
	pool.Warm()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	var up time.Time
	for {
		state, err := pool.Health()
		rtt, measured := pool.RTT()
		switch {
		case measured:
			t.certificate(conn)
			t.done("round trip", rtt, "")
			return true
		case state == remux.Up && up.IsZero():
			up = time.Now()
			pool.Probe()
		case state == remux.Up && time.Since(up) > upstream.PongMax:
			t.certificate(conn)
			t.done("round trip", 0, "not measured: the server does not answer PINGs")
			return true
		case state != remux.Up && state != remux.Unknown && err != nil:
			t.unanswered(conn, time.Since(begin), err)
			return false
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.unanswered(conn, time.Since(begin), context.Cause(ctx))
			return false
		}
	}
}

// unanswered reports why the server sent no reply on a conn: it refused this client's
// certificate, or it is not a tunnels server.
func (t *trial) unanswered(conn net.Conn, waited time.Duration, err error) {
	if t.uncertified(err) {
		return
	}
	t.certificate(conn)
	t.fail("round trip", waited, err)
}

// uncertified checks whether err means that the server refused this client's certificate. If
// so, it reports TLS as failed and returns true.
func (t *trial) uncertified(err error) bool {
	_, refused := errors.AsType[*tls.CertificateError](err)
	if refused {
		t.fail("tls", t.secured, err)
	}
	return refused
}

// request makes one request and waits for the exit's reply. It calls replied before
// reporting, unless the server refused this client's certificate.
func (t *trial) request(ctx context.Context, s splice.Stream, replied func()) {
	defer splice.Abort(s, code.Cancelled, "")
	r := eagersocks.Request{Command: eagersocks.Connect, Target: t.cfg.Target, ReplyWanted: true}
	b, err := r.AppendBinary(nil)
	if err != nil {
		t.fail("exit", 0, err)
		return
	}
	stop := context.AfterFunc(ctx, func() { _ = s.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	begin := time.Now()
	_ = s.SetDeadline(begin.Add(t.cfg.Timeout + replyGrace))
	why := code.OK
	if _, err = s.Write(b); err == nil {
		why, err = eagersocks.ReadReply(s)
	}
	took := time.Since(begin)
	if t.uncertified(err) {
		return
	}
	replied()
	if err != nil {
		t.fail("exit", took, fmt.Errorf("no reply to a request: %w", err))
		return
	}
	t.done("exit", took, "answers requests")
	if why == code.OK {
		t.done("target", took, "%s reached", t.cfg.Target)
		return
	}
	t.emit(Step{Name: "target", Took: took, Failed: true, Text: fmt.Sprintf("%s: %s%s; the tunnel itself works", t.cfg.Target, why, t.targetHint(why))})
}

// targetHint returns a likely cause of the target's failure, or "".
func (t *trial) targetHint(why code.Code) string {
	switch why {
	case code.NotAllowed:
		return fmt.Sprintf(" (see the server's %s and %s)", cmp.Or(t.cfg.Allow, "allow list"), cmp.Or(t.cfg.Rules, "rules file"))
	case code.HostUnreachable:
		return " (the server's resolver does not know the name, or there is no route to it)"
	case code.NetUnreachable:
		return " (the server has no route to it)"
	}
	return ""
}

// once returns a dial function that returns conn the first time and fails after that.
func once(conn net.Conn) func(context.Context, string, string) (net.Conn, error) {
	given := make(chan net.Conn, 1)
	given <- conn
	return func(context.Context, string, string) (net.Conn, error) {
		select {
		case c := <-given:
			return c, nil
		default:
			return nil, errors.New("the server ended the connection")
		}
	}
}
