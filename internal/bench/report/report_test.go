package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// testCases returns three cases with targets on some of their figures.
func testCases() []Case {
	const less = true
	reference := func(reach, aim float64) *Target {
		return &Target{Against: AgainstReference, Reach: reach, Aim: aim}
	}
	return []Case{
		{"down1", "1 stream down", []Figure{
			{"mibs", "speed", "MiB/s", !less, reference(1.15, 1.35)},
			{"cpu_gib", "CPU", "s/GiB", less, reference(0.85, 0.75)},
			{"rss", "memory", "MiB", less, nil}}},
		{"stall1", "8 downloads beside 1 unread, one conn", []Figure{
			{"share", "speed relative to as many idle", "", !less, &Target{Against: AgainstNothing, Reach: 0.95}},
			{"mibs", "speed", "MiB/s", !less, nil}}},
		{"busy", "ping beside 8 downloads at 100 Mbit/s and 50 ms", []Figure{
			{"p50", "p50", "ms", less, &Target{Against: AgainstBest, Reach: 1, Aim: 75, AimOwnUnit: true}},
			{"p99", "p99", "ms", less, nil},
			{"share", "downloads, share of the limit", "", !less, nil}}},
	}
}

// testReport returns a report with made-up figures.
func testReport(t *testing.T) *Report {
	t.Helper()
	r := &Report{Systems: []string{Ours, "direct", Reference, "ssh"}, Notes: []string{"microsocks was not measured: it is <not> installed | here"},
		Machine: Machine{Type: "machine", CPU: "Test CPU", Cores: 2, System: "Linux 6", Go: "go1.26", Version: "tunnels test", When: "2020-09-01 17:15:07", Took: "1m", Reps: 3}}
	add := func(c, s string, figures ...map[string]float64) {
		for i, f := range figures {
			out := Outcome{Case: c, System: s, Rep: i + 1, Figures: f}
			if f == nil {
				out.Error = "after 5 bytes: EOF"
			}
			r.Trials = append(r.Trials, out)
		}
	}
	type m = map[string]float64
	add("down1", Ours, m{"mibs": 1300, "cpu_gib": 0.9}, m{"mibs": 1500, "cpu_gib": 0.8}, m{"mibs": 1400, "cpu_gib": 1.2})
	add("down1", "direct", m{"mibs": 5000}, m{"mibs": 5100}, m{"mibs": 5200})
	add("down1", Reference, m{"mibs": 1000, "cpu_gib": 1}, m{"mibs": 1000, "cpu_gib": 1}, m{"mibs": 1000, "cpu_gib": 1})
	add("down1", "ssh", m{"mibs": 900, "cpu_gib": 1.1}, nil, m{"mibs": 950, "cpu_gib": 1.3})
	add("stall1", Ours, m{"share": 0.99, "mibs": 1000}, nil, nil)
	add("busy", Ours, m{"p50": 80, "p99": 90, "share": 0.97})
	add("busy", Reference, m{"p50": 150, "p99": 160, "share": 0.99})
	add("busy", "ssh", m{"p50": 70.5, "p99": 130, "share": 0.98})
	r.Summarize(testCases(), true)
	return r
}

func TestGolden(t *testing.T) {
	r, judged := testReport(t), testReport(t)
	judged.Targets = true
	for name, write := range map[string]func(io.Writer) error{
		"table.txt": r.writeTable, "chart.svg": r.writeSVG, "table.md": r.writeMarkdown, "lines.jsonl": r.writeJSON,
		"table-targets.txt": judged.writeTable, "chart-targets.svg": judged.writeSVG, "table-targets.md": judged.writeMarkdown,
	} {
		var got bytes.Buffer
		if err := write(&got); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Bytes(), bytes.ReplaceAll(want, []byte("\r\n"), []byte("\n"))) {
			t.Errorf("%s has changed (run go test ./internal/bench/report -update and check the diff):\n%s", file, got.Bytes())
		}
	}
}

// TestReport checks what the golden files cannot show.
func TestReport(t *testing.T) {
	r := testReport(t)
	verdicts := map[string]string{"down1 mibs": aimed, "down1 cpu_gib": missed, "stall1 share": failed, "busy p50": missed}
	for _, row := range r.rows {
		key := row.Case + " " + row.Figure.Name
		if row.Verdict != verdicts[key] {
			t.Errorf("verdict on %s = %q, want %q", key, row.Verdict, verdicts[key])
		}
		delete(verdicts, key)
	}
	if len(verdicts) != 0 {
		t.Errorf("no rows for %v", verdicts)
	}
	if r.failed != 3 {
		t.Errorf("failed repetitions = %d, want 3", r.failed)
	}
	var svg, lines bytes.Buffer
	r.writeSVG(&svg)
	d := xml.NewDecoder(&svg)
	for {
		if _, err := d.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("chart is not XML: %v", err)
		}
	}
	r.writeJSON(&lines)
	for line := range strings.Lines(lines.String()) {
		var v map[string]any
		if err := json.Unmarshal([]byte(line), &v); err != nil || v["type"] == nil {
			t.Errorf("line %q: %v, want an object with a type", line, err)
		}
	}
}

func TestJudge(t *testing.T) {
	less, more := Figure{Less: true}, Figure{}
	ratio := &Target{Against: AgainstReference, Reach: 0.85, Aim: 0.75}
	best := &Target{Against: AgainstBest, Reach: 1, Aim: 75, AimOwnUnit: true}
	own := &Target{Against: AgainstNothing, Reach: 0.95}
	tests := []struct {
		t      *Target
		f      Figure
		us     float64
		others map[string]float64
		want   string
	}{
		{ratio, less, 0.8, map[string]float64{Reference: 1}, met},
		{ratio, less, 0.7, map[string]float64{Reference: 1}, aimed},
		{ratio, less, 0.9, map[string]float64{Reference: 1}, missed},
		{ratio, less, 0.9, map[string]float64{"ssh": 1}, ""},
		{best, less, 80, map[string]float64{"ssh": 90, Reference: 150}, met},
		{best, less, 74, map[string]float64{"ssh": 90, Reference: 150}, aimed},
		{best, less, 100, map[string]float64{"ssh": 90, Reference: 150}, missed},
		{best, less, 100, nil, ""},
		{own, more, 0.95, nil, met},
		{own, more, 0.94, nil, missed},
	}
	for _, tt := range tests {
		if got := tt.t.judge(tt.f, tt.us, tt.others); got != tt.want {
			t.Errorf("judge(%v, %g, %v) = %q, want %q", *tt.t, tt.us, tt.others, got, tt.want)
		}
	}
}

// TestTargetsHidden: targets and verdicts are shown only with -targets.
func TestTargetsHidden(t *testing.T) {
	for _, shown := range []bool{false, true} {
		r := testReport(t)
		r.Targets = shown
		for name, write := range map[string]func(io.Writer) error{"table": r.writeTable, "chart": r.writeSVG, "Markdown": r.writeMarkdown} {
			var b bytes.Buffer
			if err := write(&b); err != nil {
				t.Fatal(err)
			}
			for _, words := range []string{"target", missed, aimed, "1.15 ×"} {
				if strings.Contains(b.String(), words) != shown {
					t.Errorf("%s with targets %v: contains %q: %v\n%s", name, shown, words, !shown, &b)
				}
			}
		}
	}
}
