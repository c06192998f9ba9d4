package bench

import (
	"fmt"
	"slices"
	"time"

	"tunnels/internal/bench/load"
	"tunnels/internal/bench/report"
	"tunnels/internal/bench/role"
	"tunnels/internal/netpath"
)

// caseOf is one benchmark case; every system runs it.
type caseOf struct {
	name    string
	title   string
	link    role.Link       // network between the two ends of the system
	path    *netpath.Config // the same, carrying packets instead of bytes; such a case runs only if named
	oneConn bool            // our client multiplexes all sessions over one conn
	fresh   bool            // restart the system for every repetition
	proxied bool            // meaningful only with a proxy
	figures []figure
	run     func(t *trial) error
}

// figure is one number measured by a case, identified by its name in trial.figures.
type figure struct {
	name  string
	title string
	unit  string
	less  bool // lower is better
}

var (
	speed    = figure{"mibs", "speed", "MiB/s", false}
	cpuGiB   = figure{"cpu_gib", "CPU", "s/GiB", true}
	cpuOp    = figure{"cpu_op", "CPU", "µs/op", true}
	perSec   = figure{"ops", "rate", "1/s", false}
	p50      = figure{"p50", "p50", "µs", true}
	p99      = figure{"p99", "p99", "µs", true}
	p999     = figure{"p999", "p99.9", "µs", true}
	resident = figure{"rss", "memory", "MiB", true}
)

func transfers() []figure  { return []figure{speed, cpuGiB, resident} }
func operations() []figure { return []figure{perSec, cpuOp, p50, p99, p999, resident} }

const (
	rttOfCases = 50 * time.Millisecond
	megabit    = 1e6 / 8 // one megabit per second, in bytes
	mostTrial  = 45 * time.Second
	pingSize   = 64
)

// most returns how long a repetition may take. A path with loss may be slow.
func (c *caseOf) most() time.Duration {
	if c.path != nil {
		return 2 * mostTrial
	}
	return mostTrial
}

// allCases returns the cases in report order.
func allCases() []*caseOf {
	return slices.Concat(bulkCases(), smallCases(), stallCases(), lineCases(), pathCases())
}

func bulkCases() []*caseOf {
	down := func(n int) func(*trial) error {
		return func(t *trial) error {
			d, err := t.download(n)
			if err != nil {
				return err
			}
			return t.watch(d, t.d.warm, t.d.measure)
		}
	}
	up := func(n int) func(*trial) error {
		return func(t *trial) error { return t.upload(n, t.d.measure) }
	}
	return []*caseOf{
		{name: "down1", title: "1 stream down", figures: transfers(), run: down(1)},
		{name: "up1", title: "1 stream up", figures: transfers(), run: up(1)},
		{name: "down8", title: "8 streams down", figures: transfers(), run: down(8)},
		{name: "down64", title: "64 streams down", figures: transfers(), run: down(64)},
		{name: "up8", title: "8 streams up", figures: transfers(), run: up(8)},
	}
}

func smallCases() []*caseOf {
	pings := func(n int) func(*trial) error {
		return func(t *trial) error { return t.pings(n, pingSize, t.d.warm, t.d.measure, time.Microsecond) }
	}
	return []*caseOf{
		{name: "ping1", title: "64-byte ping-pong, 1 session", figures: operations(), run: pings(1)},
		{name: "ping64", title: "64-byte ping-pong, 64 sessions", figures: operations(), run: pings(64)},
		{name: "open", title: "open + 1 byte + close, 32 workers", figures: operations(),
			run: func(t *trial) error { return t.openClose(32, t.d.warm, t.d.measure) }},
		{name: "pingbulk", title: "1-byte ping beside 8 downloads",
			figures: []figure{{"p50", "p50", "ms", true}, {"p99", "p99", "ms", true}, {"mibs", "downloads", "MiB/s", false}},
			run:     func(t *trial) error { return t.pingBeside(8, t.d.warm, t.d.measure) }},
		{name: "idle", title: "idle sessions, both ends together", fresh: true, proxied: true,
			figures: []figure{{"kib", "memory each", "KiB", true}, resident},
			run:     func(t *trial) error { return t.idleSessions(t.w.idle) }},
	}
}

// stallCases returns the cases that measure how unread sessions affect others on the same
// conn.
func stallCases() []*caseOf {
	one := func(n int) *caseOf {
		return &caseOf{name: fmt.Sprintf("stall%d", n), title: fmt.Sprintf("8 downloads beside %d unread, one conn", n),
			oneConn: true, proxied: true,
			figures: []figure{{"share", "speed relative to as many idle", "", false}, speed},
			run:     func(t *trial) error { return t.beside(n) }}
	}
	return []*caseOf{one(1), one(32)}
}

// beside measures 8 downloads next to n idle sessions, then next to n sessions that
// requested an endless download and do not read it.
func (t *trial) beside(n int) error {
	var speeds [2]float64
	for i, never := range []bool{false, true} {
		others, err := t.open(n, t.run.origin.Source)
		if err != nil {
			return err
		}
		if never {
			for _, c := range others {
				if err := load.AskEndless(c); err != nil {
					return err
				}
			}
			if err := t.sleep(2 * t.d.warm); err != nil { // let all their windows fill up
				return err
			}
		}
		d, err := t.download(8)
		if err != nil {
			return err
		}
		if err := t.watch(d, t.d.warm, t.d.measure); err != nil {
			return err
		}
		speeds[i] = t.figures["mibs"]
		for _, c := range others {
			load.Reset(c)
		}
		if err := t.sleep(t.d.warm / 2); err != nil { // let them close
			return err
		}
	}
	t.figures["share"] = speeds[1] / speeds[0]
	return nil
}

// lineCases returns the cases with a round-trip time between the two ends.
func lineCases() []*caseOf {
	const gigabit, busy = 1000 * megabit, 100 * megabit
	trips := func(name, title string) figure { return figure{name, title, "RTT", true} }
	return []*caseOf{
		{name: "first", title: "first byte at 50 ms round trip", link: role.Link{RTT: rttOfCases}, fresh: true,
			figures: []figure{trips("cold", "first request after start"), trips("later", "slowest of the later ones"), trips("later50", "p50 of the later ones"),
				trips("burst", "slowest of a burst of 16"), trips("burst50", "p50 of a burst of 16")},
			run: (*trial).firstBytes},
		{name: "far", title: "1 stream down at 50 ms round trip", link: role.Link{RTT: rttOfCases}, figures: transfers(),
			run: func(t *trial) error {
				d, err := t.download(1)
				if err != nil {
					return err
				}
				return t.watch(d, t.slow(time.Second), t.slow(time.Second))
			}},
		{name: "gigabit", title: "1 stream down at 1 Gbit/s and 100 ms", link: role.Link{RTT: 100 * time.Millisecond, Rate: gigabit},
			figures: []figure{{"share", "share of the limit", "", false}, speed, cpuGiB, resident},
			run: func(t *trial) error {
				d, err := t.download(1)
				if err != nil {
					return err
				}
				if err := t.watch(d, t.slow(2*time.Second), t.slow(1500*time.Millisecond)); err != nil {
					return err
				}
				t.figures["share"] = t.figures["mibs"] * (1 << 20) / gigabit
				return nil
			}},
		{name: "busy", title: "ping beside 8 downloads at 100 Mbit/s and 50 ms", link: role.Link{RTT: rttOfCases, Rate: busy},
			figures: []figure{{"p50", "p50", "ms", true}, {"p99", "p99", "ms", true}, {"share", "downloads, share of the limit", "", false}},
			run: func(t *trial) error {
				d, err := t.download(8)
				if err != nil {
					return err
				}
				return t.busy(d, pingSize, t.slow(time.Second), t.slow(2*time.Second), busy)
			}},
	}
}

// busy sends pings of the given size alongside downloads. rate is that of the line in
// bytes per second, or 0 if it has no limit.
func (t *trial) busy(d *load.Downloads, size int, warm, measure time.Duration, rate float64) error {
	err := t.sleep(warm)
	if err == nil {
		m, before := t.meter(), d.Bytes()
		err = t.pings(1, size, 0, measure, time.Millisecond)
		secs, _, _ := m.stop()
		perSec := float64(d.Bytes()-before) / secs
		t.figures["mibs"], t.figures["mbits"] = perSec/(1<<20), perSec/megabit
		if rate > 0 {
			t.figures["share"] = perSec / rate
		}
	}
	// Some systems have tens of MiB in flight; draining them takes seconds, so don't
	// wait.
	if failed := d.Leave(); err == nil {
		err = failed
	}
	return err
}

// pingBeside sends 1-byte pings alongside n downloads.
func (t *trial) pingBeside(n int, warm, measure time.Duration) error {
	d, err := t.download(n)
	if err != nil {
		return err
	}
	return t.busy(d, 1, warm, measure, 0)
}

// firstBytes measures requests on a freshly started system.
func (t *trial) firstBytes() (err error) {
	if err := t.sleep(t.d.settle); err != nil {
		return err
	}
	if t.figures["cold"], err = t.firstByte(rttOfCases); err != nil {
		return fmt.Errorf("first request: %w", err)
	}
	later := make([]float64, t.d.later)
	for i := range later {
		if later[i], err = t.firstByte(rttOfCases); err != nil {
			return fmt.Errorf("request %d: %w", i+2, err)
		}
	}
	s := report.SpreadOf(later)
	t.figures["later"], t.figures["later50"] = s.Max, s.Median
	var burst [16]float64
	err = parallel(len(burst), func(i int) (err error) {
		burst[i], err = t.firstByte(rttOfCases)
		return err
	})
	if err != nil {
		return fmt.Errorf("burst: %w", err)
	}
	s = report.SpreadOf(burst[:])
	t.figures["burst"], t.figures["burst50"] = s.Max, s.Median
	return nil
}
