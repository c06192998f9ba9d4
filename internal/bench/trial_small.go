package bench

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"tunnels/internal/bench/report"
	"tunnels/internal/bench/role"
)

// ping sends pings of the given size on c, one at a time, until stop. It returns the
// durations of those sent while measuring was set, at least one.
func ping(c net.Conn, size int, measuring, stop *atomic.Bool) ([]time.Duration, error) {
	sent, back := make([]byte, size), make([]byte, size)
	var took []time.Duration
	for i := uint64(1); !stop.Load() || len(took) == 0; i++ {
		copy(sent, binary.LittleEndian.AppendUint64(nil, i))
		counts, began := measuring.Load(), time.Now()
		if _, err := c.Write(sent); err != nil {
			return nil, fmt.Errorf("ping %d: %w", i, err)
		}
		if _, err := io.ReadFull(c, back); err != nil {
			return nil, fmt.Errorf("echo of ping %d: %w", i, err)
		}
		if !bytes.Equal(back, sent) {
			return nil, fmt.Errorf("echo of ping %d does not match", i)
		}
		if counts {
			took = append(took, time.Since(began))
		}
	}
	return took, nil
}

// pings measures pings of the given size on n sessions; unit is the unit of the latencies.
func (t *trial) pings(n, size int, warm, d, unit time.Duration) error {
	conns, err := t.open(n, t.run.origin.Echo)
	if err != nil {
		return err
	}
	var measuring, stop atomic.Bool
	took := make([][]time.Duration, n)
	ended := make(chan error, 1)
	go func() { // always received below
		ended <- parallel(n, func(i int) (err error) {
			took[i], err = ping(conns[i], size, &measuring, &stop)
			return err
		})
	}()
	err = t.sleep(warm)
	m := t.meter()
	measuring.Store(true)
	if err == nil {
		err = t.sleep(d)
	}
	stop.Store(true)
	if err != nil {
		t.closeAll()
	}
	if failed := <-ended; failed != nil {
		return failed
	}
	if err != nil {
		return err
	}
	var all []time.Duration
	for i, c := range conns {
		all = append(all, took[i]...)
		c.Close()
	}
	report.Latencies(t.figures, all, unit)
	return m.operations(len(all))
}

// openClose repeatedly opens a session, has one byte echoed and closes it; every worker
// does so at least once while measuring.
func (t *trial) openClose(workers int, warm, d time.Duration) error {
	began := time.Now()
	from, to := began.Add(warm), began.Add(warm+d)
	took := make([][]time.Duration, workers)
	started := make(chan *meter, 1)
	timer := time.AfterFunc(warm, func() { started <- t.meter() })
	defer timer.Stop()
	err := parallel(workers, func(i int) error {
		for n := i; ; n++ {
			now := time.Now()
			if !now.Before(to) && len(took[i]) > 0 {
				return nil
			}
			if err := t.once(t.run.origin.Echoes[n%len(t.run.origin.Echoes)], byte(i)); err != nil {
				return fmt.Errorf("worker %d: %w", i+1, err)
			}
			if !now.Before(from) {
				took[i] = append(took[i], time.Since(now))
			}
		}
	})
	if err != nil {
		return err
	}
	var all []time.Duration
	for _, v := range took {
		all = append(all, v...)
	}
	report.Latencies(t.figures, all, time.Microsecond)
	return (<-started).operations(len(all))
}

// once opens a session, has one byte echoed and closes it.
func (t *trial) once(target string, b byte) error {
	c, err := t.run.dialer.Dial(t.ctx, target)
	if err != nil {
		return err
	}
	defer c.Close()
	return echoByte(c, b)
}

// echoMax is how long the echo of one byte may take.
const echoMax = 20 * time.Second

func echoByte(c net.Conn, b byte) error {
	c.SetDeadline(time.Now().Add(echoMax))
	if _, err := c.Write([]byte{b}); err != nil {
		return fmt.Errorf("sending one byte: %w", err)
	}
	var back [1]byte
	if _, err := io.ReadFull(c, back[:]); err != nil {
		return fmt.Errorf("echo of one byte: %w", err)
	}
	if back[0] != b {
		return fmt.Errorf("echo of byte %d is %d", b, back[0])
	}
	return nil
}

// idleSessions opens n sessions, checks each with one byte, and sets the figure for
// memory per session, both ends combined.
func (t *trial) idleSessions(n int) error {
	if len(t.run.pids) == 0 {
		return errors.New("cannot tell which process the memory belongs to")
	}
	if err := t.once(t.run.origin.Echo, 0); err != nil { // allocates whatever the first session needs
		return err
	}
	if err := t.sleep(t.d.settle); err != nil {
		return err
	}
	before, err := residentMemory(t.run.pids)
	if err != nil {
		return err
	}
	const workers = 32
	conns := make([]*net.TCPConn, n)
	each := func(f func(i int) error) error {
		return parallel(workers, func(w int) error {
			for i := w; i < n; i += workers {
				if err := f(i); err != nil {
					return fmt.Errorf("session %d of %d: %w", i+1, n, err)
				}
			}
			return nil
		})
	}
	err = each(func(i int) (err error) {
		if conns[i], err = t.dial(t.run.origin.Echo); err != nil {
			return err
		}
		return echoByte(conns[i], byte(i))
	})
	if err != nil {
		return err
	}
	if err := t.sleep(t.d.settle); err != nil {
		return err
	}
	after, err := residentMemory(t.run.pids)
	if err != nil {
		return err
	}
	t.figures["kib"] = float64(after-before) / 1024 / float64(n)
	return each(func(i int) error { return echoByte(conns[i], byte(i+1)) }) // all of them must still work
}

// firstByte returns the time, in round trips, from connecting to the proxy to the first
// byte of the response to a small request.
func (t *trial) firstByte(rtt time.Duration) (float64, error) {
	began := time.Now()
	c, err := t.dial(t.run.origin.HTTP)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: origin\r\n\r\n"); err != nil {
		return 0, fmt.Errorf("request: %w", err)
	}
	r := bufio.NewReader(c)
	if _, err := r.Peek(1); err != nil {
		return 0, fmt.Errorf("first byte of the response: %w", err)
	}
	took := time.Since(began)
	response := make([]byte, len(role.HTTPAnswer))
	if _, err := io.ReadFull(r, response); err != nil {
		return 0, fmt.Errorf("response: %w", err)
	}
	if !bytes.Equal(response, []byte(role.HTTPAnswer)) {
		return 0, errors.New("the response does not match")
	}
	return float64(took) / float64(rtt), nil
}
