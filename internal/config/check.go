package config

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"tunnels/internal/keytext"
	"tunnels/internal/netx"
	"tunnels/internal/rules"
	"tunnels/tls"
)

// derive sets values that depend on others.
func (c *Config) derive() {
	c.SLA.Default = !c.Given("sla.log.path")
	t := &c.Tunnel
	c.name()
	// Unlike values that are set, remux's own defaults stretch while a connection is busy.
	if !c.Given("remux.reuse.max.sec") {
		t.Remux.ReuseMaxAge = 0
	}
	if !c.Given("remux.reuse.max.cnt") {
		t.Remux.ReuseMaxCount = 0
	}
	// The server also listens on the plain network between client and server, so it
	// need not be set twice.
	if n := c.Carrier(); n != "tls" && !c.Given("server.net") {
		t.ServerNet = n
	}
	both := c.Server && c.Client
	t.Servers = nil
	if c.Client && !c.Server && t.ServerAddr != "" {
		for a := range strings.SplitSeq(t.ServerAddr, ",") {
			t.Servers = append(t.Servers, strings.TrimSpace(a))
		}
	}
	if both && t.ServerAddr == "" && t.ServerNet != "unix" {
		t.ServerAddr = "127.0.0.1:0"
		if t.ServerNet == "tcp6" {
			t.ServerAddr = "[::1]:0"
		}
	}
	for _, a := range c.clientAddrs {
		t.ClientAddrs = append(t.ClientAddrs, netx.ParseEndpoint(c.clientNet, a))
	}
	if t.ClientTLS.CA == "" && t.ClientTLS.Cert != "" {
		// If the file cannot be read, loading the certificate reports the error.
		if holds, err := tls.HoldsCA(t.ClientTLS.Cert); holds || err != nil {
			t.ClientTLS.CA = t.ClientTLS.Cert
		}
	}
	if t.ServerTLS.CA == "" {
		t.ServerTLS.CA = t.ClientTLS.CA
	}
	// If both ends run here and only this machine can reach the exit, there is no other
	// machine to protect.
	if both && !c.Given("server.allow") && netx.IsLoopback(t.ServerNet, t.ServerAddr) {
		_ = targets(&t.Allow, "server.allow")("all") // always valid
	}
}

// check reports invalid combinations of values that are valid on their own.
func (c *Config) check() error {
	var bad problems
	bad.add(c.checkNetworks())
	bad.add(c.checkServerAddr())
	if c.Client {
		bad.add(c.checkClientAddrs())
		bad.add(c.checkUsers())
	}
	c.checkCerts(&bad)
	c.checkRules(&bad)
	switch {
	case c.SLA.Path == "":
		bad.add(c.wrong("sla.log.path", "want a file, or - for standard error"))
	case isPEMFile(c.SLA.Path):
		bad.add(c.wrong("sla.log.path", "is a certificate or key (PEM), not a log"))
	}
	if c.SLA.DingTalkSecret != "" && c.SLA.DingTalkToken == "" {
		bad.add(c.wrong("sla.dingtalk.secret", "has no effect without -sla.dingtalk.token"))
	}
	return bad.err()
}

// checkNetworks checks that a plain carrier is the server's network.
func (c *Config) checkNetworks() error {
	n := c.Carrier()
	if n == "tls" || n == c.Tunnel.ServerNet {
		return nil
	}
	return c.wrong(c.carrierName(), "does not fit -server.net %s: want the same plain network for both, or tls", c.Tunnel.ServerNet)
}

// carrierName returns the name of the option that sets the carrier.
func (c *Config) carrierName() string {
	if c.Tunnel.EagerNet != "remux" {
		return "eagersocks.net"
	}
	return "remux.net"
}

func (c *Config) checkServerAddr() error {
	t := &c.Tunnel
	if t.ServerAddr == "" {
		switch {
		case t.ServerNet == "unix":
			return c.wrong("server.addr", "is missing: want the path of a socket file, as in /run/tunnels.sock")
		case c.Server:
			return c.wrong("server.addr", "is missing: want an address to listen on, as in :443")
		}
		return c.wrong("server.addr", "is missing: want the server's address, as in vps.example:443")
	}
	if !c.Server {
		return c.checkServers()
	}
	if t.ServerNet != "unix" && strings.Contains(t.ServerAddr, ",") {
		return c.wrong("server.addr", "a server listens on one address; only a client that is not also a server may have several")
	}
	if err := checkAddress(t.ServerNet, t.ServerAddr, listening); err != nil {
		return c.wrong("server.addr", "%v", err)
	}
	return c.checkClear(t.ServerAddr, "")
}

// serversMax is the maximum number of servers for a client.
const serversMax = 64

// checkServers checks a client's servers.
func (c *Config) checkServers() error {
	all := c.Tunnel.Servers
	if len(all) > serversMax {
		return c.wrong("server.addr", "names %d servers: want at most %d", len(all), serversMax)
	}
	seen := map[string]bool{}
	for i, a := range all {
		which := ""
		if len(all) > 1 {
			which = fmt.Sprintf("entry %d, %s: ", i+1, keytext.Quote(a))
		}
		switch err := checkAddress(c.Tunnel.ServerNet, a, dialing); {
		case a == "":
			return c.wrong("server.addr", "entry %d is empty: want one server between two commas", i+1)
		case err != nil:
			return c.wrong("server.addr", "%s%v", which, err)
		case seen[strings.ToLower(a)]:
			return c.wrong("server.addr", "%sis repeated: want each server once", which)
		}
		seen[strings.ToLower(a)] = true
		if err := c.checkClear(a, which); err != nil {
			return err
		}
	}
	return nil
}

// checkClear checks that no traffic leaves this machine without TLS.
func (c *Config) checkClear(address, which string) error {
	if n := c.Carrier(); n != "tls" && !c.Tunnel.Insecure && !netx.IsLoopback(n, address) {
		return c.wrong("server.addr", "%sanyone on the network path could read and change -%s %s traffic: want TLS, a loopback address, or -insecure", which, c.carrierName(), n)
	}
	return nil
}

// ServerAddrs returns the addresses of all servers of this process.
func (c *Config) ServerAddrs() []string {
	if len(c.Tunnel.Servers) > 0 {
		return c.Tunnel.Servers
	}
	return []string{c.Tunnel.ServerAddr}
}

// checkUsers checks that -client.users is a file, not a user's name and password.
func (c *Config) checkUsers() error {
	name, _, colon := strings.Cut(c.Tunnel.ClientUsers, ":")
	if _, err := os.Stat(c.Tunnel.ClientUsers); err == nil || !colon || len(name) < 2 { // C:\users is a path
		return nil
	}
	return &Error{Name: "client.users", Origin: c.origin("client.users"), Want: "is not a file: want one made by `tunnels users add FILE NAME`"}
}

func (c *Config) checkClientAddrs() error {
	all := c.Tunnel.ClientAddrs
	if c.clientNet == "unix" && !c.Given("client.addr") {
		return c.wrong("client.addr", "is not a path: -client.net unix needs -client.addr PATH")
	}
	if len(all) == 0 {
		return c.wrong("client.addr", "want host:port, as in 127.0.0.1:1080")
	}
	for _, e := range all {
		which := ""
		if len(all) > 1 {
			which = fmt.Sprintf("entry %s: ", keytext.Quote(e.String()))
		}
		if _, err := strconv.ParseUint(e.Address, 10, 16); err == nil && e.Network != "unix" {
			return c.wrong("client.addr", "entry %q: want the address too, as in 127.0.0.1:%[1]s", e.Address)
		}
		if err := checkAddress(e.Network, e.Address, listening); err != nil {
			return c.wrong("client.addr", "%s%v", which, err)
		}
		if slices.Contains(c.Tunnel.Servers, e.Address) {
			return c.wrong("client.addr", "%sis the same as -server.addr: -client.addr is where applications connect, on this machine, and the server's address belongs in -server.addr", which)
		}
		if !c.ClientOpen && c.Tunnel.ClientUsers == "" && c.isServers(e) {
			return c.wrong("client.addr", "%sdoes not seem to be an address of this machine: -client.addr is where applications connect, as in 127.0.0.1:1080, and the server's address belongs in -server.addr", which)
		}
		if !c.ClientOpen && c.Tunnel.ClientUsers == "" && !e.IsLoopback() {
			return c.wrong("client.addr", "%sother machines could use the tunnel: want a loopback address, as in 127.0.0.1:1080, or -client.users FILE, or -client.open", which)
		}
	}
	return nil
}

// isServers reports whether e, which the client would listen on, was probably meant for
// -server.addr: it is a name, or it is a remote address and -server.addr is a loopback
// address.
func (c *Config) isServers(e netx.Endpoint) bool {
	host, _, err := net.SplitHostPort(e.Address)
	if err != nil || e.Network == "unix" || host == "" || e.IsLoopback() || len(c.Tunnel.Servers) == 0 {
		return false
	}
	ip, err := netip.ParseAddr(host)
	swapped := netx.IsLoopback(c.Tunnel.ServerNet, c.Tunnel.Servers[0])
	return err != nil || swapped && !ip.IsUnspecified()
}

// checkCerts checks that each end of a TLS carrier has a certificate and a CA. It does
// not read the files.
func (c *Config) checkCerts(bad *problems) {
	if c.Carrier() != "tls" || c.Server && c.Client && !c.CertsGiven() {
		return
	}
	t := &c.Tunnel
	if c.Server {
		const fix = "`tunnels certs init NAME` makes it, where NAME is the name that clients connect to"
		if t.ServerTLS.Cert == "" {
			bad.add(c.wrong("tls.server.cert", "is missing: want the server's certificate; %s", fix))
		}
		if t.ServerTLS.CA == "" {
			bad.add(c.wrong("tls.server.ca", "is missing: want the CA that signs client certificates, without which this would be an open proxy; %s", fix))
		}
	}
	if c.Client {
		const fix = "`tunnels certs client NAME`, run where the server's CA is, makes one file for -tls.client.cert, .key and .ca"
		if t.ClientTLS.Cert == "" {
			bad.add(c.wrong("tls.client.cert", "is missing: want the client's certificate; %s", fix))
		}
		if t.ClientTLS.CA == "" && t.ClientTLS.Cert != "" {
			bad.add(c.wrong("tls.client.ca", "is missing: %s holds no CA; %s", t.ClientTLS.Cert, fix))
		}
	}
}

// checkRules checks that the rules file can be read.
func (c *Config) checkRules(bad *problems) {
	if !c.Server || c.Tunnel.Rules == "" {
		return
	}
	if _, err := rules.Read(c.Tunnel.Rules); err != nil {
		for _, p := range rules.Problems(err) {
			bad.add(c.wrong("server.rules", "%v", p))
		}
	}
}

// end returns the end that an option applies to: "server", "client", or "" for both.
func end(option string) string {
	switch {
	case option == "server.addr", option == "server.net", option == "server.dial.timeout.sec":
		return ""
	case option == "server.policy", option == "eagersocks.eager", strings.HasPrefix(option, "client."):
		return "client"
	case strings.HasPrefix(option, "server."):
		return "server"
	}
	return ""
}

// warn adds warnings about valid but questionable settings.
func (c *Config) warn() {
	add := func(format string, a ...any) { c.Warnings = append(c.Warnings, fmt.Sprintf(format, a...)) }
	for _, o := range c.all() {
		g := c.given[o.name]
		if o.secret && g.origin == commandLine && g.value != "" && !strings.HasPrefix(g.value, "@") {
			add("-%s: all users of this machine can see it with ps: give it as @FILE or in %s", o.name, envName(o.name))
		}
	}
	for _, o := range c.all() {
		if of := end(o.name); c.Given(o.name) && (of == "server" && !c.Server || of == "client" && !c.Client) {
			add("-%s has no effect: it applies only to a %s, which this process is not", o.name, of)
		}
	}
	t, carrier := &c.Tunnel, c.Carrier()
	for _, a := range c.ServerAddrs() {
		if carrier != "tls" && !netx.IsLoopback(carrier, a) {
			add("-insecure: TRAFFIC IS UNENCRYPTED AND UNAUTHENTICATED between client and %s: anyone on the network path can read and change it, and anyone can use the server", a)
		}
	}
	if c.Client && c.Given("server.policy") && len(t.Servers) < 2 {
		add("-server.policy %s has no effect: there is only one server", t.ServerChoice)
	}
	if c.Client {
		c.warnOpen(add)
	}
	if c.Given("remux.net") && t.EagerNet != "remux" {
		add("-remux.net %s has no effect, because -eagersocks.net is %s", t.RemuxNet, t.EagerNet)
	}
	if c.Given("remux.congestion") && t.ServerNet == "unix" {
		add("-remux.congestion %s has no effect, because -server.net is unix", t.Congestion)
	}
	if carrier != "tls" && c.Server && t.Rules != "" {
		add("-server.rules: without TLS clients have no names, so only the [*] block applies")
	}
	if carrier != "tls" && c.CertsGiven() {
		add("the -tls… options have no effect, because -%s is %s", c.carrierName(), carrier)
	}
}

// warnOpen adds warnings about client addresses that other machines can reach.
func (c *Config) warnOpen(add func(format string, a ...any)) {
	users := c.Tunnel.ClientUsers != ""
	for _, e := range c.Tunnel.ClientAddrs {
		switch {
		case e.IsLoopback():
		case users:
			add("-client.users: passwords are sent to %s unencrypted: anyone on the network path can read them", e)
		default:
			add("-client.open: anyone who can reach %s can use the tunnel", e)
		}
	}
	if users && c.ClientOpen {
		add("-client.open has no effect, because -client.users requires a password")
	}
}

// isPEMFile reports whether a file begins like a key or certificate, and so must not be
// overwritten.
func isPEMFile(path string) bool {
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return false
	}
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	begin := make([]byte, 4096)
	n, _ := io.ReadFull(f, begin)
	return keytext.IsPEM(string(begin[:n]))
}
