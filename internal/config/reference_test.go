package config

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the options into docs/REFERENCE.md")

const (
	referenceFile  = "../../docs/REFERENCE.md"
	referenceBegin = "<!-- The tables up to the end mark are written by: go test ./internal/config -run Reference -update -->\n"
	referenceEnd   = "<!-- end of the options -->\n"
)

// reference returns the options as Markdown, one table per group.
func reference() string {
	var b strings.Builder
	escape := strings.NewReplacer("*", `\*`, "|", `\|`, "<", "&lt;", "_", `\_`)
	for _, g := range (&Config{}).groups() {
		fmt.Fprintf(&b, "\n### %s\n\n| option | environment | default | meaning |\n| --- | --- | --- | --- |\n", g.title)
		for _, o := range g.options {
			def := o.show
			switch {
			case def != "":
				def = escape.Replace(def)
			case o.arg == "":
				def = "off"
			default:
				def = "`" + o.def + "`"
			}
			fmt.Fprintf(&b, "| `%s` | `%s` | %s | %s |\n", strings.TrimSpace("-"+o.name+" "+o.arg), envName(o.name), def, escape.Replace(o.help))
		}
	}
	return b.String() + "\n"
}

// TestReference checks that docs/REFERENCE.md lists every option as the program defines
// it.
func TestReference(t *testing.T) {
	text, err := os.ReadFile(referenceFile)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begins := strings.Cut(strings.ReplaceAll(string(text), "\r\n", "\n"), referenceBegin)
	got, after, ends := strings.Cut(rest, referenceEnd)
	if !begins || !ends {
		t.Fatalf("%s lacks the line %q or %q", referenceFile, referenceBegin, referenceEnd)
	}
	want := reference()
	if got == want {
		return
	}
	if *update {
		if err := os.WriteFile(referenceFile, []byte(before+referenceBegin+want+referenceEnd+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Errorf("the options in docs/REFERENCE.md are not those of the program; to write them, run: go test ./internal/config -run Reference -update\n%s", differences(got, want))
}

// TestDocsNameOptions checks that the options named in README and the reference exist.
func TestDocsNameOptions(t *testing.T) {
	for _, file := range []string{"../../README.md", referenceFile} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		named := regexp.MustCompile("(?m)(?:[ `]-|^    )((?:server|client|tls|remux|eagersocks|sla)(?:\\.[a-z]+)+)(\\.\\*)?").FindAllStringSubmatch(string(text), -1)
		if len(named) < 10 {
			t.Errorf("%s names %d options, want more", file, len(named))
		}
		for _, m := range named {
			if m[2] == "" && (&Config{}).option(m[1]) == nil { // otherwise it stands for several options
				t.Errorf("%s names -%s, which is not an option", file, m[1])
			}
		}
	}
}

// differences returns the lines that are in only one of the texts.
func differences(got, want string) string {
	var b strings.Builder
	only := func(sign, text, other string) {
		for line := range strings.Lines(text) {
			if !strings.Contains("\n"+other, "\n"+line) {
				b.WriteString(sign + line)
			}
		}
	}
	only("-", got, want)
	only("+", want, got)
	return b.String()
}
