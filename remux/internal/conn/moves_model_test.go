package conn

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tunnels/internal/code"
	"tunnels/remux/internal/flow"
	"tunnels/remux/internal/frame"
	"tunnels/remux/internal/kin"
)

// movesGoal is how many moves the model test makes.
const movesGoal = 10_000

// fleet is the conns between one client process and a server.
type fleet struct {
	t          *testing.T
	near, far  *Config
	ln         net.Listener
	wg         sync.WaitGroup // accept loops and handlers
	done       chan struct{}  // closed when the conns end
	serverEnds func(*Session)

	mu    sync.Mutex
	conns []*Conn                 // guarded by mu; the client's, open
	lost  map[uint32]bool         // guarded by mu; ids of conns that were cut
	ends  map[uint32]*Conn        // guarded by mu; the server's, by id
	lower map[uint32]*net.TCPConn // guarded by mu; the client's, by id
}

func newFleet(t *testing.T, n int, serve func(*Session)) *fleet {
	t.Helper()
	near, far := testConfig(), testConfig()
	near.Instance = frame.Instance{1, 2, 3, 4}
	far.Kin = kin.New[*Conn]()
	near.Budget, far.Budget = &flow.Budget{Limit: 256 << 20}, &flow.Budget{Limit: 256 << 20}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fleet{
		t: t, near: near, far: far, ln: ln, done: make(chan struct{}), serverEnds: serve,
		lost: map[uint32]bool{}, ends: map[uint32]*Conn{}, lower: map[uint32]*net.TCPConn{},
	}
	for range n {
		f.add()
	}
	t.Cleanup(f.close)
	return f
}

// add dials one more conn.
func (f *fleet) add() *Conn {
	a, err := net.Dial("tcp", f.ln.Addr().String())
	if err != nil {
		f.t.Fatal(err)
	}
	b, err := f.ln.Accept()
	if err != nil {
		f.t.Fatal(err)
	}
	near, far := Start(a, f.near, true), Start(b, f.far, false)
	f.wg.Go(func() {
		for {
			s, err := far.Accept()
			if err != nil {
				return
			}
			f.wg.Go(func() { f.serverEnds(s.(*Session)) })
		}
	})
	id := near.id.Load()
	f.mu.Lock()
	f.conns, f.ends[id], f.lower[id] = append(f.conns, near), far, a.(*net.TCPConn)
	f.mu.Unlock()
	return near
}

func (f *fleet) close() {
	f.ln.Close()
	f.mu.Lock()
	conns, ends := f.conns, f.ends
	f.mu.Unlock()
	for _, c := range conns {
		c.Close()
	}
	for _, c := range ends {
		c.Close()
	}
	f.wg.Wait()
}

// any returns a random open conn.
func (f *fleet) any() *Conn {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.conns[rand.N(len(f.conns))]
}

// replace ends a random conn, with GOAWAY from either end or by cutting it, and adds
// another.
func (f *fleet) replace() {
	f.add()
	f.mu.Lock()
	i := rand.N(len(f.conns) - 1)
	c := f.conns[i]
	f.conns = append(f.conns[:i:i], f.conns[i+1:]...)
	id := c.id.Load()
	end, lower := f.ends[id], f.lower[id]
	kind := rand.N(4)
	if kind == 3 {
		f.lost[id] = true
	}
	f.mu.Unlock()
	switch kind {
	case 0:
		end.GoAway(code.GoingAway, "")
	case 3:
		lower.SetLinger(0)
		lower.Close()
	default:
		c.Retire()
	}
}

func (f *fleet) wasLost(ids map[uint32]bool) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id := range ids {
		if f.lost[id] {
			return true
		}
	}
	return false
}

// Each session begins with its plan, which both ends follow.
type plan struct {
	seed     uint64
	up, down uint32
	resetAt  uint32 // the server resets the session after that many bytes up; 0 if never
	stall    bool   // the client reads slowly at first
}

func (p plan) bytes() []byte {
	b := binary.BigEndian.AppendUint64(nil, p.seed)
	for _, v := range []uint32{p.up, p.down, p.resetAt} {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return b
}

// stream is the deterministic bytes of one direction.
func stream(seed uint64, n uint32) io.Reader {
	var key [32]byte
	binary.BigEndian.PutUint64(key[:], seed)
	return io.LimitReader(rand.NewChaCha8(key), int64(n))
}

// verify reads n bytes and compares them with the stream.
func verify(r io.Reader, seed uint64, n uint32) error {
	got, want := make([]byte, 16<<10), make([]byte, 16<<10)
	ref := stream(seed, n)
	for done := uint32(0); ; {
		k, err := r.Read(got)
		if k > 0 {
			if _, short := io.ReadFull(ref, want[:k]); short != nil {
				return fmt.Errorf("MODEL: more than %d bytes", n)
			}
			if string(got[:k]) != string(want[:k]) {
				return fmt.Errorf("MODEL: other bytes than were sent, between %d and %d", done, int(done)+k)
			}
			done += uint32(k)
		}
		if err == io.EOF {
			if done != n {
				return fmt.Errorf("MODEL: a clean end after %d of %d bytes", done, n)
			}
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// send writes a stream in pieces of random size.
func send(w io.Writer, seed uint64, n uint32) error {
	b := make([]byte, 64<<10)
	r := stream(seed, n)
	for {
		k, err := r.Read(b[:1+rand.N(len(b))])
		if k > 0 {
			if _, werr := w.Write(b[:k]); werr != nil {
				return werr
			}
		}
		if err != nil {
			return nil
		}
	}
}

// serveModel is the server's end of a session.
func serveModel(t *testing.T, s *Session) {
	defer s.Close()
	var head [20]byte
	if _, err := io.ReadFull(s, head[:]); err != nil {
		return
	}
	seed, up, down, resetAt := binary.BigEndian.Uint64(head[:]), binary.BigEndian.Uint32(head[8:]), binary.BigEndian.Uint32(head[12:]), binary.BigEndian.Uint32(head[16:])
	if resetAt > 0 {
		_, _ = io.CopyN(io.Discard, s, int64(resetAt))
		if send(s, seed+1, down) == nil {
			s.Reset(code.TargetReset, "as planned")
		}
		return
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		if send(s, seed+1, down) == nil {
			s.CloseWrite()
		}
	})
	if err := verify(s, seed, up); isModel(err) {
		t.Errorf("up: %v", err)
	}
	wg.Wait()
}

func isModel(err error) bool {
	return err != nil && len(err.Error()) > 5 && err.Error()[:5] == "MODEL"
}

// TestMovesModel moves sessions at random between conns, while they carry data both ways,
// end or are reset, while conns go away or are lost, and while readers stall. No byte is
// lost, doubled or reordered, and no session ends that its ends did not end and that was
// on no conn that was lost.
func TestMovesModel(t *testing.T) {
	f := newFleet(t, 4, func(s *Session) { serveModel(t, s) })
	var moves, failed, finished atomic.Int64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if f.session(&moves) {
					finished.Add(1)
				} else {
					failed.Add(1)
				}
			}
		})
	}
	deadline := time.Now().Add(4 * time.Minute)
	for moves.Load() < movesGoal && !t.Failed() {
		if time.Now().After(deadline) {
			t.Errorf("only %d moves in time", moves.Load())
			break
		}
		at := moves.Load() + movesGoal/200
		for moves.Load() < at && time.Now().Before(deadline) && !t.Failed() {
			time.Sleep(time.Millisecond)
		}
		f.replace()
	}
	close(stop)
	wg.Wait()
	t.Logf("%d moves, %d sessions finished, %d lost with a conn", moves.Load(), finished.Load(), failed.Load())
	if finished.Load() < 100 {
		t.Errorf("only %d sessions finished", finished.Load())
	}
}

// session carries one session, moving it while it runs. It returns false if the session
// was lost with one of its conns.
func (f *fleet) session(moves *atomic.Int64) bool {
	p := plan{seed: rand.Uint64(), up: uint32(rand.N(300 << 10)), down: uint32(rand.N(600 << 10)), stall: rand.N(4) == 0}
	if rand.N(6) == 0 {
		p.resetAt, p.up = 1+uint32(rand.N(100)), 200
	}
	c := f.any()
	s, err := c.Open(f.t.Context())
	if err != nil {
		return false // the conn is going away
	}
	on := map[uint32]bool{c.id.Load(): true}
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			to := f.any()
			if s.MoveTo(to) {
				on[to.id.Load()] = true
				moves.Add(1)
			}
			select {
			case <-done:
				return
			case <-time.After(rand.N(2 * time.Millisecond)):
			}
		}
	})
	var sendErr error
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		if _, sendErr = s.Write(p.bytes()); sendErr == nil {
			if sendErr = send(s, p.seed, p.up); sendErr == nil {
				s.CloseWrite()
			}
		}
	}()
	if p.stall {
		time.Sleep(rand.N(20 * time.Millisecond))
	}
	err = verify(s, p.seed+1, p.down)
	<-sent
	close(done)
	wg.Wait()
	s.Close()
	why, reset := errors.AsType[*code.Error](err)
	switch {
	case isModel(err):
		f.t.Errorf("down: %v (plan %+v)", err, p)
	case err == nil && p.resetAt > 0:
		f.t.Errorf("a session that was reset ended cleanly (plan %+v)", p)
	case err == nil && sendErr == nil:
		return true
	case p.resetAt > 0 && reset && why.Code == code.TargetReset:
		return true
	case reset && why.Code == code.GoingAway && len(on) == 1: // opened while GOAWAY was on its way
		return false
	case f.wasLost(on):
		return false
	default:
		f.t.Errorf("session %v ended with %v, and its writes with %v, on conns that were not lost (plan %+v)", s.ID(), err, sendErr, p)
	}
	return false
}
