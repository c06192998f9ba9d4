package bench

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"tunnels/internal/bench/load"
	"tunnels/internal/bench/report"
	"tunnels/internal/bench/role"
	"tunnels/internal/netpath"
)

// world holds the state shared by all systems of a run.
type world struct {
	dir       string // temporary files; removed at the end
	self      string // path of this program, for the roles
	tunnels   string // path of the program measured as ours
	origin    role.OriginAddrs
	pipelined bool // dialers do not wait for the reply to the greeting
	idle      int  // number of sessions in the idle case

	congestion string // congestion control on paths, or empty for the kernel's default
}

// system is one way to get from the load to the origin.
type system struct {
	name    string
	direct  bool         // no proxy, so no processes and no line
	oneHop  bool         // a single process, or one we did not start, so no line can be inserted
	running bool         // already running, not started by us, so we cannot restart it
	missing func() error // returns why it cannot be measured here, or nil if it can
	start   func(ctx context.Context, w *world, l role.Link, oneConn bool, r *run) error
}

// run is a running system.
type run struct {
	dialer    load.Dialer
	path      *netpath.Path    // between the two ends, or nil if none
	near, far site             // of the load and the near end; of the far end and the origin
	origin    role.OriginAddrs // as the far end reaches it
	pids      []int            // processes to measure; if empty, CPU time and memory are unknown
	procs     []*process       // every process started, including the relay
}

func (r *run) stop() {
	for i := len(r.procs) - 1; i >= 0; i-- { // stop the near end first
		r.procs[i].stop()
	}
	if r.path != nil {
		r.path.Close()
	}
}

// launch starts the system for a case, and the path if the case has one. Which packets are
// lost on it depends on the repetition but not on the system.
func (s *system) launch(ctx context.Context, w *world, c *caseOf, rep int) (*run, error) {
	r := &run{dialer: load.Dialer{Pipelined: w.pipelined}, origin: w.origin}
	var err error
	if c.path != nil {
		err = r.startPath(ctx, w, *c.path, uint64(rep))
	}
	if err == nil {
		err = s.start(ctx, w, c.link, c.oneConn, r)
	}
	if err != nil {
		r.stop()
		return nil, err
	}
	return r, nil
}

// startPath starts a path, and an origin at its far end.
func (r *run) startPath(ctx context.Context, w *world, c netpath.Config, seed uint64) (err error) {
	c.Seed = seed
	if r.path, err = netpath.New(c); err != nil {
		return err
	}
	r.near, r.far = site{r.path.Left}, site{r.path.Right}
	r.dialer.Connect = r.near.dial
	if w.congestion != "" {
		if err := r.path.SetCongestion(w.congestion); err != nil {
			return err
		}
	}
	p, err := w.spawn(ctx, r.far, role.Origin, r.far.host(), &r.origin)
	if err != nil {
		return err
	}
	r.add(p, false)
	return nil
}

// suits reports whether the system can run a case.
func (s *system) suits(c *caseOf) bool {
	switch {
	case c.link.RTT != 0 && (s.direct || s.oneHop), c.path != nil && s.oneHop, s.direct && c.proxied, s.running && c.fresh:
		return false
	case c.oneConn && s.name == oursUnlimited:
		return false // our client uses one conn there anyway
	}
	return true
}

// add adds a process to the run; if tested is set, its CPU time and memory count.
func (r *run) add(p *process, tested bool) {
	r.procs = append(r.procs, p)
	if tested {
		r.pids = append(r.pids, p.pid())
	}
}

// line puts a relay in front of target if the case needs one, and returns the address
// to connect to.
func (r *run) line(ctx context.Context, w *world, l role.Link, target string) (string, error) {
	if l.RTT == 0 {
		return target, nil
	}
	var at string
	p, err := w.spawn(ctx, site{}, role.Relay, role.RelaySpec{Link: l, Listen: role.FreeAddr(), Target: target}, &at)
	if err != nil {
		return "", err
	}
	r.add(p, false)
	return at, nil
}

// Names of the systems compared in the report.
const (
	ours          = report.Ours
	oursUnlimited = report.OursUnlimited
	reference     = report.Reference
)

// allSystems returns every system this program can start.
func allSystems() []*system {
	return []*system{
		{name: ours, start: startOurs(false)},
		{name: oursUnlimited, start: startOurs(true)},
		{name: "direct", direct: true, start: func(context.Context, *world, role.Link, bool, *run) error { return nil }},
		{name: reference, start: startReference},
		{name: "ssh", missing: sshMissing, start: startSSH},
		{name: "microsocks", oneHop: true, start: startMicrosocks, missing: func() error {
			_, err := find("microsocks")
			return err
		}},
	}
}

// startOurs starts both ends of ours; if unlimited is set, one conn carries everything.
func startOurs(unlimited bool) func(context.Context, *world, role.Link, bool, *run) error {
	return func(ctx context.Context, w *world, l role.Link, oneConn bool, r *run) error {
		certs := filepath.Join(w.dir, "certs")
		if _, err := os.Stat(certs); err != nil {
			if out, err := exec.CommandContext(ctx, w.tunnels, "certs", "init", "-dir", certs, "127.0.0.1", netpath.RightAddr).CombinedOutput(); err != nil {
				return fmt.Errorf("tunnels certs init: %w: %s", err, out)
			}
		}
		pem := func(name string) string { return filepath.Join(certs, name) }
		at := r.far.freeAddr()
		server, err := startProcess(r.far, w.dir, "server", w.tunnels, "-server", "-server.addr", at, "-server.allow", "all",
			"-tls.server.cert", pem("server.pem"), "-tls.server.key", pem("server.key"), "-tls.server.ca", pem("ca.pem"),
			"-sla.log.path", filepath.Join(w.dir, "server.log"))
		if err != nil {
			return err
		}
		r.add(server, true)
		if err := server.listening(ctx, at); err != nil {
			return err
		}
		if at, err = r.line(ctx, w, l, at); err != nil {
			return err
		}
		r.dialer.Proxy = role.FreeAddr()
		args := []string{w.tunnels, "-client", "-client.addr", r.dialer.Proxy, "-server.addr", at,
			"-tls.client.cert", pem("client.pem"), "-tls.client.key", pem("client.pem"), "-tls.client.ca", pem("client.pem"),
			"-sla.log.path", filepath.Join(w.dir, "client.log")}
		if unlimited || oneConn {
			args = append(args, "-remux.reuse.max.cnt=32768", "-remux.reuse.max.sec=86400")
		}
		client, err := startProcess(r.near, w.dir, "client", args...)
		if err != nil {
			return err
		}
		r.add(client, true)
		return client.listening(ctx, r.dialer.Proxy)
	}
}

// startReference starts both ends of the reference.
func startReference(ctx context.Context, w *world, l role.Link, _ bool, r *run) error {
	var back role.TLSBackAddrs
	p, err := w.spawn(ctx, r.far, role.TLSBack, r.far.freeAddr(), &back)
	if err != nil {
		return err
	}
	r.add(p, true)
	if back.Addr, err = r.line(ctx, w, l, back.Addr); err != nil {
		return err
	}
	var front role.TLSBackAddrs
	p, err = w.spawn(ctx, r.near, role.TLSFront, role.TLSFrontSpec{Addr: role.FreeAddr(), Back: back}, &front)
	if err != nil {
		return err
	}
	r.add(p, true)
	r.dialer.Proxy = front.Addr
	return nil
}

func startMicrosocks(ctx context.Context, w *world, _ role.Link, _ bool, r *run) error {
	path, err := find("microsocks")
	if err != nil {
		return err
	}
	r.dialer.Proxy = role.FreeAddr()
	host, port, err := splitAddr(r.dialer.Proxy)
	if err != nil {
		return err
	}
	p, err := startProcess(r.near, w.dir, "microsocks", path, "-i", host, "-p", port)
	if err != nil {
		return err
	}
	r.add(p, true)
	return p.listening(ctx, r.dialer.Proxy)
}

// foreign returns a proxy that is already running, given as
// socks5://[user:password@]host:port.
func foreign(text string) (*system, error) {
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "socks5" && u.Scheme != "socks5h") || u.Port() == "" || u.Hostname() == "" {
		return nil, errors.New("-vs: want socks5://host:port") // don't quote it: it may contain a password
	}
	s := &system{name: u.Host, oneHop: true, running: true}
	s.start = func(ctx context.Context, w *world, _ role.Link, _ bool, r *run) error {
		password, _ := u.User.Password()
		r.dialer.Proxy, r.dialer.User, r.dialer.Password = u.Host, u.User.Username(), password
		if pid, err := listenerOf(u.Host); err == nil {
			r.pids = []int{pid}
		}
		return nil
	}
	s.missing = func() error {
		ctx, cancel := context.WithTimeoutCause(context.Background(), 3*time.Second, errors.New("no connection within 3 s"))
		defer cancel()
		c, err := (&load.Dialer{}).Dial(ctx, u.Host)
		if err != nil {
			return err
		}
		return c.Close()
	}
	return s, nil
}
