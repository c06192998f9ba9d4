package config

import (
	"tunnels/internal/policy"
	"tunnels/sla"
)

// option is one thing that can be told, by flag, environment or file.
type option struct {
	name   string // "server.addr"
	arg    string // what its value is called in the help; empty: it is a switch
	def    string // default value, as it would be given
	show   string // what the help shows as its default, if not def
	help   string
	secret bool // never shown; may be @file
	hidden bool // not repeated in an error: people paste secrets into it
	list   bool // given twice on the command line, it is the sum of both

	set func(value string) error // stores a value, or says what would be right
}

// group is the options of one room.
type group struct {
	title   string
	options []option
}

// limits of what can be told
const (
	day      = 24 * 3600
	week     = 7 * day
	maxMemMB = 1 << 20
	// those of a rules file, too
	maxSess   = 1 << 24
	maxRateKB = 1 << 30
	// maxReuseMB is well below what AES-GCM may seal with one key (RFC 8446,
	// section 5.5).
	maxReuseMB = 256 << 10
)

var (
	streams  = []string{"tcp", "tcp4", "tcp6", "unix"}
	carriers = append([]string{"tls"}, streams...)
	requests = append([]string{"remux"}, carriers...)
)

// groups is the table of everything that can be told, in the order of the help.
// Its functions store into c.
func (c *Config) groups() []group {
	return []group{
		{"Roles (both in one process: to try it out)", c.roleOptions()},
		{"Server", c.serverOptions()},
		{"Client", c.clientOptions()},
		{"Certificates (made by: tunnels certs init)", c.tlsOptions()},
		{"Connections between client and server", c.remuxOptions()},
		{"Service log and alerts", c.slaOptions()},
	}
}

func (c *Config) roleOptions() []option {
	return []option{
		{name: "client", help: "be the proxy that applications use", set: toggle(&c.Client)},
		{name: "server", help: "be the exit that reaches targets for its clients", set: toggle(&c.Server)},
		{name: "config", arg: "FILE", show: "none", help: "read options from FILE, one a line", set: text(&c.File)},
	}
}

func (c *Config) serverOptions() []option {
	t := &c.Tunnel
	return []option{
		{name: "server.addr", arg: "ADDR", show: "none", help: "host:port, or path if unix: where the server listens; for a client, the server to reach, or several with commas between", set: text(&t.ServerAddr)},
		{name: "server.policy", arg: "POLICY", def: "best", help: "which of several servers a client uses: best (the shortest round trip), order (the first that can be reached) or spread (all in turn)", set: oneOf(&t.ServerPolicy, []string{"best", "order", "spread"})},
		{name: "server.net", arg: "NET", def: "tcp", help: "its network: tcp, tcp4, tcp6 or unix", set: oneOf(&t.ServerNet, streams)},
		{name: "server.allow", arg: "LIST", show: "none", list: true, help: "targets to allow though they are loopback, link-local or private: CIDR, host, *.domain, each with an optional :port, or loopback, private, all", set: targets(&t.Allow)},
		{name: "server.deny", arg: "LIST", show: "none", list: true, help: "targets to deny, whatever is allowed", set: targets(&t.Deny)},
		{name: "server.dns", arg: "LIST", def: "system", list: true, hidden: true, help: "who resolves targets: system, ADDRESS, udp://ADDRESS, tcp://ADDRESS or https://HOST/PATH; the next if one does not answer", set: upstreams(&t.DNS)},
		{name: "server.dial.timeout.sec", arg: "N", def: "10", help: "for resolving and connecting to a target", set: seconds(&t.DialTimeout, 1, 600)},
		{name: "server.rules", arg: "FILE", show: "none", help: "what each client may reach and use, by the name in his certificate; read again when it changes", set: text(&t.Rules)},
		{name: "server.sess.max.cnt", arg: "N", def: "65536", help: "sessions of all clients at one time", set: number(&t.SessMax, 1, maxSess, 1)},
		{name: "server.client.sess.max.cnt", arg: "N", def: "0", show: "no limit", help: "sessions of one client at one time", set: number(&t.ClientSessMax, 0, maxSess, 1)},
		{name: "server.client.open.max.sec", arg: "N", def: "0", show: "no limit", help: "sessions one client may open per second, five seconds' worth at once", set: number(&t.ClientOpenMax, 0, maxSess, 1)},
		{name: "server.client.rate.max.kb", arg: "N", def: "0", show: "no limit", help: "KiB per second of one client, each way", set: number(&t.ClientRateMax, 0, maxRateKB, 1<<10)},
	}
}

func (c *Config) clientOptions() []option {
	t := &c.Tunnel
	return []option{
		{name: "client.addr", arg: "LIST", def: "127.0.0.1:1080", help: "where it listens for applications: host:port or unix:/path, with commas between several", set: entries(&c.clientAddrs)},
		{name: "client.net", arg: "NET", def: "tcp", help: "the network of those that do not name one: tcp, tcp4, tcp6 or unix", set: oneOf(&c.clientNet, streams)},
		{name: "client.users", arg: "FILE", show: "nobody is asked", help: "ask applications for a user and password of FILE (made by: tunnels users add)", set: text(&t.ClientUsers)},
		{name: "client.open", help: "let other machines use it, without a password", set: toggle(&c.ClientOpen)},
		{name: "client.pac.direct", arg: "LIST", show: "none", list: true, help: "what http://ADDR/proxy.pac sends past the tunnel, beside this machine: host, *.domain, address, CIDR", set: pacList(&t.Eager.PACDirect)},
		{name: "client.pac.proxy", arg: "LIST", show: "everything", list: true, help: "all that it sends through", set: pacList(&t.Eager.PACProxy)},
		{name: "eagersocks.eager", arg: "MODE", def: "on", help: "say \"connected\" before the target is: on, off, auto (for names, not for addresses)", set: mode(&t.EagerMode)},
	}
}

func (c *Config) tlsOptions() []option {
	s, l := &c.Tunnel.ServerTLS, &c.Tunnel.ClientTLS
	return []option{
		{name: "tls.server.cert", arg: "FILE", show: "none", help: "the server's certificate", set: text(&s.Cert)},
		{name: "tls.server.key", arg: "FILE", show: "in the certificate's file", help: "its private key", set: text(&s.Key)},
		{name: "tls.server.ca", arg: "FILE", show: "that of -tls.client.ca", help: "who signed the certificates of its clients", set: text(&s.CA)},
		{name: "tls.server.name", arg: "NAME", show: "the host of -server.addr", help: "the name to expect in the server's certificate", set: serverName(&l.ServerName)},
		{name: "tls.client.cert", arg: "FILE", show: "none", help: "the client's certificate", set: text(&l.Cert)},
		{name: "tls.client.key", arg: "FILE", show: "in the certificate's file", help: "its private key", set: text(&l.Key)},
		{name: "tls.client.ca", arg: "FILE", show: "that in -tls.client.cert", help: "CA that signed the server's certificate", set: text(&l.CA)},
	}
}

func (c *Config) remuxOptions() []option {
	t, r := &c.Tunnel, &c.Tunnel.Remux
	return []option{
		{name: "eagersocks.net", arg: "NET", def: "remux", help: "what carries requests: remux, tls, tcp, tcp4, tcp6 or unix", set: oneOf(&t.EagerNet, requests)},
		{name: "remux.net", arg: "NET", def: "tls", help: "what carries remux: tls, tcp, tcp4, tcp6 or unix", set: oneOf(&t.RemuxNet, carriers)},
		{name: "insecure", help: "let tcp without TLS leave this machine", set: toggle(&t.Insecure)},
		{name: "remux.reuse.max.sec", arg: "N", def: "60", help: "a conn that old takes no new sessions", set: seconds(&r.ReuseMaxAge, 1, week)},
		{name: "remux.reuse.max.cnt", arg: "N", def: "16", help: "nor one used for that many", set: number(&r.ReuseMaxCount, 1, 32768, 1)},
		{name: "remux.reuse.max.mb", arg: "N", def: "65536", help: "nor one that carried that much", set: number(&r.ReuseMaxBytes, 1, maxReuseMB, 1<<20)},
		{name: "remux.idle.max.sec", arg: "N", def: "10", help: "a conn without sessions is closed after", set: seconds(&r.IdleMax, 1, day)},
		{name: "remux.conn.max.cnt", arg: "N", def: "1024", help: "never more conns than that", set: number(&r.ConnMax, 1, 65535, 1)},
		{name: "remux.ping.sec", arg: "N", def: "15", help: "a conn silent for that long is asked for a sign of life", set: seconds(&r.Ping, 1, 3600)},
		{name: "remux.window.max.kb", arg: "N", def: "131072", help: "the most one session may have on its way", set: number(&r.WindowMax, 64, 1<<20, 1<<10)},
		{name: "remux.memory.max.mb", arg: "N", def: "256", help: "the most all sessions may have waiting", set: number(&c.RemuxMemoryMaxMB, 1, maxMemMB, 1)},
		{name: "remux.sess.max.cnt", arg: "N", def: "32768", help: "sessions accepted at one time on one conn", set: number(&r.SessMax, 1, 32768, 1)},
	}
}

func (c *Config) slaOptions() []option {
	s := &c.SLA
	return []option{
		{name: "sla.log.path", arg: "FILE", def: "/var/log/tunnels.log", help: "the log; - is standard error", set: text(&s.Path)},
		{name: "sla.log.level", arg: "LEVEL", def: "info", help: "debug, info, warn, error or fatal", set: oneOf(&s.Level, []string{"debug", "info", "warn", "error", "fatal"})},
		{name: "sla.log.format", arg: "FMT", def: "text", help: "text or json", set: oneOf(&s.Format, []string{"text", "json"})},
		{name: "sla.log.max.mb", arg: "N", def: "100", help: "size at which the file is rotated", set: number(&s.MaxMB, 1, 100<<10, 1)},
		{name: "sla.log.backups", arg: "N", def: "5", help: "rotated files that are kept", set: number(&s.Backups, 1, 1000, 1)},
		{name: "sla.dingtalk.token", arg: "TOKEN", show: "no alerts", secret: true, help: "the robot's access token, or @FILE that holds it", set: alert(&s.DingTalkToken, func(v string) sla.Config { return sla.Config{DingTalkToken: v} })},
		{name: "sla.dingtalk.secret", arg: "SECRET", show: "none", secret: true, help: "its signing secret, or @FILE", set: alert(&s.DingTalkSecret, func(v string) sla.Config { return sla.Config{DingTalkToken: "x", DingTalkSecret: v} })},
		{name: "sla.dingtalk.url", arg: "URL", show: "the robot's public address", hidden: true, help: "where it listens", set: alert(&s.DingTalkURL, func(v string) sla.Config { return sla.Config{DingTalkURL: v} })},
	}
}

// all is every option.
func (c *Config) all() []option {
	var all []option
	for _, g := range c.groups() {
		all = append(all, g.options...)
	}
	return all
}

// option is the one of that name, nil if there is none.
func (c *Config) option(name string) *option {
	for _, o := range c.all() {
		if o.name == name {
			return &o
		}
	}
	return nil
}

// checkList is what is wrong with a list of targets.
func checkList(list string) error {
	_, err := policy.Parse(list)
	return err
}
