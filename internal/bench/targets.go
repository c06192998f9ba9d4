package bench

import "tunnels/internal/bench/report"

// target is the goal for one figure of a case.
type target struct {
	caseName, figure string
	against          report.Against
	reach, aim       float64 // aim 0 means none
	aimOwnUnit       bool    // aim is in the figure's own unit, regardless of reach
}

// targets lists bounds for the medians of one run on two cores. They guide our own work,
// so they are shown only with -targets; the JSON lines always include them.
var targets = []target{
	{"down1", "cpu_gib", report.AgainstReference, 0.85, 0.75, false},
	{"down1", "mibs", report.AgainstReference, 1.15, 1.35, false},
	{"up1", "cpu_gib", report.AgainstReference, 0.85, 0.75, false},
	{"up1", "mibs", report.AgainstReference, 1.15, 1.35, false},
	{"down8", "cpu_gib", report.AgainstReference, 0.9, 0.8, false},
	{"down8", "mibs", report.AgainstReference, 1.05, 1.2, false},
	{"down64", "cpu_gib", report.AgainstReference, 0.9, 0.8, false},
	{"down64", "mibs", report.AgainstReference, 1.05, 1.2, false},
	{"up8", "cpu_gib", report.AgainstReference, 0.9, 0.8, false},
	{"up8", "mibs", report.AgainstReference, 1.05, 1.2, false},
	{"ping1", "p50", report.AgainstReference, 0.85, 0.7, false},
	{"ping1", "cpu_op", report.AgainstReference, 0.85, 0.6, false},
	{"ping64", "cpu_op", report.AgainstReference, 0.75, 0.55, false},
	{"open", "ops", report.AgainstReference, 2.6, 3.3, false},
	{"open", "cpu_op", report.AgainstReference, 0.28, 0.2, false},
	{"idle", "kib", report.AgainstNothing, 24, 14, false},
	{"stall1", "share", report.AgainstNothing, 0.95, 0, false},
	{"stall32", "share", report.AgainstNothing, 0.95, 0, false},
	{"first", "cold", report.AgainstNothing, 1.1, 1.03, false},
	{"first", "later", report.AgainstNothing, 1.1, 1.03, false},
	{"first", "burst", report.AgainstNothing, 1.1, 1.03, false},
	{"far", "mibs", report.AgainstReference, 0.8, 1, false},
	{"gigabit", "share", report.AgainstNothing, 0.95, 0, false},
	{"busy", "p50", report.AgainstBest, 1, 75, true},
}

// targetOf returns the target for a figure, or nil if it has none.
func targetOf(caseName, figure string) *report.Target {
	for _, t := range targets {
		if t.caseName == caseName && t.figure == figure {
			return &report.Target{Against: t.against, Reach: t.reach, Aim: t.aim, AimOwnUnit: t.aimOwnUnit}
		}
	}
	return nil
}
