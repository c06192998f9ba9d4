package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"tunnels/internal/bench/load"
)

// trial is one repetition of a case with one system. This process generates the load.
type trial struct {
	ctx     context.Context // expires when the trial takes too long, which fails its connections
	w       *world
	run     *run
	d       durations
	pool    load.Pool
	figures map[string]float64 // by name; owned by the goroutine running the case

	mu    sync.Mutex
	conns []net.Conn // guarded by mu; closed when the trial ends
}

// durations holds how long each part of a trial lasts.
type durations struct {
	warm, measure time.Duration // for cases without a round-trip time
	slow          float64       // multiplies the durations of cases with a round-trip time
	settle        time.Duration // after a restart, and before memory is read
	later         int           // number of requests after the first
	idle          int           // number of sessions
	objects       int           // of a page
}

// slow returns how long a part of a case with a round-trip time lasts that usually takes d.
func (t *trial) slow(d time.Duration) time.Duration {
	return time.Duration(float64(d) * t.d.slow)
}

// stallMax is how much longer to keep measuring a download whose first byte has not
// arrived.
const stallMax = 5 * time.Second

var errTooLong = errors.New("took too long")

// dial opens a session to target; if still open, it is closed when the trial ends.
func (t *trial) dial(target string) (*net.TCPConn, error) {
	c, err := t.run.dialer.Dial(t.ctx, target)
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ctx.Err() != nil {
		c.Close()
		return nil, context.Cause(t.ctx)
	}
	t.conns = append(t.conns, c)
	return c, nil
}

func (t *trial) closeAll() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range t.conns {
		c.Close()
	}
	t.conns = nil
}

// parallel calls f(0) to f(n-1) concurrently and waits for all of them.
func parallel(n int, f func(i int) error) error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = f(i) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// open opens n sessions to target concurrently.
func (t *trial) open(n int, target string) ([]*net.TCPConn, error) {
	conns := make([]*net.TCPConn, n)
	err := parallel(n, func(i int) (err error) {
		conns[i], err = t.dial(target)
		return err
	})
	return conns, err
}

func (t *trial) sleep(d time.Duration) error {
	select {
	case <-t.ctx.Done():
		return context.Cause(t.ctx)
	case <-time.After(d):
		return nil
	}
}

// meter measures wall time and CPU time from its start.
type meter struct {
	t     *trial
	began time.Time
	cpu   time.Duration
	known bool // the CPU time is available
}

func (t *trial) meter() *meter {
	m := &meter{t: t}
	if len(t.run.pids) > 0 {
		var err error
		m.cpu, err = cpuTime(t.run.pids)
		m.known = err == nil
	}
	m.began = time.Now()
	return m
}

// stop returns the elapsed seconds and the system's CPU seconds; known reports whether
// the latter are available.
func (m *meter) stop() (secs, cpu float64, known bool) {
	secs = time.Since(m.began).Seconds()
	if m.known {
		if now, err := cpuTime(m.t.run.pids); err == nil {
			return secs, (now - m.cpu).Seconds(), true
		}
	}
	return secs, 0, false
}

// volume sets the figures for n bytes transferred.
func (m *meter) volume(n int64) error {
	secs, cpu, known := m.stop()
	if n == 0 {
		return errors.New("no bytes received during the measurement")
	}
	m.t.figures["mibs"] = float64(n) / (1 << 20) / secs
	m.t.figures["mbits"] = float64(n) / megabit / secs
	if known {
		m.t.figures["cpu_gib"] = cpu / (float64(n) / (1 << 30))
	}
	return nil
}

// operations sets the figures for n completed operations.
func (m *meter) operations(n int) error {
	secs, cpu, known := m.stop()
	if n == 0 {
		return errors.New("no operation completed during the measurement")
	}
	m.t.figures["ops"] = float64(n) / secs
	if known {
		m.t.figures["cpu_op"] = cpu / float64(n) * 1e6
	}
	return nil
}

// download starts n downloads.
func (t *trial) download(n int) (*load.Downloads, error) {
	conns, err := t.open(n, t.run.origin.Source)
	if err != nil {
		return nil, err
	}
	return load.Download(conns, t.pool)
}

// observe sets the figures for the bytes that all downloads read within d after the warm-up.
func (t *trial) observe(all *load.Downloads, warm, d time.Duration) error {
	if err := t.sleep(warm); err != nil {
		return err
	}
	m, before := t.meter(), all.Bytes()
	err := t.sleep(d)
	for err == nil && all.Bytes() == before && time.Since(m.began) < d+stallMax {
		err = t.sleep(5 * time.Millisecond)
	}
	if err != nil {
		return err
	}
	return m.volume(all.Bytes() - before)
}

// watch is like observe, and then ends the downloads and waits for what is in flight.
func (t *trial) watch(all *load.Downloads, warm, d time.Duration) error {
	if err := t.observe(all, warm, d); err != nil {
		t.closeAll()
		all.Finish()
		return err
	}
	return all.Finish()
}

// upload writes to the sink on n sessions and waits until the sink has counted
// everything.
func (t *trial) upload(n int, d time.Duration) error {
	conns, err := t.open(n, t.run.origin.Sink)
	if err != nil {
		return err
	}
	m := t.meter()
	end := m.began.Add(d)
	var total atomic.Int64
	err = parallel(n, func(i int) error {
		sent, err := load.Pour(conns[i], t.pool, end)
		total.Add(sent)
		if err != nil {
			return fmt.Errorf("upload %d of %d: %w", i+1, n, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return m.volume(total.Load())
}
