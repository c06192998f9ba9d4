package archtest

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// module is the prefix of our import paths.
const module = "tunnels/"

// root is the path to the repository's root.
const root = "../.."

// room lists what packages in one folder of rooms may import in addition to the
// standard library, and the reason for the limit.
type room struct {
	ours   []string // folders of this repository
	others []string // third-party modules, or packages of them
	why    string
}

// everything lists what the verbs may import from this repository.
var everything = []string{"internal/config", "internal/loglines", "tunnel", "eagersocks", "remux", "tls", "sla", "internal/admin", "internal/bench", "internal/httpdoor", "internal"}

// rooms defines the import order: main → cli → config → tunnel → {eagersocks, remux,
// tls, sla}. No package may import one above it. "" is the root folder.
var rooms = map[string]room{
	"":                  {ours: []string{"internal/cli"}, why: "main only starts the verbs"},
	"internal/cli":      {ours: everything, why: "the verbs connect the packages and contain no logic that needs a library"},
	"internal/config":   {ours: []string{"tunnel", "eagersocks", "remux", "tls", "sla", "internal/upstream", "internal/httpdoor", "internal"}, why: "config only fills the plain Config types of the packages"},
	"tunnel":            {ours: []string{"eagersocks", "remux", "tls", "sla", "internal/upstream", "internal/events", "internal/entry", "internal/trial", "internal/httpdoor", "internal"}, why: "tunnel joins the packages below it and must not know how it is configured or displayed"},
	"eagersocks":        {ours: []string{"internal"}, others: []string{"github.com/things-go/go-socks5"}, why: "eagersocks serves anything that accepts connections, whatever carries it"},
	"examples":          {ours: []string{"eagersocks", "remux", "tls"}, why: "an example uses only the public packages, as a user would"},
	"remux":             {ours: []string{"internal"}, why: "remux must be testable over a pipe, with no keys and no files; it reports through hooks"},
	"tls":               {why: "tls handles keys, so its dependencies must be easy to review: only the standard library"},
	"sla":               {ours: []string{"internal"}, others: []string{"github.com/sirupsen/logrus", "gopkg.in/natefinch/lumberjack.v2"}, why: "sla writes lines whose content comes from its callers"},
	"internal/admin":    {ours: []string{"internal"}, why: "admin is not part of the data path: it declares small interfaces that tunnel implements"},
	"internal/bench":    {ours: []string{"internal/netpath"}, why: "bench measures from outside, as an application does"},
	"internal/httpdoor": {ours: []string{"eagersocks", "internal"}, why: "httpdoor is a door next to those of eagersocks: it yields the same requests, and must not know how they are served"},
	"internal/netpath":  {others: []string{"golang.org/x/sys"}, why: "netpath builds a network and must not know what runs over it"},
	"internal/upstream": {ours: []string{"remux", "internal"}, why: "upstream chooses between servers and must not know how it is logged or what is requested from them"},
	"internal/trial":    {ours: []string{"eagersocks", "remux", "tls", "internal/upstream", "internal"}, why: "trial opens the connection itself, step by step, and needs no client"},
	"internal/entry":    {ours: []string{"eagersocks", "tls", "internal/httpdoor", "internal/upstream", "internal/events", "internal"}, why: "entry carries requests to servers, whatever carries them, and must not know how doors listen"},
	"internal/events":   {ours: []string{"remux", "internal/upstream", "internal"}, why: "events only defines what the packages below tunnel report"},
	"internal/loglines": {ours: []string{"internal/events", "eagersocks", "remux", "sla", "tls", "internal/upstream", "internal"}, why: "loglines turns events into the lines of the log and is not part of the data path"},
	"internal":          {ours: []string{"internal"}, others: []string{"golang.org/x/crypto/bcrypt", "golang.org/x/sys", "golang.org/x/term", "golang.org/x/net/dns/dnsmessage", "golang.org/x/time/rate"}, why: "internal holds what every package may use, so it must not import any of those above it"},
}

// TestImportArrows checks every import against the table. Test files may import
// anything, except that those below main, cli and config may not import those three.
func TestImportArrows(t *testing.T) {
	seen := 0
	err := fs.WalkDir(os.DirFS(root), ".", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := d.Name(); d.IsDir() && file != "." && (name[0] == '.' || name[0] == '_' || name == "testdata" || name == "vendor") {
			return filepath.SkipDir // as the go command does
		}
		if d.IsDir() || path.Ext(file) != ".go" {
			return nil
		}
		seen++
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, file), nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range f.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if wrong := judge(file, imported); wrong != "" {
				t.Error(wrong)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen < 10 {
		t.Errorf("only %d Go files were checked: is this the repository's root?", seen)
	}
}

// upper lists the folders above all others.
var upper = []string{"", "internal/cli", "internal/config"}

// judge explains why a file may not import a package, or returns "".
func judge(file, imported string) string {
	from := folder(path.Dir(file) + "/")
	r, known := rooms[from]
	if !known {
		return file + ": unknown folder " + from + ": add what it may import, and why, to internal/archtest"
	}
	to, ours := strings.CutPrefix(imported+"/", module)
	test := strings.HasSuffix(file, "_test.go")
	switch {
	case ours && test:
		if up := folder(to); !slices.Contains(upper, from) && slices.Contains(upper, up) {
			return file + " imports " + imported + ": not even a test may import main, cli or config"
		}
		return ""
	case test:
		return ""
	case ours:
		if to := folder(to); to == from || slices.Contains(r.ours, to) {
			return ""
		}
	case !strings.Contains(strings.SplitN(imported, "/", 2)[0], "."): // the standard library
		return ""
	default:
		for _, o := range r.others {
			if imported == o || strings.HasPrefix(imported, o+"/") {
				return ""
			}
		}
	}
	return file + " must not import " + imported + ", because " + r.why
}

// folder returns the key in rooms for a path that ends in a slash: its first element,
// or the first two if rooms has them. For "./" it returns "".
func folder(p string) string {
	first, rest, _ := strings.Cut(strings.TrimPrefix(p, "./"), "/")
	second, _, _ := strings.Cut(rest, "/")
	if _, own := rooms[first+"/"+second]; own {
		return first + "/" + second
	}
	return first
}

// TestJudge tests judge itself.
func TestJudge(t *testing.T) {
	tests := []struct {
		file, imported string
		want           string // part of the refusal, or empty if allowed
	}{
		{"main.go", "tunnels/internal/cli", ""},
		{"main.go", "tunnels/tunnel", "main only starts"},
		{"internal/cli/serve.go", "tunnels/tunnel", ""},
		{"internal/cli/serve.go", "github.com/sirupsen/logrus", "the verbs connect the packages"},
		{"internal/netx/netx.go", "tunnels/internal/cli", "must not import any"},
		{"internal/config/config.go", "tunnels/tunnel", ""},
		{"internal/config/config.go", "tunnels/internal/policy", ""},
		{"tunnel/client.go", "tunnels/remux", ""},
		{"tunnel/client.go", "tunnels/internal/config", "tunnel joins the packages below"},
		{"remux/conn.go", "tunnels/internal/code", ""},
		{"remux/conn.go", "tunnels/sla", "testable over a pipe"},
		{"remux/conn.go", "tunnels/tls", "testable over a pipe"},
		{"remux/conn.go", "crypto/tls", ""},
		{"eagersocks/door.go", "github.com/things-go/go-socks5/statute", ""},
		{"eagersocks/door.go", "github.com/things-go/go-socks5x", "whatever carries it"},
		{"eagersocks/door.go", "tunnels/remux", "whatever carries it"},
		{"eagersocks/door.go", "tunnels/internal/httpdoor", "whatever carries it"},
		{"internal/httpdoor/door.go", "tunnels/eagersocks", ""},
		{"internal/httpdoor/door.go", "tunnels/remux", "a door next to"},
		{"internal/netpath/lane.go", "tunnels/internal/netx", "builds a network"},
		{"internal/door/door.go", "tunnels/eagersocks", "must not import any"},
		{"tls/load.go", "tunnels/internal/code", "only the standard library"},
		{"tls/load.go", "tunnels/tls/internal/pemfile", ""},
		{"tls/internal/pemfile/read.go", "tunnels/internal/code", "only the standard library"},
		{"tls/internal/pemfile/read.go", "golang.org/x/sys/unix", "only the standard library"},
		{"tls/ca/ca.go", "tunnels/tls/internal/crl", ""},
		{"tls/ca/ca.go", "tunnels/internal/code", "only the standard library"},
		{"internal/cli/certs.go", "tunnels/tls/ca", ""},
		{"remux/conn.go", "tunnels/tls/ca", "testable over a pipe"},
		{"tls/load.go", "golang.org/x/sys/unix", "only the standard library"},
		{"internal/bench/run.go", "tunnels/internal/bench/report", ""},
		{"internal/bench/role/origin.go", "tunnels/internal/bench/load", ""},
		{"internal/bench/role/origin.go", "tunnels/internal/netx", "measures from outside"},
		{"sla/line.go", "gopkg.in/natefinch/lumberjack.v2", ""},
		{"internal/netx/netx.go", "golang.org/x/sys/unix", ""},
		{"internal/policy/exit.go", "tunnels/internal/code", ""},
		{"internal/policy/exit.go", "tunnels/remux", "must not import any"},
		{"remux/sub/x.go", "tunnels/remux", ""},
		{"remux/x_test.go", "go.uber.org/goleak", ""},
		{"remux/x_test.go", "tunnels/tls", ""},
		{"remux/x_test.go", "tunnels/internal/config", "not even a test may import"},
		{"tunnel/x_test.go", "tunnels", "not even a test may import"},
		{"internal/cli/x_test.go", "tunnels/internal/config", ""},
		{"internal/netx/x_test.go", "tunnels/internal/cli", "not even a test may import"},
		{"newroom/x.go", "fmt", "to internal/archtest"},
	}
	for _, tt := range tests {
		got := judge(tt.file, tt.imported)
		if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("judge(%s, %s) = %q, want %q", tt.file, tt.imported, got, tt.want)
		}
	}
}
