//go:build unix

package acceptance

import (
	"cmp"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unicode/utf8"
)

// options lists all options with their defaults, as shown by -h.
var options = map[string]string{
	"server": "off", "client": "off", "config": "none", "insecure": "off", "client.open": "off", "client.users": "off",
	"server.net": "tcp", "server.addr": "none", "client.net": "tcp", "client.addr": "127.0.0.1:1080",
	"remux.net": "tls", "eagersocks.net": "remux",
	"remux.reuse.max.sec": "60, or twice that while sessions are open", "remux.reuse.max.cnt": "16, or eight times that while sessions are open", "remux.reuse.max.mb": "65536",
	"remux.idle.max.sec": "10", "remux.conn.max.cnt": "1024",
	"remux.ping.sec": "15", "remux.window.max.kb": "131072", "remux.memory.max.mb": "256", "remux.sess.max.cnt": "32768", "remux.congestion": "auto",
	"tls.server.cert": "none", "tls.server.key": "in the certificate's file", "tls.server.ca": "same as -tls.client.ca",
	"tls.client.ca": "the one in -tls.client.cert", "tls.client.cert": "none", "tls.client.key": "in the certificate's file",
	"tls.server.name":   "the host of -server.addr",
	"client.pac.direct": "none", "client.pac.proxy": "everything", "server.policy": "best",
	"eagersocks.eager": "on", "server.allow": "none", "server.deny": "none", "server.dns": "system", "server.dial.timeout.sec": "10",
	"server.rules": "none", "server.sess.max.cnt": "65536", "server.client.sess.max.cnt": "no limit",
	"server.client.open.max.sec": "no limit", "server.client.rate.max.kb": "no limit",
	"sla.log.level": "info", "sla.log.path": "/var/log/tunnels.log", "sla.log.format": "text", "sla.log.max.mb": "100", "sla.log.backups": "5",
	"sla.dingtalk.token": "no alerts", "sla.dingtalk.secret": "none", "sla.dingtalk.targets": "off", "sla.dingtalk.url": "DingTalk's own",
}

// TestHelp checks that the short help and the help for all options fit on a terminal of
// 80 columns, and that the latter shows every option with its default.
func TestHelp(t *testing.T) {
	t.Parallel()
	short := tunnels(t, "-h").must(t).Stdout
	if n := strings.Count(short, "\n"); n > 36 {
		t.Errorf("-h prints %d lines, too many for one screen:\n%s", n, short)
	}
	for _, args := range [][]string{{"-help"}, {"--help"}, {"help"}, {"-server", "-h"}, {"help", "help"}} {
		if r := tunnels(t, args...).must(t); r.Stderr != "" || r.Stdout != short {
			t.Errorf("tunnels %v: %v", args, r)
		}
	}
	help := tunnels(t, "help", "options").must(t).Stdout
	for line := range strings.Lines(short + help) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	seen := make(map[string]bool)
	for _, part := range regexp.MustCompile(`(?m)^  -`).Split(help, -1)[1:] {
		part, _, _ = strings.Cut(part, "\n\n")
		words := strings.Join(strings.Fields(part), " ")
		name, _, _ := strings.Cut(words, " ")
		seen[name] = true
		if want, known := options[name]; !known {
			t.Errorf("the help lists -%s, which is missing from this test", name)
		} else if !strings.HasSuffix(words, "["+want+"]") {
			t.Errorf("the help for -%s is %q, want the default [%s] at the end", name, words, want)
		}
	}
	for name := range options {
		if !seen[name] {
			t.Errorf("the help lacks -%s", name)
		}
	}
}

// TestHelpOfVerbs checks that there is help for every command listed in the help,
// however it is requested, and that requesting it has no other effect.
func TestHelpOfVerbs(t *testing.T) {
	t.Parallel()
	_, list, _ := strings.Cut(tunnels(t, "-h").Stdout, "\nUsage: ")
	verbs := regexp.MustCompile(`(?m)^  ([a-z]+) `).FindAllStringSubmatch(list, -1)
	if len(verbs) < 8 {
		t.Fatalf("the help lists %d commands:\n%s", len(verbs), list)
	}
	for _, m := range verbs {
		v := m[1]
		want := tunnels(t, "help", v).must(t).Stdout
		if v != "help" && !strings.HasPrefix(want, "tunnels "+v+":") {
			t.Errorf("tunnels help %s prints %.200q", v, want)
		}
		for line := range strings.Lines(want) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 80 {
				t.Errorf("tunnels help %s: %d columns: %s", v, n, line)
			}
		}
		for _, how := range []string{"-h", "-help", "--help", "help"} {
			if r := tunnels(t, v, how); r.Code != 0 || r.Stdout != want || r.Stderr != "" {
				t.Errorf("tunnels %s %s: %v, want the same as tunnels help %s", v, how, r, v)
			}
		}
	}
	for _, args := range [][]string{{"certs", "init", "-h"}, {"certs", "client", "x", "--help"}, {"users", "add", "--help"}, {"check", "-server", "-h"}, {"server", "-server.addr", ":1", "-h"}, {"bench", "-quick", "-h"}} {
		if r := tunnels(t, args...); r.Code != 0 || !strings.HasPrefix(r.Stdout, "tunnels "+args[0]+":") {
			t.Errorf("tunnels %v: %v", args, r)
		}
	}
	for _, tt := range []struct{ args, want []string }{
		{[]string{"help", "cert"}, []string{`"cert"`, "did you mean certs?"}},
		{[]string{"hlep"}, []string{"did you mean help?"}},
		{[]string{"frobnicate"}, []string{`"frobnicate"`, "client, server, certs, ", "version or help", "tunnels -h"}},
		{[]string{"help", "certs", "init"}, []string{"one verb"}},
		{[]string{"version", "x"}, []string{"no arguments"}},
	} {
		r := tunnels(t, tt.args...)
		if r.Code != 2 || r.Stdout != "" {
			t.Errorf("tunnels %v: want exit code 2, got %v", tt.args, r)
		}
		contains(t, strings.Join(tt.args, " "), r.Stderr, tt.want...)
	}
}

// TestHelpExamples checks that the commands in the help work as printed.
func TestHelpExamples(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	help := tunnels(t, "-h").Stdout
	for _, v := range []string{"client", "server", "check"} {
		help += tunnels(t, "help", v).Stdout
	}
	found := regexp.MustCompile(`(?m)^ {2,4}tunnels (.*)$`).FindAllStringSubmatch(strings.ReplaceAll(help, "\\\n", " "), -1)
	tried := 0
	for _, m := range found {
		args := strings.Fields(strings.TrimPrefix(m[1], "check "))
		switch {
		case strings.ContainsAny(m[1], "[|…") || strings.Contains(m[1], "FILE"): // a synopsis, not a command
			continue
		case args[0] == "certs":
			job{Dir: dir}.run(t, binary, args...).must(t)
		default:
			r := job{Dir: dir}.run(t, binary, append(append([]string{"check"}, args...), "-offline")...)
			if r.Code != 0 || !strings.Contains(r.Stdout, "ok: ") {
				t.Errorf("tunnels check %s: %v", m[1], r)
			}
		}
		tried++
	}
	if tried != 7 {
		t.Errorf("the help has %d examples, want 7:\n%s", tried, help)
	}
}

// TestVersion checks that the version is the output of git describe.
func TestVersion(t *testing.T) {
	t.Parallel()
	got := tunnels(t, "version").must(t).Stdout
	if !regexp.MustCompile(`^tunnels \S+ \w+/\w+ go\S+\n$`).MatchString(got) {
		t.Errorf("version = %q", got)
	}
	contains(t, "version", got, described)
}

// wrong is an invalid input with parts of the expected error, which is a single line
// that begins with the option.
type wrong struct {
	role      string // "" means -client
	args, env []string
	file      string // contents of the configuration file
	want      []string
}

func wrongOptions() []wrong {
	rows := []wrong{
		{args: []string{"-server.adr=:1"}, want: []string{"-server.adr", "did you mean -server.addr"}},
		{args: []string{"-bogus"}, want: []string{"-bogus", "tunnels help options"}},
		{args: []string{"extra"}, want: []string{`"extra"`}},
		{args: []string{"-server.addr"}, want: []string{"-server.addr", "value"}},
		{env: []string{"TUNNELS_SERVER_ADR=:1"}, want: []string{`"TUNNELS_SERVER_ADR"`, "did you mean TUNNELS_SERVER_ADDR"}},
		{file: "server.adr = :1\n", want: []string{`"server.adr"`, "file:1", "did you mean server.addr"}},
		{file: "\n# fine\nnonsense\n", want: []string{"file:3", "key = value"}},
		{args: []string{"-config=/nowhere/at/all"}, want: []string{"-config", "/nowhere/at/all", "no such file"}},
		{args: []string{"-client=maybe"}, want: []string{"-client", "maybe", "true"}},
		{role: "-server", env: []string{"TUNNELS_CLIENT=maybe"}, want: []string{"-client", "maybe", "TUNNELS_CLIENT", "true"}},
		{file: "remux.ping.sec = soon", want: []string{"-remux.ping.sec", `"soon"`, "file:1", "1 to 3600"}},
		{args: []string{"-server.addr=vps"}, want: []string{"-server.addr", `"vps"`, "vps:443"}},
		{args: []string{"-server.addr=vps:99999"}, want: []string{"-server.addr", `"vps:99999"`, "65535"}},
		{want: []string{"-server.addr", "missing", "vps.example:443"}},
		{args: []string{"-server.addr=a:1"}, want: []string{"-tls.client.cert", "tunnels certs client"}},
		{role: "-server", args: []string{"-server.addr=:1"}, want: []string{"-tls.server.ca", "open proxy", "tunnels certs init"}},
		{args: []string{"-server.addr=a:1", "-client.addr=:1080"}, want: []string{"-client.addr", `":1080"`, "-client.open"}},
		{args: []string{"-server.addr=192.0.2.1:1", "-remux.net=tcp"}, want: []string{"-server.addr", "192.0.2.1:1", "-insecure"}},
		{args: []string{"-sla.dingtalk.secret=geheim"}, want: []string{"-sla.dingtalk.secret"}},
	}
	for name, bad := range map[string]string{
		"server.net": "quic", "client.net": "tls", "remux.net": "udp", "eagersocks.net": "socks", "eagersocks.eager": "sometimes",
		"server.allow": "10.0.0.0/33", "server.deny": "a:b:c:d/", "server.dial.timeout.sec": "0",
		"remux.reuse.max.sec": "-1", "remux.reuse.max.cnt": "x", "remux.reuse.max.mb": "1e9", "remux.idle.max.sec": "0",
		"remux.conn.max.cnt": "0", "remux.ping.sec": "1.5", "remux.window.max.kb": "1", "remux.memory.max.mb": "none", "remux.sess.max.cnt": "131072", "remux.congestion": "nonesuch",
		"sla.log.level": "loud", "sla.log.format": "xml", "sla.log.max.mb": "0", "sla.log.backups": "many",
	} {
		rows = append(rows, wrong{args: []string{"-" + name + "=" + bad}, want: []string{"-" + name, `"` + bad + `"`, "want"}})
		env := "TUNNELS_" + strings.ToUpper(strings.ReplaceAll(name, ".", "_"))
		rows = append(rows, wrong{env: []string{env + "=" + bad}, want: []string{"-" + name, `"` + bad + `"`, env, "want"}})
	}
	return rows
}

// TestWrongOptions checks that for any invalid option, the exit code is 2 and one line
// names the option, the value and the expected form.
func TestWrongOptions(t *testing.T) {
	t.Parallel()
	for _, tt := range wrongOptions() {
		dir, args := t.TempDir(), tt.args
		if tt.file != "" {
			if err := os.WriteFile(filepath.Join(dir, "file"), []byte(tt.file), 0o600); err != nil {
				t.Fatal(err)
			}
			args = append([]string{"-config=file"}, args...)
		}
		args = append([]string{cmp.Or(tt.role, "-client")}, args...)
		r := job{Dir: dir, Env: tt.env}.run(t, binary, args...)
		if r.Code != 2 || r.Stdout != "" {
			t.Errorf("tunnels %v, %v, file %q: want exit code 2, got %v", args, tt.env, tt.file, r)
		}
		line := ""
		for l := range strings.Lines(r.Stderr) {
			if !strings.HasPrefix(l, "tunnels: ") {
				t.Errorf("tunnels %v, %v, file %q: line %q does not begin with \"tunnels: \"", args, tt.env, tt.file, l)
			}
			if line == "" || strings.Contains(l, tt.want[0]+" ") {
				line = l
			}
		}
		for _, w := range tt.want {
			if !strings.Contains(line, w) {
				t.Errorf("tunnels %v, %v, file %q: want %q in the line:\n%s", args, tt.env, tt.file, w, r.Stderr)
			}
		}
		if strings.Contains(r.Stderr, "geheim") {
			t.Errorf("a secret is shown: %s", r.Stderr)
		}
	}
}

// TestNoRole checks that without a role, the error mentions the roles and the help.
func TestNoRole(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{nil, {"-sla.log.path=-"}, {"check"}} {
		r := tunnels(t, args...)
		if r.Code != 2 || r.Stdout != "" {
			t.Errorf("tunnels %v: want exit code 2, got %v", args, r)
		}
		contains(t, "standard error", r.Stderr, "-client", "-server", "tunnels -h")
	}
	if r := tunnels(t, "serve"); r.Code != 2 || !strings.Contains(r.Stderr, `"serve": did you mean server?`) {
		t.Errorf("tunnels serve: %v", r)
	}
}

// TestPrecedence checks that the command line overrides the environment, which
// overrides the file.
func TestPrecedence(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		file, env, flag bool
		want            string
	}{
		{true, true, true, "flag"},
		{true, true, false, "env"},
		{true, false, true, "flag"},
		{false, true, true, "flag"},
		{true, false, false, "file"},
	} {
		dir := t.TempDir()
		log := func(name string) string { return filepath.Join(dir, name+".log") }
		args, env, file := []string{"-server", "-client", "-client.addr=127.0.0.1:0"}, []string{}, "sla.log.level = debug\n"
		if tt.file {
			file += `sla.log.path = "` + log("file") + `" # as it may stand there` + "\n"
		}
		if tt.env {
			env = append(env, "TUNNELS_SLA_LOG_PATH="+log("env"))
		}
		if tt.flag {
			args = append(args, "-sla.log.path="+log("flag"))
		}
		path := filepath.Join(dir, "file.conf")
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		env = append(env, "TUNNELS_CONFIG="+path)
		p := job{Dir: dir, Env: env}.start(t, "tunnels", binary, args...)
		p.Log = log(tt.want)
		if got := p.waitStdout(`^Log: +(\S+)$`); got != p.Log {
			t.Errorf("file %v, environment %v, flag %v: logs to %s, want %s", tt.file, tt.env, tt.flag, got, p.Log)
		}
		p.waitLog(`client listening`)
		p.finish()
		if files, _ := filepath.Glob(log("*")); len(files) != 1 {
			t.Errorf("file %v, environment %v, flag %v: log files are %q, want one", tt.file, tt.env, tt.flag, files)
		}
	}
}

// TestSecrets checks that tokens given in the environment or in an @file do not appear
// in the log, in the output of ps or anywhere else, and that those given as flags cause
// a warning.
func TestSecrets(t *testing.T) {
	t.Parallel()
	const token, secret = "tok3ntok3n", "s3crets3cret"
	file := writeFile(t, "secret", []byte(secret+"\n"))
	unreachable := web(t, nil)
	unreachable.Close() // so that this error is also logged
	users := writeFile(t, "users", nil)
	p := startTunnelsEnv(t, "try", []string{"TUNNELS_SLA_DINGTALK_TOKEN=" + token},
		"-server", "-client", "-client.addr=127.0.0.1:0", "-client.users="+users, "-sla.dingtalk.secret=@"+file, "-sla.dingtalk.url="+unreachable.URL+"/send")
	p.waitStdout(`SOCKS5 proxy on (\S+)`)
	if err := os.WriteFile(users, []byte("broken\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.Signal(syscall.SIGHUP) // fails, which causes an alert
	p.waitLog(`\[warn\] \[main\] alert not sent`)
	ps := processList(t, p.Pid())
	contains(t, "ps", ps, "-sla.dingtalk.url")
	p.stop()
	for what, s := range map[string]string{"ps": ps, "log": p.log(), "stdout": p.Stdout.String(), "stderr": p.Stderr.String()} {
		for _, secret := range []string{token, secret, "sign=", "access_token="} {
			if strings.Contains(s, secret) {
				t.Errorf("%s shows %q:\n%s", what, secret, s)
			}
		}
	}

	p = startTunnels(t, "loud", "-server", "-client", "-client.addr=127.0.0.1:0", "-sla.dingtalk.token="+token)
	p.waitStderr(`warning: -sla\.dingtalk\.token.*TUNNELS_SLA_DINGTALK_TOKEN`)
	p.waitStdout(`SOCKS5 proxy on (\S+)`)
	if p.finish(); strings.Contains(p.log()+p.Stderr.String(), token) {
		t.Errorf("the token is shown:\n%s", p.state())
	}
}

// processList returns the line for a process in the output of ps.
func processList(t testing.TB, pid int) string {
	t.Helper()
	if b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline")); err == nil {
		return string(b)
	}
	return run(t, "ps", "-ww", "-o", "args=", "-p", strconv.Itoa(pid)).must(t).Stdout
}
