package main

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"tunnels/config"
	"tunnels/eagersocks"
	"tunnels/tls"
)

// errFound is what check ends with when something has to be mended.
var errFound = errors.New("the configuration cannot work as it is")

// check is the verb of that name: it says what is wrong with the configuration
// and the certificates, and what mends it. It opens no socket.
func check(c call, args []string) error {
	stdout := c.stdout
	if len(args) > 0 && (args[0] == "client" || args[0] == "server") {
		args = append([]string{"-" + args[0]}, args[1:]...)
	}
	cfg, err := config.Parse(args, c.environ)
	if err != nil {
		return err
	}
	for _, w := range cfg.Warnings {
		fmt.Fprintln(stdout, "warning:", w)
	}
	bad := false
	for _, f := range checkCerts(cfg) {
		fmt.Fprintf(stdout, "%s: %s\n", f.Severity, f)
		bad = bad || f.Severity == tls.Fatal
	}
	if cfg.Client && cfg.Tunnel.ClientUsers != "" {
		if _, err := eagersocks.ListUsers(cfg.Tunnel.ClientUsers); err != nil {
			fmt.Fprintf(stdout, "%s: %v; `tunnels users add FILE NAME` makes a right one\n", tls.Fatal, err)
			bad = true
		}
	}
	if bad {
		return errFound
	}
	fmt.Fprintln(stdout, "ok: the configuration and the certificates; the network was not tried")
	return nil
}

// checkCerts looks at the certificates of the roles that cfg has.
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
				if !slices.Contains(all, f) { // most are not about one server
					all = append(all, f)
				}
			}
		}
	}
	return all
}

// hostPort is the address of host at port; an IPv6 address in brackets.
func hostPort(host, port string) string { return net.JoinHostPort(host, port) }
