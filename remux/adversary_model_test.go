package remux_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"net"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tunnels/remux"
)

// A session is modeled as two pipes. A direction is a stream of bytes that both ends
// derive from a seed; the actions of its two ends determine how it must end.
type direction struct {
	seed     int64
	begun    atomic.Int64 // bytes passed to Write
	written  atomic.Int64 // bytes that Write reported as handed over
	finished atomic.Bool  // CloseWrite or Close was called, with no earlier error
	read     int64
	end      error // last error from Read
}

// modelSession is a session whose two ends act at random.
type modelSession struct {
	name   string
	there  direction // from the opener to the other end
	back   direction
	broken atomic.Bool // either end has called Reset
}

var errWrong = errors.New("wrong bytes")

// write writes d's stream in random sizes, then ends the direction or the session.
func (m *modelSession) write(d *direction, x remux.Session, dice *rand.Rand) error {
	stream := rand.New(rand.NewSource(d.seed))
	b := make([]byte, 200000)
	for range dice.Intn(12) {
		size := []int{0, 1, dice.Intn(100), dice.Intn(5000), 65535, 65536, dice.Intn(len(b))}[dice.Intn(7)]
		stream.Read(b[:size])
		d.begun.Add(int64(size))
		n, err := x.Write(b[:size])
		d.written.Add(int64(n))
		if err != nil {
			if !m.broken.Load() {
				return fmt.Errorf("%s: Write: %w", m.name, err)
			}
			return nil
		}
		for range dice.Intn(100) {
			runtime.Gosched()
		}
	}
	if dice.Intn(8) == 0 {
		m.broken.Store(true)
		x.Reset(0x11, m.name)
		return nil
	}
	d.finished.Store(true)
	x.CloseWrite()
	return nil
}

// drain reads d's stream to its end in random sizes, with stalls.
func (m *modelSession) drain(d *direction, x remux.Session, dice *rand.Rand) error {
	stream := rand.New(rand.NewSource(d.seed))
	b, want := make([]byte, 100000), make([]byte, 100000)
	x.SetReadDeadline(time.Now().Add(2 * patience))
	for {
		n, err := x.Read(b[:1+dice.Intn(len(b))])
		stream.Read(want[:n])
		if string(b[:n]) != string(want[:n]) {
			return fmt.Errorf("%s: %w at %d", m.name, errWrong, d.read)
		}
		if d.read += int64(n); err != nil {
			d.end = err
			return nil
		}
		if dice.Intn(20) == 0 { // a stall
			for range dice.Intn(2000) {
				runtime.Gosched()
			}
		}
	}
}

// judge compares the outcome of a direction with what its ends did.
func (m *modelSession) judge(d *direction) error {
	w := d.written.Load()
	switch {
	case errors.Is(d.end, os.ErrDeadlineExceeded):
		return fmt.Errorf("%s: stuck after %d bytes of %d", m.name, d.read, w)
	case d.read > d.begun.Load():
		return fmt.Errorf("%s: %d bytes read, %d written", m.name, d.read, d.begun.Load())
	case d.end == io.EOF && !d.finished.Load():
		return fmt.Errorf("%s: a clean end after %d bytes, although neither end had finished", m.name, d.read)
	case d.end == io.EOF && d.read != w:
		return fmt.Errorf("%s: a clean end after %d bytes of %d", m.name, d.read, w)
	case d.end != io.EOF && !m.broken.Load():
		return fmt.Errorf("%s: %w after %d bytes, although neither end had reset it", m.name, d.end, d.read)
	}
	return nil
}

// both runs one end: it writes one direction and reads the other.
func (m *modelSession) both(out, in *direction, x remux.Session, seed int64) error {
	errs := make(chan error, 1)
	go func() { errs <- m.write(out, x, rand.New(rand.NewSource(seed))) }()
	err := m.drain(in, x, rand.New(rand.NewSource(seed+1)))
	err = errors.Join(err, <-errs)
	x.Close()
	return err
}

func TestModel(t *testing.T) {
	seeds := []int64{1, 2, 3, time.Now().UnixNano()}
	if s, err := strconv.ParseInt(os.Getenv("MODEL_SEED"), 10, 64); err == nil {
		seeds = []int64{s}
	}
	for i, seed := range seeds {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			t.Logf("to repeat, set MODEL_SEED=%d", seed)
			model(t, seed, i%2 == 1)
		})
	}
}

func model(t *testing.T, seed int64, pipes bool) {
	budget := remux.NewBudget(32 << 20)
	var s *server
	cfg := remux.Config{Budget: budget}
	if pipes {
		s = newPipeServer(t, remux.Config{Budget: budget}, nil)
		cfg.Dial = func(context.Context, string, string) (net.Conn, error) { return s.connect(), nil }
	} else {
		s = newServer(t, remux.Config{Budget: budget})
	}
	pool := cfg.NewPool("tcp", s.Addr().String())
	defer pool.Close()

	const sessions = 40
	ms := make([]*modelSession, sessions)
	for i := range ms {
		ms[i] = &modelSession{name: fmt.Sprintf("seed %d, session %d", seed, i)}
		ms[i].there.seed, ms[i].back.seed = seed+int64(i)*10+1, seed+int64(i)*10+2
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for { // a session that was reset immediately may never arrive
			c, err := s.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				x := c.(remux.Session)
				var which [1]byte
				x.SetReadDeadline(time.Now().Add(2 * patience))
				if _, err := io.ReadFull(x, which[:]); err != nil {
					x.Close()
					return
				}
				m := ms[which[0]]
				if err := m.both(&m.back, &m.there, x, seed+int64(which[0])*10+3); err != nil {
					t.Error(err)
				}
				if m.there.end != nil {
					if err := m.judge(&m.there); err != nil {
						t.Error("there:", err)
					}
				}
			})
		}
	})
	var open sync.WaitGroup
	for i, m := range ms {
		open.Go(func() {
			c, err := pool.Open(context.Background())
			if err != nil {
				t.Error(m.name, err)
				return
			}
			c.Write([]byte{byte(i)})
			if err := m.both(&m.there, &m.back, c, seed+int64(i)*10+5); err != nil {
				t.Error(err)
			}
			if err := m.judge(&m.back); err != nil {
				t.Error("back:", err)
			}
		})
	}
	open.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := pool.Shutdown(ctx); err != nil {
		t.Errorf("Shutdown of the pool: %v", err)
	}
	// On a pipe, the pool's Shutdown may return before the listener has processed
	// everything.
	if err := s.Shutdown(ctx); err != nil {
		t.Errorf("Shutdown of the listener: %v", err)
	}
	wg.Wait()
	if w, _, g := budget.Usage(); g != 0 || w != 0 {
		t.Errorf("%d bytes are still granted and %d buffered after the end", g, w)
	}
}
