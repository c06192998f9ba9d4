package bench

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"tunnels/internal/bench/load"
	"tunnels/internal/bench/report"
)

const (
	pageWorkers = 6               // as many as browsers open to one host
	pageAgain   = 8 * time.Second // from the end of the first load to the second
	objectMin   = 4 << 10
	objectMax   = 60 << 10
)

// pageSizes returns the sizes of a page's n objects, the same in every run.
func pageSizes(n int) []int {
	random := rand.New(rand.NewPCG(60, 6))
	sizes := make([]int, n)
	for i := range sizes {
		sizes[i] = objectMin + random.IntN(objectMax-objectMin+1)
	}
	return sizes
}

// pageFigures are set by pages.
func pageFigures() []figure {
	return []figure{{"first", "first load", "s", true}, {"again", "load 8 s later", "s", true},
		{"first99", "p99 of an object, first load", "ms", true}, {"again99", "p99 of an object, load 8 s later", "ms", true}}
}

// pages loads the page on a freshly started system and again after a pause, in which idle
// connections may be closed or lose their congestion window.
func (t *trial) pages() error {
	if err := t.sleep(t.d.settle); err != nil {
		return err
	}
	if err := t.page("first"); err != nil {
		return fmt.Errorf("first load: %w", err)
	}
	if err := t.sleep(t.slow(pageAgain)); err != nil {
		return err
	}
	if err := t.page("again"); err != nil {
		return fmt.Errorf("second load: %w", err)
	}
	return nil
}

// page loads every object once, each in a session of its own, and sets the figure for
// the time that took and the p99 of the objects.
func (t *trial) page(name string) error {
	sizes := pageSizes(t.d.objects)
	took := make([]time.Duration, len(sizes))
	var next atomic.Int64
	began := time.Now()
	err := parallel(pageWorkers, func(int) error {
		for {
			i := int(next.Add(1)) - 1
			if i >= len(sizes) {
				return nil
			}
			began := time.Now()
			if err := t.object(sizes[i]); err != nil {
				return fmt.Errorf("object %d of %d bytes: %w", i+1, sizes[i], err)
			}
			took[i] = time.Since(began)
		}
	})
	if err != nil {
		return err
	}
	t.figures[name] = time.Since(began).Seconds()
	percentiles := make(map[string]float64)
	report.Latencies(percentiles, took, time.Millisecond)
	t.figures[name+"99"] = percentiles["p99"]
	return nil
}

// object requests n bytes in a new session.
func (t *trial) object(n int) error {
	c, err := t.dial(t.run.origin.Source)
	if err != nil {
		return err
	}
	defer c.Close()
	return load.Fetch(c, t.pool, n)
}
