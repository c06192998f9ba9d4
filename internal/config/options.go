package config

import (
	"strconv"
	"time"

	"tunnels/eagersocks"
	"tunnels/internal/admission"
	"tunnels/internal/netx"
	"tunnels/internal/resolve"
	"tunnels/internal/upstream"
	"tunnels/remux"
	"tunnels/sla"
	"tunnels/tunnel"
)

// option is one setting: a flag, an environment variable and a line of a file.
type option struct {
	name   string // "server.addr"
	arg    string // placeholder for its value in the help; empty for a switch
	def    string // default, as a user would write it
	show   string // default as shown in the help, if not def
	help   string
	secret bool // never shown; may be @file
	hidden bool // not quoted in errors, because users paste secrets into it
	list   bool // repeated values on the command line accumulate

	set func(value string) error // stores a value, or returns what is expected
}

// group holds the options of one package.
type group struct {
	title   string
	options []option
}

// Limits for values.
const (
	day      = 24 * 3600
	week     = 7 * day
	maxMemMB = 1 << 20
	// also apply to a rules file
	maxSess   = 1 << 24
	maxRateKB = 1 << 30
	// maxReuseMB is well below the limit for AES-GCM with one key (RFC 8446, section
	// 5.5).
	maxReuseMB = 256 << 10
)

var (
	streams  = []string{"tcp", "tcp4", "tcp6", "unix"}
	carriers = append([]string{"tls"}, streams...)
	requests = append([]string{"remux"}, carriers...)
)

// groups returns the table of all options in help order. Their set functions store into
// c.
func (c *Config) groups() []group {
	return []group{
		{"Roles and configuration file", c.roleOptions()},
		{"Server", c.serverOptions()},
		{"Client", c.clientOptions()},
		{"Certificates (made by: tunnels certs init)", c.tlsOptions()},
		{"Connections between client and server", c.remuxOptions()},
		{"Service log and alerts", c.slaOptions()},
	}
}

func (c *Config) roleOptions() []option {
	return []option{
		{name: "client", help: "run the proxy that applications use", set: toggle(&c.Client)},
		{name: "server", help: "run the exit that connects to targets", set: toggle(&c.Server)},
		{name: "config", arg: "FILE", show: "none", help: "read options from FILE, one per line", set: text(&c.File)},
	}
}

func (c *Config) serverOptions() []option {
	t := &c.Tunnel
	return []option{
		{name: "server.addr", arg: "ADDR", show: "none", help: "server: address to listen on; client: server address(es), comma-separated; host:port, or a path if -server.net is unix", set: text(&t.ServerAddr)},
		{name: "server.policy", arg: "POLICY", def: string(upstream.Best), help: "how the client chooses among several servers: best (shortest round trip), order (first reachable) or spread (round robin)", set: choice(&t.ServerChoice)},
		{name: "server.net", arg: "NET", def: "tcp", help: "network for -server.addr: tcp, tcp4, tcp6 or unix", set: oneOf(&t.ServerNet, streams)},
		{name: "server.allow", arg: "LIST", show: "none", list: true, help: "permit these targets even if denied by default: CIDR, host, *.domain, self, loopback, private or all, each with an optional :port", set: targets(&t.Allow, "server.allow")},
		{name: "server.deny", arg: "LIST", show: "none", list: true, help: "deny these targets; overrides -server.allow and rules", set: targets(&t.Deny, "server.deny")},
		{name: "server.dns", arg: "LIST", def: resolve.System, list: true, hidden: true, help: "DNS servers for targets, tried in order: system, ADDRESS, udp://ADDRESS, tcp://ADDRESS or https://HOST/PATH", set: upstreams(&t.DNS, "server.dns")},
		{name: "server.dial.timeout.sec", arg: "N", def: inSeconds(tunnel.DefaultDialTimeout), help: "timeout for resolving and connecting to a target", set: seconds(&t.DialTimeout, 1, 600)},
		{name: "server.rules", arg: "FILE", show: "none", help: "per-client rules, by certificate name; reloaded when the file changes", set: text(&t.Rules)},
		{name: "server.sess.max.cnt", arg: "N", def: strconv.Itoa(admission.DefaultSessMax), help: "maximum concurrent sessions, all clients", set: limit(&t.SessMax, "server.sess.max.cnt", 1, maxSess, 1)},
		{name: "server.client.sess.max.cnt", arg: "N", def: "0", show: "no limit", help: "maximum concurrent sessions per client", set: limit(&t.Limits.Sessions, "server.client.sess.max.cnt", 0, maxSess, 1)},
		{name: "server.client.open.max.sec", arg: "N", def: "0", show: "no limit", help: "maximum new sessions per second per client; bursts of up to five seconds' worth are allowed", set: limit(&t.Limits.Opens, "server.client.open.max.sec", 0, maxSess, 1)},
		{name: "server.client.rate.max.kb", arg: "N", def: "0", show: "no limit", help: "maximum KiB/s per client, in each direction", set: limit(&t.Limits.Rate, "server.client.rate.max.kb", 0, maxRateKB, 1<<10)},
	}
}

func (c *Config) clientOptions() []option {
	t := &c.Tunnel
	return []option{
		{name: "client.addr", arg: "LIST", def: "127.0.0.1:1080", help: "addresses to listen on for applications: host:port or unix:/path, comma-separated", set: entries(&c.clientAddrs)},
		{name: "client.net", arg: "NET", def: "tcp", help: "network for -client.addr entries without one: tcp, tcp4, tcp6 or unix", set: oneOf(&c.clientNet, streams)},
		{name: "client.users", arg: "FILE", show: "off", help: "require a user and password from FILE (made by: tunnels users add)", set: text(&t.ClientUsers)},
		{name: "client.open", help: "let other machines use the proxy without a password", set: toggle(&c.ClientOpen)},
		{name: "client.pac.direct", arg: "LIST", show: "none", list: true, help: "PAC file: hosts that bypass the tunnel, besides localhost: host, *.domain, address, CIDR", set: pacList(&t.Web.PACDirect)},
		{name: "client.pac.proxy", arg: "LIST", show: "everything", list: true, help: "PAC file: only these hosts use the tunnel", set: pacList(&t.Web.PACProxy)},
		{name: "eagersocks.eager", arg: "MODE", def: eagersocks.On.String(), help: "answer applications before the target is connected: on, off or auto (host names only)", set: mode(&t.EagerMode)},
	}
}

func (c *Config) tlsOptions() []option {
	s, l := &c.Tunnel.ServerTLS, &c.Tunnel.ClientTLS
	return []option{
		{name: "tls.server.cert", arg: "FILE", show: "none", help: "the server's certificate", set: text(&s.Cert)},
		{name: "tls.server.key", arg: "FILE", show: "in the certificate's file", help: "the server's private key", set: text(&s.Key)},
		{name: "tls.server.ca", arg: "FILE", show: "same as -tls.client.ca", help: "CA that signs client certificates", set: text(&s.CA)},
		{name: "tls.server.name", arg: "NAME", show: "the host of -server.addr", help: "name expected in the server's certificate", set: serverName(&l.ServerName)},
		{name: "tls.client.cert", arg: "FILE", show: "none", help: "the client's certificate", set: text(&l.Cert)},
		{name: "tls.client.key", arg: "FILE", show: "in the certificate's file", help: "the client's private key", set: text(&l.Key)},
		{name: "tls.client.ca", arg: "FILE", show: "the one in -tls.client.cert", help: "CA that signed the server's certificate", set: text(&l.CA)},
	}
}

func (c *Config) remuxOptions() []option {
	t, r, def := &c.Tunnel, &c.Tunnel.Remux, remux.Defaults()
	return []option{
		{name: "eagersocks.net", arg: "NET", def: "remux", help: "transport for requests: remux, tls, tcp, tcp4, tcp6 or unix", set: oneOf(&t.EagerNet, requests)},
		{name: "remux.net", arg: "NET", def: "tls", help: "transport for remux connections: tls, tcp, tcp4, tcp6 or unix", set: oneOf(&t.RemuxNet, carriers)},
		{name: "remux.congestion", arg: "NAME", def: netx.Congestion{}.String(), help: "TCP congestion control for data this end sends, with or without remux: auto (on Linux, bbr if the round trip is above " + inMS(netx.LongRTT) + " and the kernel offers it), system, or the name of one the kernel offers", set: congestion(&t.Congestion)},
		{name: "insecure", help: "permit non-TLS connections to other machines", set: toggle(&t.Insecure)},
		{name: "remux.reuse.max.sec", arg: "N", def: inSeconds(def.ReuseMaxAge), show: inSeconds(def.ReuseMaxAge) + ", or twice that while sessions are open", help: "replace a connection after N seconds", set: seconds(&r.ReuseMaxAge, 1, week)},
		{name: "remux.reuse.max.cnt", arg: "N", def: strconv.Itoa(def.ReuseMaxCount), show: strconv.Itoa(def.ReuseMaxCount) + ", or eight times that while sessions are open", help: "replace a connection after N sessions; it takes up to 2*N more while its replacement is being dialed", set: number(&r.ReuseMaxCount, 1, 32768, 1)},
		{name: "remux.reuse.max.mb", arg: "N", def: strconv.FormatInt(def.ReuseMaxBytes>>20, 10), help: "replace a connection after N MiB", set: number(&r.ReuseMaxBytes, 1, maxReuseMB, 1<<20)},
		{name: "remux.idle.max.sec", arg: "N", def: inSeconds(def.IdleMax), help: "close a connection after N seconds without sessions", set: seconds(&r.IdleMax, 1, day)},
		{name: "remux.conn.max.cnt", arg: "N", def: strconv.Itoa(def.ConnMax), help: "maximum connections between client and server", set: number(&r.ConnMax, 1, 65535, 1)},
		{name: "remux.ping.sec", arg: "N", def: inSeconds(def.Ping), help: "ping a connection after N seconds of silence", set: seconds(&r.Ping, 1, 3600)},
		{name: "remux.window.max.kb", arg: "N", def: strconv.Itoa(def.WindowMax >> 10), help: "maximum window per session, in KiB", set: number(&r.WindowMax, 64, 1<<20, 1<<10)},
		{name: "remux.memory.max.mb", arg: "N", def: strconv.FormatInt(def.BudgetMax>>20, 10), help: "maximum data buffered by all sessions, in MiB", set: number(&r.BudgetMax, 1, maxMemMB, 1<<20)},
		{name: "remux.sess.max.cnt", arg: "N", def: strconv.Itoa(def.SessMax), help: "maximum concurrent sessions per connection", set: number(&r.SessMax, 1, 32768, 1)},
	}
}

func (c *Config) slaOptions() []option {
	s := &c.SLA
	return []option{
		{name: "sla.log.path", arg: "FILE", def: "/var/log/tunnels.log", help: "log file; - is standard error", set: text(&s.Path)},
		{name: "sla.log.level", arg: "LEVEL", def: sla.DefaultLevel.Word(), help: "debug, info, warn, error or fatal", set: logLevel(&s.Level)},
		{name: "sla.log.format", arg: "FMT", def: sla.DefaultFormat, help: "text or json", set: oneOf(&s.Format, []string{"text", "json"})},
		{name: "sla.log.max.mb", arg: "N", def: strconv.Itoa(sla.DefaultMaxMB), help: "rotate the file at this size, in MiB", set: number(&s.MaxMB, 1, 100<<10, 1)},
		{name: "sla.log.backups", arg: "N", def: strconv.Itoa(sla.DefaultBackups), help: "rotated files to keep", set: number(&s.Backups, 1, 1000, 1)},
		{name: "sla.dingtalk.token", arg: "TOKEN", show: "no alerts", secret: true, help: "access token of a DingTalk robot, or @FILE", set: alert(&s.DingTalkToken, func(v string) sla.Config { return sla.Config{DingTalkToken: v} })},
		{name: "sla.dingtalk.secret", arg: "SECRET", show: "none", secret: true, help: "signing secret of the robot, or @FILE", set: alert(&s.DingTalkSecret, func(v string) sla.Config { return sla.Config{DingTalkToken: "x", DingTalkSecret: v} })},
		{name: "sla.dingtalk.targets", help: "include target names in alerts", set: toggle(&s.DingTalkTargets)},
		{name: "sla.dingtalk.url", arg: "URL", show: "DingTalk's own", hidden: true, help: "DingTalk webhook URL", set: alert(&s.DingTalkURL, func(v string) sla.Config { return sla.Config{DingTalkURL: v} })},
	}
}

// all returns every option.
func (c *Config) all() []option {
	var all []option
	for _, g := range c.groups() {
		all = append(all, g.options...)
	}
	return all
}

// option returns the option with that name, or nil.
func (c *Config) option(name string) *option {
	for _, o := range c.all() {
		if o.name == name {
			return &o
		}
	}
	return nil
}

// inMS returns a default in whole milliseconds, for the help.
func inMS(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) + " ms" }

// inSeconds returns a default in whole seconds, as a user would write it.
func inSeconds(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) }
