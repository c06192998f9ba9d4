package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// trial is one repetition of a case with one system. The load runs in this process.
type trial struct {
	ctx     context.Context // ends when the trial takes too long, which fails its connections
	w       *world
	run     *run
	d       durations
	pool    pool
	figures map[string]float64 // by name; written by the goroutine that runs the case

	mu    sync.Mutex
	conns []net.Conn // guarded by mu; closed when the trial ends
}

// durations are the durations of a trial's parts.
type durations struct {
	warm, measure time.Duration // for cases without a round-trip time
	slow          float64       // factor for the durations of cases with a round-trip time
	settle        time.Duration // after a restart, and before memory is read
	later         int           // requests after the first
	idle          int           // sessions
}

// stallMax is how much longer to measure a download until its first byte arrives.
const stallMax = 5 * time.Second

var errTooLong = errors.New("took too long")

// dial opens a session to target; it is closed when the trial ends, at the latest.
func (t *trial) dial(target string) (*net.TCPConn, error) {
	c, err := t.run.dialer.dial(t.ctx, target)
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

// parallel calls f for 0…n-1 concurrently and waits for all.
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

// meter measures the time and CPU time since it was started.
type meter struct {
	t     *trial
	began time.Time
	cpu   time.Duration
	known bool // the CPU time is known
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

// stop returns the elapsed seconds and the CPU seconds of the system; known reports
// whether the latter are available.
func (m *meter) stop() (secs, cpu float64, known bool) {
	secs = time.Since(m.began).Seconds()
	if m.known {
		if now, err := cpuTime(m.t.run.pids); err == nil {
			return secs, (now - m.cpu).Seconds(), true
		}
	}
	return secs, 0, false
}

// volume sets the figures for n bytes carried.
func (m *meter) volume(n int64) error {
	secs, cpu, known := m.stop()
	if n == 0 {
		return errors.New("no byte came while it was measured")
	}
	m.t.figures["mibs"] = float64(n) / (1 << 20) / secs
	if known {
		m.t.figures["cpu_gib"] = cpu / (float64(n) / (1 << 30))
	}
	return nil
}

// operations sets the figures for n operations.
func (m *meter) operations(n int) error {
	secs, cpu, known := m.stop()
	if n == 0 {
		return errors.New("no operation ended while it was measured")
	}
	m.t.figures["ops"] = float64(n) / secs
	if known {
		m.t.figures["cpu_op"] = cpu / float64(n) * 1e6
	}
	return nil
}

// downloads are sessions that read from the source until told to stop.
type downloads struct {
	conns []*net.TCPConn
	read  atomic.Int64 // bytes read by all downloads
	left  atomic.Bool  // the rest is not waited for
	wg    sync.WaitGroup
	errs  []error // one per session; read after wg
}

// download starts n downloads.
func (t *trial) download(n int) (*downloads, error) {
	conns, err := t.open(n, t.w.origin.Source)
	if err != nil {
		return nil, err
	}
	return t.downloadOn(conns)
}

func (t *trial) downloadOn(conns []*net.TCPConn) (*downloads, error) {
	d := &downloads{conns: conns, errs: make([]error, len(conns))}
	for i, c := range conns {
		if err := askEndless(c); err != nil {
			t.closeAll()
			d.wg.Wait()
			return nil, err
		}
		d.wg.Go(func() { d.errs[i] = d.take(c, t.pool) })
	}
	return d, nil
}

// askEndless requests bytes from the source until told to stop.
func askEndless(c net.Conn) error {
	if _, err := c.Write(make([]byte, 8)); err != nil {
		return fmt.Errorf("ask the source: %w", err)
	}
	return nil
}

// take reads c to its end and checks that every byte sent has arrived.
func (d *downloads) take(c net.Conn, p pool) error {
	buf := make([]byte, chunkSize)
	var tail []byte // the last 8 bytes: the source's count
	var got int64
	bad := int64(-1) // offset of the first wrong byte
	for {
		n, err := c.Read(buf)
		if bad < 0 {
			bad = p.differs(got, buf[:n])
		}
		got += int64(n)
		d.read.Add(int64(n))
		tail = append(tail, buf[max(0, n-8):n]...)
		tail = append(tail[:0], tail[max(0, len(tail)-8):]...)
		if err == io.EOF {
			break
		}
		if err != nil && d.left.Load() {
			if bad >= 0 {
				return fmt.Errorf("byte %d is not the one that was sent", bad)
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("after %d bytes: %w", got, err)
		}
	}
	if len(tail) < 8 {
		return fmt.Errorf("only %d bytes came", got)
	}
	if sent := binary.BigEndian.Uint64(tail); sent != uint64(got-8) {
		return fmt.Errorf("%d bytes came, and then that %d were sent", got-8, sent)
	}
	if bad >= 0 && bad < got-8 {
		return fmt.Errorf("byte %d of %d is not the one that was sent", bad, got-8)
	}
	return nil
}

// finish tells the sources to stop and waits until everything has arrived.
func (d *downloads) finish() error {
	for _, c := range d.conns {
		c.Write([]byte{0}) // if this fails, so does the read
	}
	return d.ended()
}

// leave ends the downloads now: it checks what has arrived and does not wait for data
// in flight.
func (d *downloads) leave() error {
	d.left.Store(true)
	for _, c := range d.conns {
		reset(c)
	}
	return d.ended()
}

func (d *downloads) ended() error {
	d.wg.Wait()
	for i, c := range d.conns {
		c.Close()
		if err := d.errs[i]; err != nil {
			return fmt.Errorf("download %d of %d: %w", i+1, len(d.conns), err)
		}
	}
	return nil
}

// watch counts the bytes read by the downloads in d after warm, as figures of the
// trial.
func (t *trial) watch(all *downloads, warm, d time.Duration) error {
	err := t.sleep(warm)
	if err == nil {
		m, before := t.meter(), all.read.Load()
		err = t.sleep(d)
		for err == nil && all.read.Load() == before && time.Since(m.began) < d+stallMax {
			err = t.sleep(5 * time.Millisecond)
		}
		if err == nil {
			err = m.volume(all.read.Load() - before)
		}
	}
	if err != nil {
		t.closeAll()
		all.finish()
		return err
	}
	return all.finish()
}

// upload writes to the sink on n sessions and waits until it has counted everything.
func (t *trial) upload(n int, d time.Duration) error {
	conns, err := t.open(n, t.w.origin.Sink)
	if err != nil {
		return err
	}
	m := t.meter()
	end := m.began.Add(d)
	var total atomic.Int64
	err = parallel(n, func(i int) error {
		sent, err := pour(conns[i], t.pool, end)
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

// pour writes until end and checks that every byte has arrived.
func pour(c *net.TCPConn, p pool, end time.Time) (sent int64, err error) {
	defer c.Close()
	for sent == 0 || time.Now().Before(end) {
		n, err := c.Write(p.at(sent, chunkSize))
		sent += int64(n)
		if err != nil {
			return sent, fmt.Errorf("after %d bytes: %w", sent, err)
		}
	}
	if err := c.CloseWrite(); err != nil {
		return sent, err
	}
	var answer [8]byte
	if _, err := io.ReadFull(c, answer[:]); err != nil {
		return sent, fmt.Errorf("count of the sink, after %d bytes: %w", sent, err)
	}
	switch count := binary.BigEndian.Uint64(answer[:]); count {
	case uint64(sent):
		return sent, nil
	case badContent:
		return sent, fmt.Errorf("of %d bytes others came than were sent", sent)
	default:
		return sent, fmt.Errorf("%d bytes sent, %d came", sent, count)
	}
}
