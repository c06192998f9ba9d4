package config

import (
	"fmt"
	"strings"

	"tunnels/internal/netx"
)

// derive fills in what follows from what was given.
func (c *Config) derive() {
	t := &c.Tunnel
	// A plain network between client and server is the one the server listens
	// on, so it need not be said twice.
	if n := c.Carrier(); n != "tls" && !c.Given("server.net") {
		t.ServerNet = n
	}
	both := c.Server && c.Client
	if both && t.ServerAddr == "" && t.ServerNet != "unix" {
		t.ServerAddr = "127.0.0.1:0"
		if t.ServerNet == "tcp6" {
			t.ServerAddr = "[::1]:0"
		}
	}
	if t.ServerTLS.CA == "" {
		t.ServerTLS.CA = t.ClientTLS.CA
	}
	// With both ends here and nobody else able to reach the exit, there is no
	// second machine to protect.
	if both && !c.Given("server.allow") && netx.IsLoopback(t.ServerNet, t.ServerAddr) {
		t.Allow = []string{"all"}
	}
}

// check finds what is wrong with values that are right by themselves.
func (c *Config) check() error {
	var bad problems
	bad.add(c.checkNetworks())
	bad.add(c.checkServerAddr())
	if c.Client {
		bad.add(c.checkClientAddr())
	}
	c.checkCerts(&bad)
	if c.SLA.Path == "" {
		bad.add(c.wrong("sla.log.path", "want a file, or - for standard error"))
	}
	if c.SLA.DingTalkSecret != "" && c.SLA.DingTalkToken == "" {
		bad.add(c.wrong("sla.dingtalk.secret", "is of no use without -sla.dingtalk.token"))
	}
	return bad.err()
}

// checkNetworks: if the carrier is a plain network, it is the server's.
func (c *Config) checkNetworks() error {
	n := c.Carrier()
	if n == "tls" || n == c.Tunnel.ServerNet {
		return nil
	}
	return c.wrong(c.carrierName(), "does not fit -server.net %s: want the same plain network for both, or tls", c.Tunnel.ServerNet)
}

// carrierName is the option that decides about the carrier.
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
			return c.wrong("server.addr", "is missing: want where to listen, as in :443")
		}
		return c.wrong("server.addr", "is missing: want the server to reach, as in vps.example:443")
	}
	u := listening
	if !c.Server {
		u = dialling
	}
	if err := checkAddress(t.ServerNet, t.ServerAddr, u); err != nil {
		return c.wrong("server.addr", "%v", err)
	}
	if n := c.Carrier(); n != "tls" && !t.Insecure && !netx.IsLoopback(n, t.ServerAddr) {
		return c.wrong("server.addr", "anybody on the way could read and change what -%s %s carries: want TLS, a loopback address, or -insecure", c.carrierName(), n)
	}
	return nil
}

func (c *Config) checkClientAddr() error {
	t := &c.Tunnel
	if t.ClientNet == "unix" && !c.Given("client.addr") {
		return c.wrong("client.addr", "is no path: -client.net unix wants -client.addr PATH")
	}
	if err := checkAddress(t.ClientNet, t.ClientAddr, listening); err != nil {
		return c.wrong("client.addr", "%v", err)
	}
	if !c.ClientOpen && !netx.IsLoopback(t.ClientNet, t.ClientAddr) {
		return c.wrong("client.addr", "other machines could use the tunnel: want a loopback address, as in 127.0.0.1:1080, or -client.open")
	}
	return nil
}

// checkCerts: each end of a TLS carrier has a certificate and a CA. What is in
// the files is not looked at here.
func (c *Config) checkCerts(bad *problems) {
	if c.Carrier() != "tls" || c.Server && c.Client && !c.CertsGiven() {
		return
	}
	t := &c.Tunnel
	if c.Server {
		const mend = "`tunnels certs init NAME` makes it, where NAME is how clients reach the server"
		if t.ServerTLS.Cert == "" {
			bad.add(c.wrong("tls.server.cert", "is missing: want the server's certificate; %s", mend))
		}
		if t.ServerTLS.CA == "" {
			bad.add(c.wrong("tls.server.ca", "is missing: want the CA of the clients, without which this would be an open proxy; %s", mend))
		}
	}
	if c.Client {
		const mend = "`tunnels certs client NAME`, where the server's CA is, makes one file that serves as all of -tls.client.cert, .key and .ca"
		if t.ClientTLS.Cert == "" {
			bad.add(c.wrong("tls.client.cert", "is missing: want the client's certificate; %s", mend))
		}
		if t.ClientTLS.CA == "" {
			bad.add(c.wrong("tls.client.ca", "is missing: want the CA of the server; %s", mend))
		}
	}
}

// warn says what works and should be known.
func (c *Config) warn() {
	add := func(format string, a ...any) { c.Warnings = append(c.Warnings, fmt.Sprintf(format, a...)) }
	for _, o := range c.all() {
		g := c.given[o.name]
		if o.secret && g.origin == commandLine && g.value != "" && !strings.HasPrefix(g.value, "@") {
			add("-%s: everybody on this machine sees it with ps: give it as @FILE or in %s", o.name, envName(o.name))
		}
	}
	t, carrier := &c.Tunnel, c.Carrier()
	if carrier != "tls" && !netx.IsLoopback(carrier, t.ServerAddr) {
		add("-insecure: NOTHING IS ENCRYPTED and nobody is asked who he is between client and %s: anybody on the way can read and change it, anybody can use the server", t.ServerAddr)
	}
	if c.Client && !netx.IsLoopback(t.ClientNet, t.ClientAddr) {
		add("-client.open: whoever reaches %s can use the tunnel", t.ClientAddr)
	}
	if c.Given("remux.net") && t.EagerNet != "remux" {
		add("-remux.net %s has no effect, because -eagersocks.net is %s", t.RemuxNet, t.EagerNet)
	}
	if carrier != "tls" && c.CertsGiven() {
		add("the -tls… options have no effect, because -%s is %s", c.carrierName(), carrier)
	}
}
