// Package report turns the results of a benchmark into tables, a chart and JSON lines.
package report

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
)

// Names of the systems compared in a report.
const (
	Ours          = "ours"
	OursUnlimited = "ours-unlimited" // ours with a different setting, so not a competitor
	Reference     = "tls-relay"
)

// Report holds the results of a run. Every output is generated from it, so that they
// agree. One goroutine owns it.
type Report struct {
	Machine Machine
	Systems []string
	Trials  []Outcome
	Notes   []string
	Targets bool // show targets and verdicts in tables and chart

	rows   []row // set by Summarize
	failed int   // failed repetitions; set by Summarize
}

// Case describes a case to summarize.
type Case struct {
	Name, Title string
	Figures     []Figure
}

// Figure describes one number measured by a case.
type Figure struct {
	Name   string // its key in Outcome.Figures
	Title  string
	Unit   string
	Less   bool    // lower is better
	Target *Target // nil if it has none
}

// Outcome is the result of one repetition.
type Outcome struct {
	Case    string             `json:"case"`
	System  string             `json:"system"`
	Rep     int                `json:"rep"`
	Figures map[string]float64 `json:"figures,omitempty"`
	Error   string             `json:"error,omitempty"`
}

// Machine describes when and on which machine a run was measured.
type Machine struct {
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
	Title   string // title of the case
	Figure  Figure
	Cells   []cell // in the same order as Report.Systems
	Ratio   string // our figure divided by the reference's; "" unless both have one
	Target  string // bound to reach, or "" without a target
	Verdict string
}

// cell is one figure of a case for one system.
type cell struct {
	Spread
	failed int // number of failed repetitions
}

// Summarize builds the rows for cases from the trials, with verdicts on targets if judged
// is set, and adds a note for each failed repetition. It must be called once, before
// Write.
func (r *Report) Summarize(cases []Case, judged bool) {
	for _, c := range cases {
		for _, f := range c.Figures {
			r.rows = append(r.rows, r.row(c, f, judged))
		}
	}
	for _, t := range r.Trials {
		if t.Error != "" {
			r.failed++
			r.Notes = append(r.Notes, fmt.Sprintf("FAILED: %s, %s, repetition %d: %s", t.Case, t.System, t.Rep, t.Error))
		}
	}
}

// Failed returns the number of failed repetitions.
func (r *Report) Failed() int { return r.failed }

// row returns the row for one figure of a case, with its verdict if judged is set.
func (r *Report) row(c Case, f Figure, judged bool) row {
	row := row{Case: c.Name, Title: c.Title, Figure: f}
	var us cell
	others := make(map[string]float64)
	for _, name := range r.Systems {
		var values []float64
		var cl cell
		for _, t := range r.Trials {
			if t.Case != c.Name || t.System != name {
				continue
			}
			if v, ok := t.Figures[f.Name]; ok {
				values = append(values, v)
			} else if t.Error != "" {
				cl.failed++
			}
		}
		cl.Spread = SpreadOf(values)
		row.Cells = append(row.Cells, cl)
		switch {
		case name == Ours:
			us = cl
		case cl.N > 0 && name != OursUnlimited:
			others[name] = cl.Median
		}
	}
	if base, ok := others[Reference]; ok && us.N > 0 && base != 0 {
		row.Ratio = strconv.FormatFloat(us.Median/base, 'f', 2, 64)
	}
	if t := f.Target; t != nil {
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

// label returns the figure's label, without its case.
func (f Figure) label() string {
	if f.Unit == "" {
		return f.Title
	}
	return f.Title + ", " + f.Unit
}

// String returns a one-line description.
func (m Machine) String() string {
	cpu := m.CPU
	if cpu == "" {
		cpu = runtime.GOARCH
	}
	return fmt.Sprintf("%s, %d cores, %s, %s. %s. %s, %d repetitions, %s in all.", cpu, m.Cores, m.System, m.Go, m.Version, m.When, m.Reps, m.Took)
}

// Files names the files to write in addition to the table; "" means none, "-" means
// standard output.
type Files struct {
	JSON, SVG, Markdown string
}

// Write writes the table to stdout and the other outputs to their files.
func (r *Report) Write(stdout io.Writer, files Files) error {
	if err := r.writeTable(stdout); err != nil {
		return err
	}
	for _, out := range []struct {
		file  string
		write func(io.Writer) error
	}{{files.JSON, r.writeJSON}, {files.SVG, r.writeSVG}, {files.Markdown, r.writeMarkdown}} {
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

// summary is one cell in the JSON output.
type summary struct {
	Type   string `json:"type"` // "summary"
	Case   string `json:"case"`
	Figure string `json:"figure"`
	Unit   string `json:"unit"`
	System string `json:"system"`
	Spread
	Failed  int    `json:"failed"`
	Ratio   string `json:"ratio,omitempty"`
	Target  string `json:"target,omitempty"`
	Verdict string `json:"verdict,omitempty"`
}

// writeJSON writes the machine, every repetition and every median, one JSON object per
// line.
func (r *Report) writeJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	if err := e.Encode(r.Machine); err != nil {
		return err
	}
	for _, t := range r.Trials {
		if err := e.Encode(struct {
			Type string `json:"type"`
			Outcome
		}{"repetition", t}); err != nil {
			return err
		}
	}
	for _, row := range r.rows {
		for i, c := range row.Cells {
			if c.N == 0 && c.failed == 0 {
				continue
			}
			s := summary{Type: "summary", Case: row.Case, Figure: row.Figure.Name, Unit: row.Figure.Unit, System: r.Systems[i], Spread: c.Spread, Failed: c.failed}
			if s.System == Ours {
				s.Ratio, s.Target, s.Verdict = row.Ratio, row.Target, row.Verdict
			}
			if err := e.Encode(s); err != nil {
				return err
			}
		}
	}
	return nil
}
