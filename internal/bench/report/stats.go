package report

import (
	"slices"
	"time"
)

// Spread summarizes the repetitions of one figure.
type Spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
	N      int     `json:"n"` // number of repetitions with a value
}

// SpreadOf summarizes values; with an even number of them, the median is the mean of the
// middle two.
func SpreadOf(values []float64) Spread {
	if len(values) == 0 {
		return Spread{}
	}
	v := slices.Sorted(slices.Values(values))
	n := len(v)
	return Spread{Median: (v[(n-1)/2] + v[n/2]) / 2, Min: v[0], Max: v[n-1], N: n}
}

// percentile returns the p-th percentile of the sorted values by nearest rank, or 0 if
// there are none.
func percentile(sorted []time.Duration, p float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	rank := int(p / 100 * float64(len(sorted)))
	if float64(rank) < p/100*float64(len(sorted)) {
		rank++
	}
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// Latencies sets the figures for the percentiles of all, in the given unit.
func Latencies(figures map[string]float64, all []time.Duration, unit time.Duration) {
	slices.Sort(all)
	for name, p := range map[string]float64{"p50": 50, "p99": 99, "p999": 99.9} {
		figures[name] = float64(percentile(all, p)) / float64(unit)
	}
}
