package report

import (
	"fmt"
	"math"
)

// Against determines what a target is compared with.
type Against int

// The figures that a target's bounds can refer to.
const (
	AgainstReference Against = iota // multiples of the reference's figure
	AgainstBest                     // multiples of the best figure of all other systems in the run
	AgainstNothing                  // absolute, in the figure's own unit
)

// Target is a bound our figure should reach, and a stricter one to aim for. The figure
// determines whether more or less is better.
type Target struct {
	Against    Against
	Reach, Aim float64 // Aim 0 means none
	AimOwnUnit bool    // Aim is in the figure's own unit, regardless of Reach
}

// text returns the bound to reach, formatted for display.
func (t *Target) text(f Figure) string {
	sign := "≥"
	if f.Less {
		sign = "≤"
	}
	switch t.Against {
	case AgainstReference:
		return fmt.Sprintf("%s %g ×", sign, t.Reach)
	case AgainstBest:
		return sign + " best"
	}
	return fmt.Sprintf("%s %g", sign, t.Reach)
}

// Verdicts on a target.
const (
	met    = "met"
	aimed  = "met, and the stretch goal"
	missed = "below target"
	failed = "failed" // one of our repetitions failed
)

// judge returns the verdict on our figure, or "" if there is nothing to compare it with.
// others maps the other systems' names to their figures.
func (t *Target) judge(f Figure, us float64, others map[string]float64) string {
	base := 1.0
	switch t.Against {
	case AgainstReference:
		v, ok := others[Reference]
		if !ok {
			return ""
		}
		base = v
	case AgainstBest:
		base = math.NaN()
		for _, v := range others {
			if math.IsNaN(base) || (v < base) == f.Less {
				base = v
			}
		}
		if math.IsNaN(base) {
			return ""
		}
	}
	aim := t.Aim * base
	if t.AimOwnUnit {
		aim = t.Aim
	}
	reaches := func(bound float64) bool { return (f.Less && us <= bound) || (!f.Less && us >= bound) }
	switch {
	case !reaches(t.Reach * base):
		return missed
	case t.Aim != 0 && reaches(aim):
		return aimed
	}
	return met
}
