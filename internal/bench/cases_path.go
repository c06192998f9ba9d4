package bench

import (
	"time"

	"tunnels/internal/netpath"
)

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
		over(clean, caseOf{name: "path-ping", title: "1-byte ping beside 1 download at 100 Mbit/s and 50 ms", figures: pingFigures(), run: pathPing}),
		over(clean, caseOf{name: "path-down8", title: "8 streams down at 100 Mbit/s and 50 ms", figures: []figure{mbits, cpuGiB, resident}, run: pathDown}),
		over(lossy, caseOf{name: "path-loss-page", title: "page of 60 objects with 1 % loss", figures: pageFigures(), run: (*trial).pages}),
		over(lossy, caseOf{name: "path-loss-ping", title: "1-byte ping beside 1 download with 1 % loss", figures: pingFigures(), run: pathPing}),
		over(lossy, caseOf{name: "path-loss-down8", title: "8 streams down with 1 % loss", figures: []figure{mbits, cpuGiB, resident}, run: pathDown}),
	}
}

var mbits = figure{"mbits", "speed", "Mbit/s", false}

func pingFigures() []figure {
	return []figure{{"p50", "p50", "ms", true}, {"p99", "p99", "ms", true}, {"mbits", "download", "Mbit/s", false}}
}

// pathPing sends pings beside a download.
func pathPing(t *trial) error {
	return t.pingBeside(1, t.slow(2*time.Second), t.slow(8*time.Second))
}

// pathDown measures 8 downloads. It does not wait for what is in flight, which with loss
// may take longer than the measurement.
func pathDown(t *trial) error {
	d, err := t.download(8)
	if err != nil {
		return err
	}
	err = t.observe(d, t.slow(3*time.Second), t.slow(8*time.Second))
	if failed := d.Leave(); err == nil {
		err = failed
	}
	return err
}
