package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"tunnels/internal/config"
	"tunnels/internal/loglines"
	"tunnels/remux"
	"tunnels/sla"
	"tunnels/tls"
	"tunnels/tunnel"
)

// drainMax is how long open connections may take to finish after the process is asked to
// stop.
const drainMax = 30 * time.Second

// process holds the roles of this process.
type process struct {
	cfg    *config.Config
	log    *sla.Logger
	lines  *loglines.Writer // logs the roles' events
	tasks  tasks
	client *tunnel.Client // also in tasks; nil if there is no client
	page   *http.Server   // test page for trial mode, else nil
	pageAt string
	wg     sync.WaitGroup
	ended  chan error // receives one value from each role that ends
	conf   []byte     // content of the configuration file at startup

	closing context.Context // canceled when close begins
	end     context.CancelFunc
}

// serve runs the process for one or both roles.
func serve(c call, args []string) error {
	cfg, err := config.Parse(args, c.environ)
	if err != nil {
		return err
	}
	surviveBrokenPipes()
	stdout, stderr := newScreen(c.stdout), newScreen(c.stderr)
	defer stdout.close()
	defer stderr.close()
	cfg.SLA.Stderr = c.stderr
	log, err := sla.New(cfg.SLA)
	if err != nil {
		return err
	}
	defer log.Close()
	sla.SetDefault(log)
	defer sla.SetDefault(nil)
	p := &process{cfg: cfg, log: log, lines: loglines.New(log), ended: make(chan error, 2)}
	p.conf, _ = os.ReadFile(cfg.File) // if it cannot be read, there is nothing to compare
	p.closing, p.end = context.WithCancel(context.Background())
	// Register before logging anything that could tell another program that the
	// process is running: Go ignores a SIGUSR1 if no channel is registered for it.
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, append(otherSignals, os.Interrupt, syscall.SIGTERM)...)
	defer signal.Stop(signals)
	findings := checkCerts(cfg)
	if err := p.listen(); err != nil {
		p.close()
		err = withFix(err, findings)
		if log.File() != "" { // otherwise it will be printed on the terminal
			log.Error("cannot start: %v", err)
		}
		return err
	}
	if err := notifyReady(c.environ); err != nil {
		log.Warn("telling systemd that tunnels is ready: %v", err)
	}
	p.greet(stdout)
	if log.File() != "" { // otherwise it will be printed on the terminal
		for _, w := range cfg.Warnings {
			fmt.Fprintln(stderr, "tunnels: warning:", w)
		}
		for _, f := range findings {
			fmt.Fprintf(stderr, "tunnels: %s: %s\n", f.Severity, f)
		}
	}
	p.logStart()
	err = p.run(c.ctx, signals, stdout, stderr)
	log.Info("stopped")
	return err
}

// withFix appends the fix suggested by the certificate check to an error.
func withFix(err error, findings []tls.Finding) error {
	for _, f := range findings {
		if f.Severity == tls.Fatal && f.Fix != "" && strings.Contains(err.Error(), f.Text) && !strings.Contains(err.Error(), f.Fix) {
			return fmt.Errorf("%w; %s", err, f.Fix)
		}
	}
	return err
}

// logStart logs the roles that were started, once startup can no longer fail.
func (p *process) logStart() {
	p.log.Info("%s started", versionLine())
	for _, w := range p.cfg.Warnings {
		p.log.Warn("%s", w)
	}
	for _, r := range p.tasks {
		p.log.Info("%s %s", r.name, r.begun)
	}
}

// listen creates the roles and their sockets, so that errors are found before serving
// begins.
func (p *process) listen() error {
	t := p.cfg.Tunnel
	t.Events = p.lines.Events()
	t.Remux.Budget = remux.NewBudget(t.Remux.BudgetMax) // shared by both roles
	if p.tryingOut() {
		server, client, err := tls.Throwaway()
		if err != nil {
			return err
		}
		t.ServerTLS.Material, t.ClientTLS.Material = server, client
		t.ClientTLS.ServerName = "localhost"
	}
	if p.cfg.Server {
		s, err := p.listenServer(t)
		if err != nil {
			return err
		}
		t.ServerAddr = dialable(s.Addr())
	}
	if p.cfg.Client {
		if err := p.listenClient(t); err != nil {
			return err
		}
	}
	if p.tryingOut() {
		return p.listenPage()
	}
	return nil
}

func (p *process) listenServer(t tunnel.Config) (*tunnel.Server, error) {
	s, err := tunnel.NewServer(t)
	if err != nil {
		return nil, fileError{err}
	}
	files := "certificates"
	if t.Rules != "" {
		files += " and rules"
	}
	p.tasks = append(p.tasks, task{Role: s, name: "server", files: files})
	if err := s.Listen(); err != nil {
		return nil, serverListenError(err, t.ServerNet, t.ServerAddr)
	}
	p.tasks[len(p.tasks)-1].begun = fmt.Sprintf("listening on %s", s.Addr())
	return s, nil
}

func (p *process) listenClient(t tunnel.Config) error {
	c, err := tunnel.NewClient(t)
	if err != nil {
		return fileError{err}
	}
	p.client = c
	files := "certificates"
	if t.ClientUsers != "" {
		files += " and users"
	}
	p.tasks = append(p.tasks, task{Role: c, name: "client", files: files})
	if err := c.Listen(); err != nil {
		return clientListenError(err)
	}
	p.tasks[len(p.tasks)-1].begun = fmt.Sprintf("listening on %s, server %s", listed(c.Addrs(), ", "), c.ServerAddrs())
	return nil
}

// dialable returns an address at which one of this process's listeners can be reached:
// loopback if it listens on all addresses.
func dialable(a net.Addr) string {
	tcp, ok := a.(*net.TCPAddr)
	if !ok || !tcp.IP.IsUnspecified() {
		return a.String()
	}
	loopback := "::1"
	if tcp.IP.To4() != nil {
		loopback = "127.0.0.1"
	}
	return net.JoinHostPort(loopback, strconv.Itoa(tcp.Port))
}

// tryingOut reports whether this is trial mode: both roles run and no certificates are
// configured.
func (p *process) tryingOut() bool {
	return p.cfg.Server && p.cfg.Client && !p.cfg.CertsGiven() && p.cfg.Carrier() == "tls"
}

// listenPage serves a page on loopback, so that there is something to load through the
// tunnel even without Internet access.
func (p *process) listenPage() error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("test page: %w", err)
	}
	p.pageAt = "http://" + ln.Addr().String() + "/"
	p.page = &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "It works: this page came through the tunnel.")
	})}
	p.wg.Go(func() { p.page.Serve(ln) })
	return nil
}

func listed(addrs []net.Addr, between string) string {
	var all []string
	for _, a := range addrs {
		all = append(all, a.String())
	}
	return strings.Join(all, between)
}

// run serves until ctx ends, a signal stops it, or a role fails.
func (p *process) run(ctx context.Context, signals <-chan os.Signal, stdout, stderr io.Writer) error {
	p.tasks.serve(&p.wg, p.ended)
	if p.client != nil {
		p.wg.Go(func() { p.greetContact(stdout) })
	}
	for {
		select {
		case err := <-p.ended:
			p.close()
			return err
		case <-ctx.Done():
			p.close()
			return nil
		case sig := <-signals:
			if !isStop(sig) {
				p.other(sig)
				continue
			}
			text := fmt.Sprintf("stopping; open connections have %s to finish; a second signal closes them immediately", drainMax)
			p.log.Info("%s: %s", sig, text)
			if p.log.File() != "" { // otherwise it has just been printed on the terminal
				fmt.Fprintln(stderr, "tunnels:", text)
			}
			p.end()
			p.stop(signals)
			return nil
		}
	}
}

func isStop(sig os.Signal) bool { return sig == os.Interrupt || sig == syscall.SIGTERM }

// stop lets open connections finish until the time limit or another signal.
func (p *process) stop(signals <-chan os.Signal) {
	ctx, cancel := context.WithTimeoutCause(context.Background(), drainMax, fmt.Errorf("not finished within %s", drainMax))
	defer cancel()
	drained := make(chan struct{})
	p.wg.Go(func() {
		defer close(drained)
		p.tasks.shutdown(ctx, func(name string, err error) {
			if ctx.Err() != context.Canceled {
				p.log.Warn("%s stopped with sessions cut off: %v", name, err)
			}
		})
	})
	for {
		select {
		case <-drained:
			p.close()
			return
		case sig := <-signals:
			if isStop(sig) {
				p.log.Warn("%s again: stopping now", sig)
				cancel()
				p.close()
				return
			}
		}
	}
}

// close stops everything still running without delay, and waits for it to end.
func (p *process) close() {
	p.end()
	p.tasks.close()
	if p.page != nil {
		p.page.Close()
	}
	p.wg.Wait()
	p.lines.Close()
}

// reload reloads the certificates, the rules and the users, but not the options.
func (p *process) reload() {
	if now, err := os.ReadFile(p.cfg.File); err == nil && !bytes.Equal(now, p.conf) {
		p.log.Warn("%s has changed: options are read only at startup; restart tunnels to apply them", p.cfg.File)
	}
	for _, r := range p.tasks {
		if err := r.Reload(); err != nil {
			p.log.Error("%s: reloading %s failed: %v; keeping the previous ones", r.name, r.files, err)
			continue
		}
		p.log.Info("%s: reloaded %s", r.name, r.files)
	}
}
