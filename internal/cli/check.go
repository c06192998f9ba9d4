package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"tunnels/eagersocks"
	"tunnels/internal/config"
	"tunnels/internal/keytext"
	"tunnels/internal/users"
	"tunnels/tls"
	"tunnels/tunnel"
)

// errFound is returned by check if a check failed.
var errFound = errors.New("one or more checks failed; see above")

// errTarget is returned by check if the tunnel works but the target cannot be reached.
var errTarget = errors.New("the exit did not reach the target; use -target to choose another")

// checkTarget is the default of -target.
const checkTarget = "example.com:443"

// check implements the verb check: it validates the configuration and the certificates,
// then tests the connections to the servers and through the exit.
func check(c call, args []string) error {
	if len(args) > 0 && (args[0] == "client" || args[0] == "server") {
		args = append([]string{"-" + args[0]}, args[1:]...)
	}
	args, target, offline, err := checkArgs(args)
	if err != nil {
		return err
	}
	cfg, err := config.Parse(args, c.environ)
	if err != nil {
		return err
	}
	for _, w := range cfg.Warnings {
		fmt.Fprintln(c.stdout, "warning:", w)
	}
	if !checkFiles(cfg, c.stdout) {
		return errFound
	}
	if offline {
		fmt.Fprintln(c.stdout, "ok: configuration and certificates are valid; the network was not tested")
		return nil
	}
	ctx, stop := signal.NotifyContext(c.ctx, os.Interrupt)
	defer stop()
	failed, err := checkConnections(ctx, cfg, target, c.stdout)
	switch {
	case err != nil || len(failed) == 0:
		return err
	case slices.ContainsFunc(failed, func(step string) bool { return step != "target" }):
		return errFound
	}
	return errTarget
}

// checkArgs removes check's own options from args.
func checkArgs(args []string) (rest []string, target string, offline bool, err error) {
	target = checkTarget
	for i := 0; i < len(args); i++ {
		name, value, given := strings.Cut(strings.TrimLeft(args[i], "-"), "=")
		switch {
		case !strings.HasPrefix(args[i], "-") || name != "offline" && name != "target":
			rest = append(rest, args[i])
		case name == "offline":
			offline = !given || value == "true"
		case given:
			target = value
		case i+1 < len(args):
			i++
			target = args[i]
		default:
			return nil, "", false, usagef("check: -target needs a value: want host:port")
		}
	}
	if looksLikeKey(target) {
		return nil, "", false, usagef("check: -target looks like a key: want host:port")
	}
	if _, err := eagersocks.ParseAddress(target); err != nil {
		return nil, "", false, usagef("check: -target %s: want host:port, as in example.com:443", keytext.Quote(target))
	}
	return rest, target, offline, nil
}

// checkFiles checks the files named by the configuration.
func checkFiles(cfg *config.Config, stdout io.Writer) bool {
	good := true
	for _, f := range checkCerts(cfg) {
		fmt.Fprintf(stdout, "%s: %s\n", f.Severity, f)
		good = good && f.Severity != tls.Fatal
	}
	if cfg.Client && cfg.Tunnel.ClientUsers != "" {
		if _, err := users.List(cfg.Tunnel.ClientUsers); err != nil {
			fmt.Fprintf(stdout, "%s: %v; `tunnels users add FILE NAME` creates a valid one\n", tls.Fatal, err)
			good = false
		}
	}
	return good
}

// checkConnections tests the connections that cfg's roles need, and returns the failed steps.
func checkConnections(ctx context.Context, cfg *config.Config, target string, stdout io.Writer) (failed []string, err error) {
	if cfg.Server && cfg.Client && !cfg.CertsGiven() && cfg.Carrier() == "tls" {
		fmt.Fprintln(stdout, "ok: both ends run in one process, with certificates generated in memory")
		return nil, nil
	}
	report := func(s tunnel.Step) {
		fmt.Fprintln(stdout, stepLine(s))
		if s.Failed {
			failed = append(failed, s.Name)
		}
	}
	if cfg.Server {
		fmt.Fprintf(stdout, "server on %s\n", cfg.Tunnel.ServerAddr)
		if _, err := tunnel.TryServer(ctx, cfg.Tunnel, target, report); err != nil {
			return nil, err
		}
	}
	if cfg.Client && !cfg.Server { // otherwise this process is its server
		for _, a := range cfg.ServerAddrs() {
			fmt.Fprintf(stdout, "client to %s\n", a)
			if _, err := tunnel.Try(ctx, cfg.Tunnel, a, target, report); err != nil {
				return nil, err
			}
		}
	}
	return failed, nil
}

// stepLine returns the line check prints for a step.
func stepLine(s tunnel.Step) string {
	verdict, took := "PASS", ""
	switch {
	case s.Failed:
		verdict = "FAIL"
	case s.Skipped:
		verdict = "SKIP"
	}
	if s.Took > 0 {
		took = fmt.Sprintf("%.1f ms", float64(s.Took)/float64(time.Millisecond))
	}
	return strings.TrimRight(fmt.Sprintf("%s  %-10s  %10s  %s", verdict, s.Name, took, s.Text), " ")
}

// checkCerts checks the certificates for the roles in cfg.
func checkCerts(cfg *config.Config) []tls.Finding {
	if cfg.Carrier() != "tls" || !cfg.CertsGiven() {
		return nil
	}
	var all []tls.Finding
	if cfg.Server {
		all = append(all, tls.Check(cfg.Tunnel.ServerTLS, tls.ServerRole, cfg.Tunnel.ServerAddr, time.Now())...)
	}
	if cfg.Client {
		for _, a := range cfg.ServerAddrs() {
			for _, f := range tls.Check(cfg.Tunnel.ClientTLS, tls.ClientRole, a, time.Now()) {
				if !slices.Contains(all, f) { // most apply to every server
					all = append(all, f)
				}
			}
		}
	}
	return all
}

// hostPort joins host and port, with brackets around an IPv6 address.
func hostPort(host, port string) string { return net.JoinHostPort(host, port) }
