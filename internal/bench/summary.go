package bench

import (
	"cmp"
	"runtime"
	"slices"
	"time"

	"tunnels/internal/bench/report"
)

// report summarizes the measurements.
func (b *bench) report() *report.Report {
	r := &report.Report{Notes: b.notes, Trials: b.trials, Targets: b.o.targets, Machine: report.Machine{Type: "machine", CPU: cpuModel(), Cores: runtime.NumCPU(), System: kernel(), Go: runtime.Version(),
		Version: b.version, When: b.began.Format(time.DateTime), Took: time.Since(b.began).Round(time.Second).String(), Reps: b.o.n}}
	for _, s := range b.systems {
		r.Systems = append(r.Systems, s.name)
	}
	var cases []report.Case
	for _, c := range leadingFirst(b.o.caseTable) {
		cases = append(cases, c.reported())
	}
	r.Summarize(cases, !b.o.smoke)
	return r
}

// reported returns the case in the form that package report uses.
func (c *caseOf) reported() report.Case {
	rc := report.Case{Name: c.name, Title: c.title}
	for _, f := range c.figures {
		rc.Figures = append(rc.Figures, report.Figure{Name: f.name, Title: f.title, Unit: f.unit, Less: f.less, Target: targetOf(c.name, f.name)})
	}
	return rc
}

// oursFailed reports whether a repetition failed with a system other than ssh and
// microsocks.
func (b *bench) oursFailed() bool {
	return slices.ContainsFunc(b.trials, func(t report.Outcome) bool {
		return t.Error != "" && t.System != "ssh" && t.System != "microsocks"
	})
}

// leading lists the cases at the top of a report: the ones people compare first.
var leading = []string{"first", "far", "open", "idle"}

// leadingFirst returns cases with the leading ones moved to the front.
func leadingFirst(cases []*caseOf) []*caseOf {
	rank := func(c *caseOf) int {
		if i := slices.Index(leading, c.name); i >= 0 {
			return i
		}
		return len(leading)
	}
	return slices.SortedStableFunc(slices.Values(cases), func(a, b *caseOf) int { return cmp.Compare(rank(a), rank(b)) })
}
