package bench

import (
	"fmt"
	"math"
)

// against is what a target is compared with.
type against int

const (
	theReference against = iota // bounds are multiples of its figure
	theBest                     // the best of all other systems in the run
	nothing                     // bounds are in the figure's own unit
)

// target is a bound that our figure should reach, and a stricter one to aim for.
// Whether more or less is better depends on the figure.
type target struct {
	caseName, figure string
	against          against
	reach, aim       float64 // aim 0 means none
	aimOwnUnit       bool    // aim is in the figure's own unit, regardless of reach
}

// targets are bounds for the medians of one run on two cores. They steer our own
// work, so people see them only with -targets; JSON lines always have them.
var targets = []target{
	{"down1", "cpu_gib", theReference, 0.85, 0.75, false},
	{"down1", "mibs", theReference, 1.15, 1.35, false},
	{"up1", "cpu_gib", theReference, 0.85, 0.75, false},
	{"up1", "mibs", theReference, 1.15, 1.35, false},
	{"down8", "cpu_gib", theReference, 0.9, 0.8, false},
	{"down8", "mibs", theReference, 1.05, 1.2, false},
	{"down64", "cpu_gib", theReference, 0.9, 0.8, false},
	{"down64", "mibs", theReference, 1.05, 1.2, false},
	{"up8", "cpu_gib", theReference, 0.9, 0.8, false},
	{"up8", "mibs", theReference, 1.05, 1.2, false},
	{"ping1", "p50", theReference, 0.85, 0.7, false},
	{"ping1", "cpu_op", theReference, 0.85, 0.6, false},
	{"ping64", "cpu_op", theReference, 0.75, 0.55, false},
	{"open", "ops", theReference, 2.6, 3.3, false},
	{"open", "cpu_op", theReference, 0.28, 0.2, false},
	{"idle", "kib", nothing, 24, 14, false},
	{"stall1", "share", nothing, 0.95, 0, false},
	{"stall32", "share", nothing, 0.95, 0, false},
	{"first", "cold", nothing, 1.1, 1.03, false},
	{"first", "later", nothing, 1.1, 1.03, false},
	{"first", "burst", nothing, 1.1, 1.03, false},
	{"far", "mibs", theReference, 0.8, 1, false},
	{"gigabit", "share", nothing, 0.95, 0, false},
	{"busy", "p50", theBest, 1, 75, true},
}

func targetOf(caseName, figure string) *target {
	for i, t := range targets {
		if t.caseName == caseName && t.figure == figure {
			return &targets[i]
		}
	}
	return nil
}

// text returns the bound to reach, for a reader.
func (t *target) text(f figure) string {
	sign := "≥"
	if f.less {
		sign = "≤"
	}
	switch t.against {
	case theReference:
		return fmt.Sprintf("%s %g ×", sign, t.reach)
	case theBest:
		return sign + " best"
	}
	return fmt.Sprintf("%s %g", sign, t.reach)
}

// Verdicts on a target.
const (
	met    = "met"
	aimed  = "met, also the aim"
	missed = "below target"
	failed = "failed" // a repetition of ours did
)

// judge returns the verdict on our figure, or "" if there is nothing to compare it
// with. others are the figures of the other systems by name.
func (t *target) judge(f figure, us float64, others map[string]float64) string {
	base := 1.0
	switch t.against {
	case theReference:
		v, ok := others[reference]
		if !ok {
			return ""
		}
		base = v
	case theBest:
		base = math.NaN()
		for _, v := range others {
			if math.IsNaN(base) || (v < base) == f.less {
				base = v
			}
		}
		if math.IsNaN(base) {
			return ""
		}
	}
	aim := t.aim * base
	if t.aimOwnUnit {
		aim = t.aim
	}
	reaches := func(bound float64) bool { return (f.less && us <= bound) || (!f.less && us >= bound) }
	switch {
	case !reaches(t.reach * base):
		return missed
	case t.aim != 0 && reaches(aim):
		return aimed
	}
	return met
}
