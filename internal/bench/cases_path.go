package bench

import "tunnels/internal/netpath"

const (
	pathRate = 100 * megabit
	pathLoss = 0.01
)

// pathCases returns the cases over a path, whose packets the kernels' own TCP sends.
func pathCases() []*caseOf {
	clean := netpath.Link{Delay: rttOfCases / 2, Rate: pathRate}
	lossy := clean
	lossy.Loss = pathLoss
	over := func(l netpath.Link, c caseOf) *caseOf {
		path := netpath.Symmetric(l)
		c.path, c.fresh = &path, true // a path carries one repetition, so that each has a seed of its own
		return &c
	}
	return []*caseOf{
		over(clean, caseOf{name: "path-page", title: "page of 60 objects at 100 Mbit/s and 50 ms", figures: pageFigures(), run: (*trial).pages}),
	}
}
