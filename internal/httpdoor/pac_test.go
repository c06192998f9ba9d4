package httpdoor

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func mustPAC(t testing.TB, list string) PACList {
	t.Helper()
	l, err := ParsePACList(list)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestPACListRefuses(t *testing.T) {
	for list, want := range map[string]string{
		"a.test,":                 "extra comma",
		"http://a.test":           "is a URL",
		"a.test:80":               "without a port",
		"[::1]":                   "without a port",
		"10.0.0.1/8":              "want 10.0.0.0/8, or 10.0.0.1",
		"10.0.0.0/33":             "CIDR",
		"a.test/8":                "CIDR",
		"::ffff:10.0.0.0/104":     "in IPv4 form",
		"fe80::1%lo":              "cannot have a zone",
		"10.0.0.256":              "four numbers",
		"*":                       "want a name",
		"**.a.test":               "want a name",
		"a.*.test":                "want a name",
		"*a.test":                 "want a name",
		"..a.test":                "want a name",
		"*.":                      "want a name",
		"a b":                     "want a name",
		"ä.test":                  "xn--",
		`a"; return "DIRECT`:      "want a name",
		"a\\u0022.test":           "want a name",
		"</script>":               "CIDR",
		strings.Repeat("a", 64):   "want a name",
		strings.Repeat("a.", 128): "want a name",
	} {
		if _, err := ParsePACList(list); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "entry ") {
			t.Errorf("ParsePACList(%q) = %v, want an error for the entry that contains %q", list, err, want)
		}
	}
}

func TestPACKeysAndBits(t *testing.T) {
	l := mustPAC(t, " B.test. , *.a.test,.a.test, 10.0.0.0/8,192.0.2.7, 2001:db8::/31, ::ffff:192.0.2.7")
	if got, want := strings.Join(l.keys(), " "), ".a.test =b.test"; got != want {
		t.Errorf("keys = %q, want %q", got, want)
	}
	want := "400001010 4" + "11000000000000000000001000000111" + " 6" + "0010000000000001000011011011100"
	if got := strings.Join(l.bits(), " "); got != want {
		t.Errorf("bits = %q, want %q", got, want)
	}
	if !mustPAC(t, " ").empty() || l.empty() {
		t.Error("empty() is wrong for the empty list or for one with entries")
	}
}

// choice is a host and the PAC file's expected result for it.
type choice struct{ host, want string }

// TestPACScript runs the scripts in a JavaScript engine.
func TestPACScript(t *testing.T) {
	const proxy, direct = "SOCKS5 h:1; PROXY h:1", "DIRECT"
	const lists = "a.test, *.b.test, 10.0.0.0/8, 192.0.2.7, 2001:db8::/33, __proto__, constructor, *.tostring"
	hosts := func(in, out string) []choice {
		return []choice{
			{"a.test", in}, {"A.TEST.", in}, {"x.a.test", out}, {"aa.test", out}, {"b.test", out}, {"x.b.test", in}, {"y.x.B.test", in},
			{"xb.test", out}, {"10.1.2.3", in}, {"11.1.2.3", out}, {"192.0.2.7", in}, {"192.0.2.8", out}, {"10.1.2", out}, {"10.1.2.3.a", out},
			{"10.1.2.256", out}, {"010.1.2.3", out}, {"2001:db8::1", in}, {"[2001:DB8:7fff::1]", in}, {"2001:db8:8000::1", out}, {"2001:db8::1::", out},
			{"::ffff:10.0.0.1", in}, {"::ffff:a00:1", in}, {"::ffff:11.0.0.1", out}, {"1:2:3:4:5:6:7:8", out}, {"2001:db8:0:0:0:0:0:1", in},
			{"2001:db8:0:0:0:0:0:0:1", out}, {"::", out}, {"10.example", out}, {"", out}, {"__proto__", in}, {"constructor", in}, {"x.toString", in}, {"toString", out}, {"hasownproperty", out},
		}
	}
	for _, tt := range []struct {
		name    string
		rules   pacRules
		users   bool
		choices []choice
	}{
		{"by default", pacRules{}, false, []choice{
			{"example.com", proxy}, {"localhost", direct}, {"localhost.", direct}, {"x.localhost", direct}, {"127.0.0.1", direct}, {"127.9.9.9", direct}, {"128.0.0.1", proxy},
			{"::1", direct}, {"[::1]", direct}, {"0:0:0:0:0:0:0:1", direct}, {"::2", proxy}, {"10.0.0.1", proxy}, {"host", proxy}, {"localhost.example", proxy}}},
		{"direct", pacRules{direct: mustPAC(t, lists)}, false, append(hosts(direct, proxy), choice{"localhost", direct})},
		{"proxy", pacRules{proxy: mustPAC(t, lists+",localhost")}, false, append(hosts(proxy, direct), choice{"localhost", proxy}, choice{"127.0.0.1", direct})},
		{"both", pacRules{direct: mustPAC(t, "x.b.test,10.1.0.0/16"), proxy: mustPAC(t, lists)}, false, []choice{{"x.b.test", direct}, {"y.b.test", proxy}, {"10.1.2.3", direct}, {"10.2.2.3", proxy}, {"c.test", direct}}},
		{"all addresses", pacRules{proxy: mustPAC(t, "0.0.0.0/0,::/0")}, false, []choice{{"1.2.3.4", proxy}, {"1::2", proxy}, {"a.test", direct}}},
		{"users", pacRules{}, true, []choice{{"a.test", "PROXY h:1"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			script := tt.rules.script("h:1", tt.users)
			if strings.ContainsAny(script, "<\x00") && strings.Contains(script, "</") {
				t.Errorf("script could close an HTML element: %s", script)
			}
			hosts := make([]string, len(tt.choices))
			for i, c := range tt.choices {
				hosts[i] = c.host
			}
			for i, got := range runPAC(t, script, hosts) {
				if c := tt.choices[i]; got != c.want {
					t.Errorf("FindProxyForURL(%q) = %q, want %q", c.host, got, c.want)
				}
			}
		})
	}
}

// runPAC returns the script's result for each host.
func runPAC(t *testing.T, script string, hosts []string) (said []string) {
	t.Helper()
	quoted, _ := json.Marshal(hosts)
	run := fmt.Sprintf("%s\nvar said = %s.map(function (h) { return FindProxyForURL('http://' + h + '/', h) });\n", script, quoted)
	var out []byte
	if node, err := exec.LookPath("node"); err == nil {
		if out, err = exec.CommandContext(t.Context(), node, "-e", run+"console.log(JSON.stringify(said))").Output(); err != nil {
			t.Fatalf("node: %v", err)
		}
	} else {
		out = inChromium(t, run)
	}
	if err := json.Unmarshal(out, &said); err != nil || len(said) != len(hosts) {
		t.Fatalf("the engine's output is %q: %v", out, err)
	}
	return said
}

// inChromium runs the script in a browser and returns the variable said as JSON.
func inChromium(t *testing.T, run string) []byte {
	t.Helper()
	browser := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			browser = path
		}
	}
	if browser == "" {
		t.Fatal("neither node nor chromium is installed: run scripts/setup.sh")
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "page.html")
	page := "<pre id=out></pre><script>" + run + "document.getElementById('out').textContent = '[[' + btoa(JSON.stringify(said)) + ']]'</script>"
	if err := os.WriteFile(file, []byte(page), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage",
		"--disable-background-networking", "--disable-breakpad", "--user-data-dir="+dir, "--dump-dom", "file://"+file)
	cmd.Env = append(os.Environ(), "HOME="+dir)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("chromium: %v", err)
	}
	_, rest, _ := bytes.Cut(out, []byte("[["))
	encoded, _, _ := bytes.Cut(rest, []byte("]]"))
	var said []byte
	if err := json.Unmarshal(append(append([]byte{'"'}, encoded...), '"'), &said); err != nil { // JSON represents bytes in base64
		t.Fatalf("chromium's output is %q: %v", out, err)
	}
	return said
}
