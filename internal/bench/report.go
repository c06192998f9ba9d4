package bench

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strconv"
	"time"
)

// report holds the results of a run. All outputs are made from it, so that they agree.
type report struct {
	Machine machine
	Systems []string
	Rows    []row
	Trials  []outcome
	Failed  int // repetitions
	Foreign int // failed repetitions of other programs
	Notes   []string
	Targets bool // tables and chart show targets and verdicts
}

// machine describes when and on which machine it was measured.
type machine struct {
	Type    string `json:"type"` // "machine", in JSON lines
	CPU     string `json:"cpu"`
	Cores   int    `json:"cores"`
	System  string `json:"system"`
	Go      string `json:"go"`
	Version string `json:"version"`
	When    string `json:"when"`
	Took    string `json:"took"`
	Reps    int    `json:"repetitions"`
}

// row is one figure of a case, for all systems.
type row struct {
	Case    string
	Title   string // of the case
	Figure  figure
	Cells   []cell // in the order of report.Systems
	Ratio   string // ours to the reference; "" unless both are there
	Target  string // bound to reach, or "" if there is none
	Verdict string
}

// cell is one figure of a case for one system.
type cell struct {
	spread
	failed int // repetitions
}

// report summarizes what was measured.
func (b *bench) report() *report {
	r := &report{Notes: b.notes, Trials: b.trials, Targets: b.o.targets, Machine: machine{Type: "machine", CPU: cpuModel(), Cores: runtime.NumCPU(), System: kernel(), Go: runtime.Version(),
		Version: b.version, When: b.began.Format(time.DateTime), Took: time.Since(b.began).Round(time.Second).String(), Reps: b.o.n}}
	for _, s := range b.systems {
		r.Systems = append(r.Systems, s.name)
	}
	for _, c := range leadingFirst(b.o.caseTable) {
		for _, f := range c.figures {
			r.Rows = append(r.Rows, r.row(c, f, !b.o.smoke))
		}
	}
	for _, t := range b.trials {
		if t.Error != "" {
			r.Failed++
			if t.System == "ssh" || t.System == "microsocks" {
				r.Foreign++
			}
			r.Notes = append(r.Notes, fmt.Sprintf("FAILED: %s, %s, repetition %d: %s", t.Case, t.System, t.Rep, t.Error))
		}
	}
	return r
}

// leading are the cases that a report begins with: what people compare first.
var leading = []string{"first", "far", "open", "idle"}

// leadingFirst returns cases with the leading ones first, otherwise in their order.
func leadingFirst(cases []*caseOf) []*caseOf {
	rank := func(c *caseOf) int {
		if i := slices.Index(leading, c.name); i >= 0 {
			return i
		}
		return len(leading)
	}
	return slices.SortedStableFunc(slices.Values(cases), func(a, b *caseOf) int { return cmp.Compare(rank(a), rank(b)) })
}

// row returns the row of a case's figure, with its verdict if judged.
func (r *report) row(c *caseOf, f figure, judged bool) row {
	row := row{Case: c.name, Title: c.title, Figure: f}
	var us cell
	others := make(map[string]float64)
	for _, name := range r.Systems {
		var values []float64
		var cl cell
		for _, t := range r.Trials {
			if t.Case != c.name || t.System != name {
				continue
			}
			if v, ok := t.Figures[f.name]; ok {
				values = append(values, v)
			} else if t.Error != "" {
				cl.failed++
			}
		}
		cl.spread = spreadOf(values)
		row.Cells = append(row.Cells, cl)
		switch {
		case name == ours:
			us = cl
		case cl.N > 0 && name != oursUnlimited:
			others[name] = cl.Median
		}
	}
	if base, ok := others[reference]; ok && us.N > 0 && base != 0 {
		row.Ratio = strconv.FormatFloat(us.Median/base, 'f', 2, 64)
	}
	if t := targetOf(c.name, f.name); t != nil {
		row.Target = t.text(f)
		switch {
		case judged && us.failed > 0:
			row.Verdict = failed
		case judged && us.N > 0:
			row.Verdict = t.judge(f, us.Median, others)
		}
	}
	return row
}

// number formats a figure with three significant digits.
func number(v float64) string {
	switch a := max(v, -v); {
	case a >= 99.95:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case a >= 9.995:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case a >= 0.0995 || a == 0:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
	return strconv.FormatFloat(v, 'f', 3, 64)
}

// String returns the median with minimum and maximum, and the number of failed
// repetitions.
func (c cell) String() string {
	s := "-"
	switch {
	case c.N == 1:
		s = number(c.Median)
	case c.N > 1:
		s = fmt.Sprintf("%s (%s–%s)", number(c.Median), number(c.Min), number(c.Max))
	}
	if c.failed > 0 {
		s += fmt.Sprintf(" %d failed", c.failed)
	}
	return s
}

// label describes the figure without its case.
func (f figure) label() string {
	if f.unit == "" {
		return f.title
	}
	return f.title + ", " + f.unit
}

// String returns a readable line.
func (m machine) String() string {
	cpu := m.CPU
	if cpu == "" {
		cpu = runtime.GOARCH
	}
	return fmt.Sprintf("%s, %d cores, %s, %s. %s. %s, %d repetitions, %s in all.", cpu, m.Cores, m.System, m.Go, m.Version, m.When, m.Reps, m.Took)
}

// write makes all outputs.
func (r *report) write(o *options, stdout io.Writer) error {
	if err := r.writeTable(stdout); err != nil {
		return err
	}
	for _, out := range []struct {
		file  string
		write func(io.Writer) error
	}{{o.json, r.writeJSON}, {o.svg, r.writeSVG}, {o.md, r.writeMarkdown}} {
		if err := toFile(out.file, stdout, out.write); err != nil {
			return err
		}
	}
	return nil
}

func toFile(name string, stdout io.Writer, write func(io.Writer) error) error {
	switch name {
	case "":
		return nil
	case "-":
		return write(stdout)
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	if err := write(f); err != nil {
		f.Close()
		return fmt.Errorf("%s: %w", name, err)
	}
	return f.Close()
}

// summary is a cell in the JSON output.
type summary struct {
	Type   string `json:"type"` // "summary"
	Case   string `json:"case"`
	Figure string `json:"figure"`
	Unit   string `json:"unit"`
	System string `json:"system"`
	spread
	Failed  int    `json:"failed"`
	Ratio   string `json:"ratio,omitempty"`
	Target  string `json:"target,omitempty"`
	Verdict string `json:"verdict,omitempty"`
}

// writeJSON writes the machine, every repetition and every median, one object per line.
func (r *report) writeJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	if err := e.Encode(r.Machine); err != nil {
		return err
	}
	for _, t := range r.Trials {
		if err := e.Encode(struct {
			Type string `json:"type"`
			outcome
		}{"repetition", t}); err != nil {
			return err
		}
	}
	for _, row := range r.Rows {
		for i, c := range row.Cells {
			if c.N == 0 && c.failed == 0 {
				continue
			}
			s := summary{Type: "summary", Case: row.Case, Figure: row.Figure.name, Unit: row.Figure.unit, System: r.Systems[i], spread: c.spread, Failed: c.failed}
			if s.System == ours {
				s.Ratio, s.Target, s.Verdict = row.Ratio, row.Target, row.Verdict
			}
			if err := e.Encode(s); err != nil {
				return err
			}
		}
	}
	return nil
}
