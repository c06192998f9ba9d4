package cli

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"tunnels/internal/config"
	"tunnels/tls/ca"
)

// shownMax is how many characters of a key may appear in a message by coincidence.
const shownMax = 7

// keyFiles holds files that contain a key, like those that users have.
type keyFiles struct {
	dir    string
	secret string // base64 content of all files, without newlines
}

// makeKeyFiles creates a CA and its files, some without PEM armor.
func makeKeyFiles(t *testing.T) keyFiles {
	t.Helper()
	t.Chdir(t.TempDir()) // a value that looks like a path may create a file
	k := keyFiles{dir: t.TempDir()}
	if _, err := ca.Init(k.dir, []string{"localhost"}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"server.key", "client.pem"} {
		bare := regexp.MustCompile(`(?m)^-.*\n`).ReplaceAllString(k.text(t, name), "")
		k.secret += strings.ReplaceAll(bare, "\n", "")
		if err := os.WriteFile(k.file("bare-"+name), []byte(bare), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return k
}

func (k keyFiles) file(name string) string { return filepath.Join(k.dir, name) }

func (k keyFiles) text(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(k.file(name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// shown returns the part of the keys that appears in text, or "".
func (k keyFiles) shown(text string) string {
	for i := range len(text) - shownMax {
		if part := text[i : i+shownMax+1]; strings.Contains(k.secret, part) {
			return part
		}
	}
	return ""
}

// values returns values that users may enter by mistake.
func (k keyFiles) values(t *testing.T) []string {
	var all []string
	for _, name := range []string{"server.key", "client.pem", "bare-server.key"} {
		text := k.text(t, name)
		all = append(all, k.file(name), "@"+k.file(name), text, strings.TrimSpace(text))
	}
	line, _, _ := strings.Cut(k.text(t, "bare-server.key"), "\n")
	return append(all, line, line+":443", "a.example:443,"+line, "tcp://"+line, "https://"+line+"/", "https://a.example/"+line)
}

// output returns everything that one run writes: terminal, error and log.
func (k keyFiles) output(t *testing.T, args, environ []string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // if the process starts, it stops immediately
	text := ""
	if err := run(ctx, args, environ, strings.NewReader(""), &stdout, &stderr); err != nil {
		text = err.Error()
	}
	log, err := os.ReadFile(k.file("log"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	if err := os.Truncate(k.file("log"), 0); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return text + "\n" + stdout.String() + stderr.String() + string(log)
}

// options returns all options listed in the help.
func options(t *testing.T) []string {
	t.Helper()
	var b bytes.Buffer
	if err := config.Usage(&b); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range regexp.MustCompile(`(?m)^  -(\S+)`).FindAllStringSubmatch(b.String(), -1) {
		names = append(names, m[1])
	}
	if len(names) < 40 {
		t.Fatalf("the help has %d options: %q", len(names), names)
	}
	return names
}

// TestOptionsShowNoKey: no part of a key is shown when any option is given a key file
// or its content.
func TestOptionsShowNoKey(t *testing.T) {
	k := makeKeyFiles(t)
	base := []string{"-server", "-client", "-client.addr=127.0.0.1:0", "-server.addr=127.0.0.1:0", "-sla.log.path=" + k.file("log"), "-sla.log.level=debug"}
	certs := append(base[:len(base):len(base)], "-tls.server.cert="+k.file("server.pem"), "-tls.server.key="+k.file("server.key"), "-tls.server.ca="+k.file("ca.pem"),
		"-tls.client.cert="+k.file("client.pem"), "-tls.client.ca="+k.file("client.pem"))
	file := k.file("conf")
	for _, name := range options(t) {
		env := "TUNNELS_" + strings.ToUpper(strings.ReplaceAll(name, ".", "_"))
		for _, v := range k.values(t) {
			if err := os.WriteFile(file, []byte(name+" = "+v+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, tt := range []struct{ args, env []string }{
				{append(base[:len(base):len(base)], "-"+name+"="+v), nil},
				{append(certs[:len(certs):len(certs)], "-"+name+"="+v), nil},
				{append([]string{"check"}, append(base[:len(base):len(base)], "-"+name+"="+v)...), nil},
				{append([]string{"check"}, append(base[:len(base):len(base)], "-"+name, v)...), nil},
				{append([]string{"check"}, base...), []string{env + "=" + v}},
				{append([]string{"check"}, append(base[:len(base):len(base)], "-config="+file)...), nil},
			} {
				if out := k.output(t, tt.args, tt.env); k.shown(out) != "" {
					t.Errorf("%q with %q shows %q of the key:\n%s", tt.args, tt.env, k.shown(out), out)
				}
			}
		}
	}
}

// TestVerbsShowNoKey: no part of a key is shown when a verb is given one, or when an
// argument is neither a verb nor an option.
func TestVerbsShowNoKey(t *testing.T) {
	k := makeKeyFiles(t)
	users := k.file("users")
	words := strings.Fields(k.text(t, "client.pem")) // as from an unquoted $(cat client.pem)
	for _, v := range k.values(t) {
		for _, args := range [][]string{
			{v}, {"-" + v}, {"-" + v + "=x"}, {"--" + v}, {v, "x"}, {"-server", v}, {"-server", "-client", v}, {"help", v}, {"version", v},
			{"check", v}, {"check", "-config", v}, {"check", "-" + v},
			{"check", "-target", v}, {"check", "-target=" + v}, {"check", "-server", "-client", "-target", v},
			{"certs", v}, {"certs", "init", "-dir", k.file("new"), v, "-" + v}, {"certs", "client", "-dir", v, v}, {"certs", "list", "-dir", v},
			{"certs", "list", "-dir", k.dir, v}, {"certs", "revoke", "-dir", k.dir, v}, {"certs", "init", "-" + v},
			{"users", v}, {"users", "list", v}, {"users", "remove", v, "alice"}, {"users", "remove", users, v}, {"users", "add", v, "alice"}, {"users", "add", users, "x:" + v},
			{"bench", v}, {"bench", "-list", "-vs", v}, {"bench", "-list", "-cases", v}, {"bench", "-list", "-systems", v}, {"bench", "-n", v}, {"bench", "-" + v},
		} {
			if out := k.output(t, args, []string{"TUNNELS_PASSWORD=hush"}); k.shown(out) != "" {
				t.Errorf("tunnels %q shows %q of the key:\n%s", args, k.shown(out), out)
			}
		}
	}
	calls := [][]string{words}
	for _, verb := range verbNames() {
		calls = append(calls, append([]string{verb}, words...))
		for _, v := range k.values(t) {
			calls = append(calls, []string{verb, v}, []string{verb, "-" + v}, []string{verb, "x", v}, []string{verb, "-x", v}, []string{verb, "-x=" + v})
		}
	}
	for _, args := range calls {
		if out := k.output(t, args, nil); k.shown(out) != "" {
			t.Errorf("tunnels %q shows %q of the key:\n%s", args, k.shown(out), out)
		}
	}
	if _, err := os.Stat(k.file("server.key")); err != nil {
		t.Error(err)
	}
}

// TestFileTypeIsReported: if the wrong kind of file is given, the message says what kind
// it is.
func TestFileTypeIsReported(t *testing.T) {
	k := makeKeyFiles(t)
	pem, text := k.file("client.pem"), k.text(t, "client.pem")
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"-config", pem}, `-config "` + pem + `" (command line): is a certificate or key (PEM), not a configuration file`},
		{[]string{"-server", "-client", "-server.rules", pem}, pem + " is a certificate or key (PEM), not a rules file"},
		{[]string{"-server", "-client", "-client.addr=127.0.0.1:0", "-sla.log.path=" + k.file("log"), "-client.users", pem}, pem + " is a certificate or key (PEM), not a users file"},
		{[]string{"users", "list", pem}, pem + " is a certificate or key (PEM), not a users file"},
		{[]string{"-server", "-client", "-sla.dingtalk.token=@" + pem}, pem + " is a certificate or key (PEM), not a secret"},
		{[]string{"-server", "-client", "-sla.log.path=" + pem}, "is a certificate or key (PEM), not a log"},
		{[]string{"-client", "-tls.client.cert", text}, "the command line contains a certificate or key (PEM): give a file name instead"},
		{[]string{"-config", k.file("bare-server.key")}, k.file("bare-server.key") + ":1): want key = value, as in server.addr = :443"},
	} {
		if out := k.output(t, tt.args, nil); !strings.Contains(out, tt.want) {
			t.Errorf("tunnels %.60q prints\n%swant %s", tt.args, out, tt.want)
		}
	}
	if out := k.output(t, []string{"check"}, []string{"TUNNELS_TLS_CLIENT_CERT=" + text}); !strings.Contains(out, "(environment variable TUNNELS_TLS_CLIENT_CERT): contains a certificate or key (PEM): want a file name") {
		t.Errorf("with a certificate in the environment: %s", out)
	}
	if got := k.text(t, "client.pem"); got != text {
		t.Error("client.pem has changed")
	}
}
