//go:build unix

package acceptance

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"tunnels/sla"
)

var logLine = regexp.MustCompile(sla.Grammar)

// event is one parsed log line.
type event struct {
	Line, Level, Category, Sign, ID, Reason, Text string
	Count                                         int // set if Sign is set
}

// parseLine parses a log line. The error says what is wrong with it.
func parseLine(line string) (event, error) {
	if err := sla.Check(line); err != nil {
		return event{}, err
	}
	m := logLine.FindStringSubmatch(line)
	group := func(name string) string { return m[logLine.SubexpIndex(name)] }
	e := event{Line: line, Level: group("level"), Category: group("category"), Sign: group("sign"),
		ID: group("id"), Reason: group("reason"), Text: group("text")}
	if e.Sign != "" {
		e.Count, _ = strconv.Atoi(group("count")) // the grammar permits only digits
	}
	return e, nil
}

// events parses the log. It returns an error for lines in any other format, except for
// messages to the user on standard error.
func (p *process) events() (all []event, err error) {
	text := strings.TrimSuffix(p.log(), "\n")
	if text == "" {
		return nil, nil
	}
	for line := range strings.SplitSeq(text, "\n") {
		if p.Log == "-" && strings.HasPrefix(line, "tunnels: ") {
			continue
		}
		e, err := parseLine(line)
		if err != nil {
			return all, fmt.Errorf("%s log: %w", p.Name, err)
		}
		all = append(all, e)
	}
	return all, nil
}

// replay checks the count on each line against the events so far, and returns the final
// counts. Pass only categories that are logged completely.
func replay(all []event, categories ...string) (map[string]int, error) {
	now := make(map[string]int)
	open := make(map[string]int) // by category and id
	for _, e := range all {
		if e.Sign == "" || !slices.Contains(categories, e.Category) {
			continue
		}
		step := 1
		if e.Sign == "-" {
			step = -1
		}
		now[e.Category] += step
		open[e.Category+" "+e.ID] += step
		if e.Count != now[e.Category] {
			return now, fmt.Errorf("%q: the count should be %d", e.Line, now[e.Category])
		}
		if open[e.Category+" "+e.ID] < 0 {
			return now, fmt.Errorf("%q: closed but never opened", e.Line)
		}
	}
	return now, nil
}

// judgeLog checks the log against the grammar, and the counts in it against the events.
func (p *process) judgeLog() {
	t := p.t
	t.Helper()
	if flagValue(p.args, "sla.log.format") == "json" {
		return
	}
	all, err := p.events()
	if err != nil {
		t.Error(err)
		return
	}
	var categories []string
	switch flagValue(p.args, "sla.log.level") {
	case "debug":
		categories = []string{"conn", "sess", "sock"}
	case "info":
		categories = []string{"conn", "sock"}
	}
	now, err := replay(all, categories...)
	if err != nil {
		t.Errorf("%s log: %v", p.Name, err)
		return
	}
	if p.cmd.ProcessState.ExitCode() < 0 {
		return // killed, so it could not log that the remaining ones were closed
	}
	for _, c := range categories {
		if now[c] != 0 {
			t.Errorf("%s log: %d of category %s are still open at the end", p.Name, now[c], c)
		}
	}
}

// wantRun fails the test if the log has fewer than least lines of a kind, because
// checking an empty log proves nothing.
func (p *process) wantRun(category, sign string, least int) {
	p.t.Helper()
	all, err := p.events()
	if err != nil {
		p.t.Fatal(err)
	}
	n := 0
	for _, e := range all {
		if e.Category == category && e.Sign == sign {
			n++
		}
	}
	if n < least {
		p.t.Errorf("%s log has %d [%s] %s lines, want at least %d", p.Name, n, category, sign, least)
	}
}

// wantNoErrors fails the test if the log contains errors, which would cause alerts.
func (p *process) wantNoErrors() {
	p.t.Helper()
	all, err := p.events()
	if err != nil {
		p.t.Fatal(err)
	}
	for _, e := range all {
		if e.Level == "erro" || e.Level == "fata" {
			p.t.Errorf("%s log: %s", p.Name, e.Line)
		}
	}
}

// TestReplay checks that replay detects wrong counts.
func TestReplay(t *testing.T) {
	const at = "2020.09.01 17:15:07 "
	tests := []struct {
		name, log string
		wantErr   string // "" means no error
		wantOpen  int
	}{
		{"balanced", at + "[info] [conn] + a = 1\n" + at + "[info] [conn] - a = 0\n", "", 0},
		{"left open", at + "[info] [conn] + a = 1\n", "", 1},
		{"drifted", at + "[info] [conn] + a = 1\n" + at + "[info] [conn] + b = 3\n", "should be 2", 0},
		{"never opened", at + "[info] [conn] + a = 1\n" + at + "[info] [conn] - b = 0\n", "never opened", 0},
		{"no line of a log", "panic: oh\n", "panic", 0},
	}
	for _, tt := range tests {
		p := &process{Name: "x", Log: filepath.Join(t.TempDir(), "log"), t: t}
		if err := os.WriteFile(p.Log, []byte(tt.log), 0o600); err != nil {
			t.Fatal(err)
		}
		all, err := p.events()
		var now map[string]int
		if err == nil {
			now, err = replay(all, "conn")
		}
		switch {
		case tt.wantErr == "" && err != nil, tt.wantErr != "" && (err == nil || !strings.Contains(err.Error(), tt.wantErr)):
			t.Errorf("%s: error %v, want %q", tt.name, err, tt.wantErr)
		case tt.wantErr == "" && now["conn"] != tt.wantOpen:
			t.Errorf("%s: %d open, want %d", tt.name, now["conn"], tt.wantOpen)
		}
	}
}
