package config

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tunnels/internal/resolve"
)

// TestRefused: each error names the option, the value, its origin and what is expected.
func TestRefused(t *testing.T) {
	const client = "-client -tls.client.cert c -tls.client.ca c "
	const server = "-server -tls.server.cert c -tls.server.ca c "
	rules := writeFile(t, "[laptop]\nalow = private\nsess.max.cnt = many\n")
	tests := []struct{ line, env, want string }{
		// names
		{"-server.adr :443", "", `"-server.adr" (command line): there is no such option; did you mean -server.addr?`},
		{"-sever", "", "did you mean -server?"},
		{"-frobnicate", "", `"-frobnicate" (command line): there is no such option; tunnels help options lists them all`},
		{"-server.addr", "", "-server.addr (command line): needs a value"},
		{try + " -server.addr", "", "needs a value"},
		{"extra", "", `"extra" (command line): is not an option; options begin with -`},
		{"-sla.log.path - server", "", `"server" (command line): want it as the first word, as in tunnels server …, or as an option, -server`},
		{"-client true -server.addr a:443", "", `"true" (command line): -client takes its value after =; write -client or -client=false`},
		{"--client off", "", "write -client or -client=false"},
		{"-clinet", "", "did you mean -client?"},
		{try + " -tls.cert x", "", "did you mean -tls.server.cert or -tls.client.cert?"},
		{try + " -=x", "", "bad flag syntax"},
		{"-server", "TUNNELS_SERVER_ADR=x", `"TUNNELS_SERVER_ADR" (environment): there is no such option; did you mean TUNNELS_SERVER_ADDR?`},

		// values
		{"-server=maybe -client", "", `-server "maybe" (command line): want true or false`},
		{"-client", "TUNNELS_SERVER=2", `-server "2" (environment variable TUNNELS_SERVER): want true or false`},
		{try + " -remux.ping.sec 0", "", `-remux.ping.sec "0" (command line): want a whole number of seconds from 1 to 3600`},
		{try + " -remux.ping.sec -1", "", "want a whole number of seconds"},
		{try + " -remux.ping.sec 1.5", "", "want a whole number of seconds"},
		{try + " -remux.ping.sec 99999999999999999999", "", "want a whole number of seconds"},
		{try + " -server.dial.timeout.sec 601", "", "from 1 to 600"},
		{try + " -remux.reuse.max.cnt 32769", "", `-remux.reuse.max.cnt "32769" (command line): want a whole number from 1 to 32768`},
		{try + " -remux.reuse.max.cnt 0", "", "from 1 to 32768"},
		{try + " -remux.reuse.max.mb 999999", "", "from 1 to 262144"},
		{try + " -remux.window.max.kb 63", "", "from 64 to"},
		{try + " -remux.net udp", "", `-remux.net "udp" (command line): want tls, tcp, tcp4, tcp6 or unix`},
		{try, "TUNNELS_REMUX_CONGESTION=b;r", `-remux.congestion "b;r" (environment variable TUNNELS_REMUX_CONGESTION): want auto, system or the name of an algorithm`},
		{try + " -remux.congestion nonesuch", "", `-remux.congestion "nonesuch" (command line): `},
		{try + " -remux.congestion nonesuch", "", "want auto"},
		{try + " -server.net tls", "", "want tcp, tcp4, tcp6 or unix"},
		{try + " -eagersocks.net quic", "", "want remux, tls, tcp"},
		{try + " -eagersocks.eager yes", "", "want on, off or auto"},
		{try + " -sla.log.level loud", "", "want debug, info, warn, error or fatal"},
		{try + " -sla.log.format xml", "", "want text or json"},
		{try + " -sla.log.path=", "", "-sla.log.path (command line): want a file, or -"},
		{try + " -server.allow 10.0.0.1/8", "", `-server.allow "10.0.0.1/8" (command line): entry "10.0.0.1/8": has bits set`},
		{try, "TUNNELS_SERVER_DENY=a,,b", `-server.deny "a,,b" (environment variable TUNNELS_SERVER_DENY): entry ""`},
		{try + " -server.dns dns.example", "", `-server.dns (command line): entry "dns.example": want an address`},
		{try + " -server.dns 1.1.1.1 -server.dns https://dns.example/?k=hush", "", `entry "https://dns.example…": has something after its path`},
		{try, "TUNNELS_SERVER_DNS=1.1.1.1,,8.8.8.8", "an extra comma"},
		{try + " -client.pac.direct a.example:80", "", `-client.pac.direct "a.example:80" (command line): entry "a.example:80": want a name, *.name, an address`},
		{try, "TUNNELS_CLIENT_PAC_PROXY=10.0.0.1/8", "want 10.0.0.0/8"},
		{try + " -tls.server.name vps.example:443", "", "without a port"},
		{try + " -server.sess.max.cnt 0", "", "from 1 to 16777216"},
		{try + " -server.client.sess.max.cnt -1", "", "from 0 to 16777216"},
		{try + " -server.client.open.max.sec 16777217", "", "from 0 to 16777216"},
		{try + " -server.client.rate.max.kb 1073741825", "", "from 0 to 1073741824"},
		{try + " -server.rules /no/such/file", "", `-server.rules "/no/such/file" (command line): stat /no/such/file`},
		{try + " -server.rules " + rules, "", rules + ":2: is not valid inside a block: did you mean allow?"},
		{try + " -server.rules " + rules, "", rules + `:3: sess.max.cnt: "many": want a whole number`},

		// addresses
		{"-server", "", "-server.addr is missing: want an address to listen on, as in :443"},
		{"-client", "", "-server.addr is missing: want the server's address, as in vps.example:443"},
		{"-server -server.net unix", "", "want the path of a socket file"},
		{"-server -client -server.net unix", "", "want the path of a socket file"},
		{client + "-server.addr vps.example", "", `-server.addr "vps.example" (command line): want the port too, as in vps.example:443`},
		{client + "-server.addr 2001:db8::1", "", "as in [2001:db8::1]:443"},
		{client + "-server.addr [2001:db8::1]", "", "as in [2001:db8::1]:443"},
		{client + "-server.addr https://vps.example:443", "", "without a path or scheme"},
		{client + "-server.addr :443", "", "want the server's host before the colon, as in vps.example:443"},
		{client + "-server.addr vps.example:0", "", "port 0"},
		{client + "-server.addr vps.example:65536", "", `port "65536": want a number from 0 to 65535`},
		{client + "-server.addr vps.example:https", "", "want a number"},
		{client + "-server.addr v!ps:443", "", `host "v!ps"`},
		{client + "-server.addr a..b:443", "", `host "a..b"`},
		{client + "-server.addr a:b:c", "", "want host:port, as in"},
		{client + "-server.addr a:443,b", "", `-server.addr "a:443,b" (command line): entry 2, "b": want the port too, as in b:443`},
		{client + "-server.addr a:443,", "", "entry 2 is empty: want one server between two commas"},
		{client + "-server.addr ,a:443", "", "entry 1 is empty"},
		{client + "-server.addr a:443,b:443,A:443", "", `entry 3, "A:443": is repeated`},
		{client + "-server.addr a:1" + strings.Repeat(",a:1", 64), "", "names 65 servers: want at most 64"},
		{client + "-server.net unix -server.addr /a,/" + strings.Repeat("x", 107), "", "entry 2"},
		{server + "-server.addr :443,:444", "", "a server listens on one address"},
		{try + " -server.addr 127.0.0.1:443,127.0.0.1:444", "", "a server listens on one address"},
		{client + "-server.addr a:443 -server.policy random", "", `-server.policy "random" (command line): want best, order or spread`},
		{client + "-server.net tcp4 -server.addr [::1]:443", "", "::1 is not an address of network tcp4"},
		{server + "-server.net tcp6 -server.addr 1.2.3.4:443", "", "1.2.3.4 is not an address of network tcp6"},
		{server + "-server.addr /run/x.sock", "", "needs network unix"},
		{server + "-server.net unix -server.addr /" + strings.Repeat("x", 107), "", "the path is 108 bytes long: want at most 107"},
		{try + " -client.addr 0.0.0.0:1080", "", `-client.addr "0.0.0.0:1080" (command line): other machines could use the tunnel`},
		{try + " -client.addr :1080", "", "or -client.open"},
		{try + " -client.net unix", "", "needs -client.addr PATH"},
		{client + "-client.addr vps.example:443 -server.addr 127.0.0.1:1080", "", `-client.addr "vps.example:443" (command line): does not seem to be an address of this machine`},
		{client + "-client.addr 203.0.113.7:443 -server.addr 127.0.0.1:1080", "", "the server's address belongs in -server.addr"},
		{client + "-client.addr vps.example:443 -server.addr vps.example:443", "", `is the same as -server.addr`},
		{client + "-client.addr 127.0.0.1:1080 -server.addr a:443,127.0.0.1:1080", "", `is the same as -server.addr`},
		{client + "-client.addr 127.0.0.1:1080,192.168.1.2:1080 -server.addr a:443", "", `entry "192.168.1.2:1080": other machines could use the tunnel`},
		{try + " -client.addr=", "", "want host:port"},
		{try + " -client.addr :1080", "", "or -client.users FILE"},
		{try + " -client.addr 127.0.0.1:1080,0.0.0.0:1081", "", `-client.addr "127.0.0.1:1080,0.0.0.0:1081" (command line): entry "0.0.0.0:1081": other machines`},
		{try + " -client.addr unix:/tmp/s,1080", "", `entry "1080": want the address too, as in 127.0.0.1:1080`},
		{try + " -client.addr 127.0.0.1:1080,unix:", "", `entry "unix:": want the path of a socket file`},
		{try + " -client.addr 127.0.0.1:1080,,unix:/s", "", "want something before and after each comma"},
		{try + " -client.addr tcp4:[::1]:1080", "", "::1 is not an address of network tcp4"},

		// invalid combinations
		{"-server -server.addr :443 -remux.net tcp", "", "anyone on the network path could read and change -remux.net tcp traffic: want TLS, a loopback address, or -insecure"},
		{"-client -server.addr vps.example:443 -eagersocks.net tcp", "", "-eagersocks.net tcp traffic"},
		{"-client -server.addr 127.0.0.1:1,vps.example:443 -remux.net tcp", "", `entry 2, "vps.example:443": anyone on the network path`},
		{try + " -server.net unix -server.addr /x -remux.net tcp", "", `-remux.net "tcp" (command line): does not fit -server.net unix`},
		{try + " -server.net tcp -eagersocks.net unix -server.addr /x", "", `-eagersocks.net "unix" (command line): does not fit -server.net tcp`},
		{"-server -server.addr :443", "", "-tls.server.cert is missing: want the server's certificate; `tunnels certs init NAME`"},
		{"-server -server.addr :443 -tls.server.cert c", "", "open proxy"},
		{"-client -server.addr a:443", "", "-tls.client.cert is missing"},
		{try + " -tls.server.cert c", "", "-tls.client.cert is missing"},

		// secrets do not appear in the message
		{try + " -sla.dingtalk.secret hush", "", "-sla.dingtalk.secret (command line): has no effect without -sla.dingtalk.token"},
		{try + " -sla.dingtalk.token @/no/such/file", "", "-sla.dingtalk.token (command line): open /no/such/file"},
		{try + " -sla.dingtalk.url https://robot.example/send?access_token=hush", "", "-sla.dingtalk.url (command line): has a query"},
		{try + " -sla.dingtalk.url robot", "", "want https://"},
		{client + "-server.addr https://u:hush@vps.example:443", "", `-server.addr "https://…@vps.example:443" (command line)`},
		{client + "-server.addr a:443,u:hush@vps.example:443", "", `entry 2, "…@vps.example:443"`},
		{try + " -client.addr u:hush@127.0.0.1:1080", "", "-client.addr"},
		{try + " -client.users alice:hush", "", "-client.users (command line): is not a file: want one made by `tunnels users add FILE NAME`"},
		{try + " -server.allow http://u:hush@10.0.0.1", "", "is a URL"},
		{try + " -client.pac.proxy http://u:hush@10.0.0.1", "", "is a URL"},
		{try + " -tls.server.name u:hush@vps", "", "without a port"},
		{try + " u:hush@vps:443", "", "is not an option"},
		{try + " -u:hush@vps", "", "there is no such option"},

		{try + " -config /no/such/file", "", `-config "/no/such/file" (command line): open /no/such/file`},
		{try, "TUNNELS_CONFIG=/", `-config "/" (environment variable TUNNELS_CONFIG): read /: is a directory`},
	}
	for _, tt := range tests {
		_, err := Parse(args(tt.line), []string{tt.env})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Parse(%s) with %q = %v, want it to say: %s", tt.line, tt.env, err, tt.want)
			continue
		}
		if _, ok := errors.AsType[*Error](err); !ok {
			t.Errorf("Parse(%s) = %T, want an *Error", tt.line, err)
		}
		if strings.Contains(err.Error(), "hush") {
			t.Errorf("Parse(%s) = %v, which contains a secret", tt.line, err)
		}
	}
}

// TestRandomNames: names that happen to look like a key are accepted wherever a name is
// expected.
func TestRandomNames(t *testing.T) {
	const account = "aB3xY9kQ2mZ8wL5nR7tV1cD4eF6"
	file := filepath.Join(t.TempDir(), account)
	c := mustParse(t, try+" -server.dns https://dns.example/"+account+" -sla.log.path "+file, "TUNNELS_SLA_DINGTALK_TOKEN="+account)
	ups, err := resolve.Parse("https://dns.example/" + account)
	if c.SLA.Path != file || c.SLA.DingTalkToken != account || err != nil || !slices.Equal(c.Tunnel.DNS.Upstreams, ups) {
		t.Errorf("Parse returns %q, %q, %v", c.SLA.Path, c.SLA.DingTalkToken, c.Tunnel.DNS)
	}
	if _, err := Parse(args(try+" -server.allow "+account), nil); err == nil || strings.Contains(err.Error(), account) {
		t.Errorf("Parse = %v, want an error that does not repeat the name", err)
	}
}

// TestOverriddenValueIsNotChecked: the command line overrides an invalid value in the
// environment.
func TestOverriddenValueIsNotChecked(t *testing.T) {
	mustParse(t, try+" -remux.ping.sec 7", "TUNNELS_REMUX_PING_SEC=soon")
}

func TestAllErrorsAtOnce(t *testing.T) {
	_, err := Parse(args(try+" -remux.ping.sec x -sla.log.level y"), []string{"TUNNELS_NONSENSE=1"})
	for _, want := range []string{"remux.ping.sec", "sla.log.level", "TUNNELS_NONSENSE"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse = %v, want it to name %s", err, want)
		}
	}
}

func TestFile(t *testing.T) {
	good := "\ufeff# the exit\r\n\n  client = true\r\nserver=1\nsla.log.path = \"/tmp/a # b\" # quoted\n" +
		"server.deny = 'all:25'\nremux.ping.sec = 7 # seconds\nclient.addr = \"127.0.0.1:1080\"\nsla.dingtalk.url =\n"
	c := mustParse(t, "-config "+writeFile(t, good))
	if !c.Server || !c.Client || c.SLA.Path != "/tmp/a # b" || c.Tunnel.Deny.String() != "all:25" || c.Tunnel.Remux.Ping.Seconds() != 7 {
		t.Errorf("Parse of the file = %+v", c)
	}

	tests := []struct{ text, want string }{
		{"bogus.option = x", `"bogus.option" (`},
		{"server.adr = x", `:1): there is no such option; did you mean server.addr?`},
		{"-server.addr = x", "did you mean server.addr?"},
		{"\n\nserver.addr = a\nserver.addr = b", ":4): is repeated, first at "},
		{"server.addr", `:1): want key = value, as in server.addr = :443`},
		{"= x", "want key = value"},
		{`sla.log.path = "x`, "-sla.log.path ("},
		{`sla.log.path = "x`, "double quote is not closed"},
		{`sla.log.path = 'x`, "single quote is not closed"},
		{`sla.log.path = "x" y`, "only a comment"},
		{`sla.log.path = "\q"`, "an invalid escape"},
		{"config = x", "cannot include another"},
		{"\nremux.ping.sec = soon", `-remux.ping.sec "soon" (`},
		{"\nremux.ping.sec = soon", ":2): want a whole number of seconds"},
		{strings.Repeat("x\n", 1000), "is it a configuration file?"},
		{strings.Repeat("# long\n", 200_000), "larger than 1048576 bytes"},
	}
	for _, tt := range tests {
		path := writeFile(t, tt.text)
		_, err := Parse(args(try+" -config "+path), nil)
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("Parse of the file %.60q = %v, want it to name the file and say: %s", tt.text, err, tt.want)
		}
	}
}
