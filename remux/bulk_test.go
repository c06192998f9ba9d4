package remux

import (
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"tunnels/remux/internal/conn"
)

// bulkBytes is how much TestBulk sends in each direction, over all sessions.
// TUNNELS_TEST_BULK_MB raises it.
func bulkBytes(t *testing.T) int64 {
	mb := 64
	if s := os.Getenv("TUNNELS_TEST_BULK_MB"); s != "" {
		var err error
		if mb, err = strconv.Atoi(s); err != nil {
			t.Fatalf("TUNNELS_TEST_BULK_MB=%q is not a number of MiB", s)
		}
	}
	return int64(mb) << 20
}

// noise is a reproducible stream of n bytes, in pieces of any size and with occasional
// pauses.
type noise struct {
	rng  *rand.Rand
	left int64
	odd  bool // use pauses and small pieces
}

func newNoise(seed uint64, n int64, odd bool) *noise {
	return &noise{rng: rand.New(rand.NewPCG(seed, 1)), left: n, odd: odd}
}

func (n *noise) Read(p []byte) (int, error) {
	if n.left == 0 {
		return 0, io.EOF
	}
	if n.odd {
		switch n.rng.IntN(100) {
		case 0:
			pause(n.rng)
		case 1, 2, 3:
			p = p[:1]
		default:
			p = p[:1+n.rng.IntN(len(p))]
		}
	}
	p = p[:min(int64(len(p)), n.left)]
	n.left -= int64(len(p))
	for i := 0; i < len(p); i += 8 {
		v := n.rng.Uint64()
		for j := i; j < min(i+8, len(p)); j++ {
			p[j] = byte(v)
			v >>= 8
		}
	}
	return len(p), nil
}

// pause simulates a reader or writer that is busy for up to 2 ms; it does not wait for
// anything to happen.
func pause(rng *rand.Rand) { <-time.After(time.Duration(rng.IntN(2000)) * time.Microsecond) }

// drainOddly reads r to its end with pauses and occasional single bytes.
func drainOddly(r io.Reader, seed uint64) (sum [32]byte, n int64, err error) {
	rng := rand.New(rand.NewPCG(seed, 2))
	h := sha256.New()
	one := iotest.OneByteReader(r)
	buf := make([]byte, 96<<10)
	for {
		from := r
		switch rng.IntN(50) {
		case 0:
			from = one
		case 1:
			pause(rng)
		}
		m, err := from.Read(buf[:1+rng.IntN(len(buf))])
		h.Write(buf[:m])
		n += int64(m)
		if err == io.EOF {
			return [32]byte(h.Sum(nil)), n, nil
		}
		if err != nil {
			return sum, n, err
		}
	}
}

// TestBulk sends through 64 sessions at once, in both directions, with pauses and
// one-byte reads, and compares checksums: no byte is lost, duplicated or reordered.
func TestBulk(t *testing.T) {
	const sessions = 64
	each := bulkBytes(t) / sessions
	p, l := pair(t, Config{}, Config{})

	type half struct {
		sum [32]byte
		n   int64
		err error
	}
	want := func(seed uint64) [32]byte {
		h := sha256.New()
		// The stream must be the same whatever the sizes of its pieces.
		io.Copy(h, newNoise(seed, each, true))
		return [32]byte(h.Sum(nil))
	}
	// run sends one stream on c and receives the other.
	run := func(c net.Conn, seed uint64) half {
		var wg sync.WaitGroup
		defer wg.Wait()
		wg.Go(func() {
			if _, err := io.Copy(onlyWriter{c}, newNoise(seed, each, true)); err != nil {
				t.Errorf("sending stream %d: %v", seed, err)
			}
			if err := c.(*conn.Session).CloseWrite(); err != nil {
				t.Errorf("finishing stream %d: %v", seed, err)
			}
		})
		sum, n, err := drainOddly(c, seed)
		return half{sum, n, err}
	}

	var wg sync.WaitGroup
	for i := range uint64(sessions) {
		up, down := 2*i+10, 2*i+11
		s, err := p.open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		// The first byte identifies the stream, because sessions may be accepted in any
		// order.
		if _, err := s.Write([]byte{byte(i)}); err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			got := run(s, up)
			if got.err != nil || got.n != each || got.sum != want(down) {
				t.Errorf("session %d, down: %d bytes of %d, error %v, sum equal: %t", i, got.n, each, got.err, got.sum == want(down))
			}
			s.Close()
		})
		wg.Go(func() {
			c, err := l.Accept()
			if err != nil {
				t.Error(err)
				return
			}
			var first [1]byte
			if _, err := io.ReadFull(c, first[:]); err != nil {
				t.Error(err)
				return
			}
			up, down := 2*uint64(first[0])+10, 2*uint64(first[0])+11
			got := run(c, down)
			if got.err != nil || got.n != each || got.sum != want(up) {
				t.Errorf("session %d, up: %d bytes of %d, error %v, sum equal: %t", first[0], got.n, each, got.err, got.sum == want(up))
			}
			c.Close()
		})
	}
	wg.Wait()
	if n := waiting(p.cfg.Budget) + waiting(l.cfg.Budget); n != 0 {
		t.Errorf("%d bytes still counted as buffered after everything was read", n)
	}
}

// onlyWriter hides all methods of a conn except Write.
type onlyWriter struct{ io.Writer }

// TestNumbers opens as many sessions in sequence as a conn has numbers, twice, and checks
// that no number repeats and no byte goes astray.
func TestNumbers(t *testing.T) {
	const total = 70_000
	var mu sync.Mutex
	seen := map[ID]bool{}
	closed := 0
	hooks := &Hooks{
		SessionOpened: func(id ID) {
			mu.Lock()
			defer mu.Unlock()
			if seen[id] {
				t.Errorf("session %s opened twice", id)
			}
			seen[id] = true
		},
		SessionClosed: func(ID, error) { mu.Lock(); closed++; mu.Unlock() },
	}
	p, l := pair(t, Config{ReuseMaxCount: 1 << 15, ReuseMaxAge: time.Hour, Hooks: hooks}, Config{})

	var servers sync.WaitGroup
	servers.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			servers.Go(func() { // echo
				if _, err := io.Copy(onlyWriter{c}, c); err != nil {
					t.Errorf("echo: %v", err)
				}
				c.Close()
			})
		}
	})

	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range total / 8 {
				want := strconv.Itoa(w) + "/" + strconv.Itoa(i)
				s, err := p.open(t.Context())
				if err != nil {
					t.Errorf("open: %v", err)
					return
				}
				s.Write([]byte(want))
				s.CloseWrite()
				got, err := io.ReadAll(s)
				if err != nil || string(got) != want {
					t.Errorf("echo of %q = %q, %v", want, got, err)
				}
				s.Close()
			}
		})
	}
	wg.Wait()
	l.Close()
	p.Close()
	servers.Wait()
	mu.Lock()
	defer mu.Unlock()
	conns := map[uint32]bool{}
	for id := range seen {
		conns[id.Conn] = true
	}
	if len(seen) != total || closed != total || len(conns) < 3 {
		t.Errorf("%d sessions opened and %d closed on %d conns, want %d, %d and at least 3", len(seen), closed, len(conns), total, total)
	}
}

// TestLost checks that a conn that breaks during a download causes an error at both ends,
// never a clean end of the stream, and that the next session works.
func TestLost(t *testing.T) {
	p, l := pair(t, Config{}, Config{})
	s, err := p.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.Write([]byte("x"))
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	far.Write([]byte("half of it"))
	buf := make([]byte, 10)
	if _, err := io.ReadFull(s, buf); err != nil {
		t.Fatal(err)
	}
	far.(*conn.Session).Lower().Close()
	if n, err := s.Read(buf); err == nil || err == io.EOF || errors.Is(err, net.ErrClosed) {
		t.Errorf("Read on a lost conn = %d, %v, want an error for the loss", n, err)
	}
	if _, err := io.Copy(io.Discard, far); err == nil {
		t.Error("the accepting end read EOF")
	}
	s.Close()
	far.Close()
	next, err := p.Dial()
	if err != nil {
		t.Fatalf("the next session: %v", err)
	}
	next.Close()
}
