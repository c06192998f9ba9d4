package remux_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"math/rand"
	"net"
	"sync"
	"testing"
	"time"

	"tunnels/remux"
)

// basicPeer implements only the four-byte frame: session 0 is skipped, length 0 ends a
// session and is answered with length 0, and there are no windows.
type basicPeer struct {
	c net.Conn

	wmu sync.Mutex
	mu  sync.Mutex
	in  map[uint16]*io.PipeWriter
	new chan *basicSession // sessions opened by the other end
	bad error              // error for the first frame that is not allowed
}

type basicSession struct {
	*io.PipeReader
	p *basicPeer
	n uint16
}

func newBasicPeer(t *testing.T, c net.Conn) *basicPeer {
	p := &basicPeer{c: c, in: map[uint16]*io.PipeWriter{}, new: make(chan *basicSession, 100)}
	over := make(chan struct{})
	go func() {
		defer close(over)
		p.read()
	}()
	t.Cleanup(func() {
		c.Close()
		p.mu.Lock()
		for _, w := range p.in {
			w.Close()
		}
		p.mu.Unlock()
		<-over
		if p.bad != nil {
			t.Error(p.bad)
		}
	})
	return p
}

func (p *basicPeer) read() {
	seen := map[uint16]bool{}
	for {
		f, err := readFrame(p.c)
		if err != nil {
			p.mu.Lock()
			for _, w := range p.in {
				w.CloseWithError(err)
			}
			p.mu.Unlock()
			return
		}
		n := f.session
		p.mu.Lock()
		w := p.in[n]
		switch {
		case n == 0: // control frames are ignored
		case w == nil && seen[n]:
			p.bad = errors.New("a frame after the end of its session: " + f.String())
		case w == nil && len(f.payload) == 0:
			p.bad = errors.New("the end of a session that never existed: " + f.String())
		case w == nil:
			s := p.addLocked(n)
			w = p.in[n]
			p.new <- s
		}
		seen[n] = n != 0
		p.mu.Unlock()
		if w != nil && len(f.payload) == 0 {
			w.Close()
		} else if w != nil {
			w.Write(f.payload)
		}
	}
}

func (p *basicPeer) addLocked(n uint16) *basicSession {
	r, w := io.Pipe()
	p.in[n] = w
	return &basicSession{r, p, n}
}

// open opens a session with its first bytes.
func (p *basicPeer) open(n uint16, first string) *basicSession {
	p.mu.Lock()
	s := p.addLocked(n)
	p.mu.Unlock()
	io.WriteString(s, first)
	return s
}

func (s *basicSession) Write(b []byte) (int, error) {
	for rest := b; len(rest) > 0; {
		n := min(len(rest), 65535)
		s.p.frame(data(s.n, string(rest[:n])))
		rest = rest[n:]
	}
	return len(b), nil
}

// Close ends the session; the other end responds with FIN unless it has already sent one.
func (s *basicSession) Close() { s.p.frame(fin(s.n)) }

func (p *basicPeer) frame(b []byte) {
	p.wmu.Lock()
	defer p.wmu.Unlock()
	p.c.Write(b)
}

// noise returns n bytes followed by their checksum.
func noise(seed int64, n int) []byte {
	b := make([]byte, n)
	rand.New(rand.NewSource(seed)).Read(b)
	sum := sha256.Sum256(b)
	return append(b, sum[:]...)
}

func intact(b []byte) bool {
	if len(b) < sha256.Size {
		return false
	}
	sum := sha256.Sum256(b[:len(b)-sha256.Size])
	return bytes.Equal(sum[:], b[len(b)-sha256.Size:])
}

// readMessage reads and checks a message, which is a uint32 length and that many bytes.
func readMessage(t *testing.T, r io.Reader) []byte {
	var h [4]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		t.Errorf("reading the length: %v", err)
		return nil
	}
	b := make([]byte, binary.BigEndian.Uint32(h[:]))
	if n, err := io.ReadFull(r, b); err != nil || !intact(b) {
		t.Errorf("read %d of %d bytes, %v, or the checksum does not match", n, len(b), err)
		return nil
	}
	return b
}

func writeMessage(w io.Writer, b []byte) { w.Write(append([]byte(be32(uint32(len(b)))), b...)) }

// converse sends a message and expects it back, followed by the end of the session.
func converse(t *testing.T, s io.ReadWriter, seed int64, size int) {
	b := noise(seed, size)
	go writeMessage(s, b)
	got, err := io.ReadAll(s)
	if err != nil || !bytes.Equal(got, b) {
		t.Errorf("session %d of %d bytes: received %d back, %v", seed, size, len(got), err)
	}
}

var basicSizes = []int{1, 100, 65535 - 36, 65535, 65536, 300000, 2 << 20}

func TestBasicPeerDials(t *testing.T) {
	s := newServer(t, remux.Config{})
	go func() { // the application: echo, then end
		for {
			c, err := s.Accept()
			if err != nil {
				return
			}
			go func() {
				c.Write(readMessage(t, c))
				c.(remux.Session).Close()
			}()
		}
	}()
	p := newBasicPeer(t, s.connect())
	var wg sync.WaitGroup
	for i, n := range []uint16{1, 2, 3, 65535, 65534, 7, 40000} { // numbers in any order
		wg.Go(func() {
			x := p.open(n, "")
			converse(t, x, int64(i), basicSizes[i])
			x.Close()
		})
	}
	p.wantAll(t, &wg)
}

// wantAll expects all conversations to finish without being interrupted.
func (p *basicPeer) wantAll(t *testing.T, wg *sync.WaitGroup) {
	late := time.AfterFunc(patience, func() {
		t.Error("a conversation did not finish")
		p.c.Close()
	})
	defer late.Stop()
	wg.Wait()
}

func TestBasicPeerAccepts(t *testing.T) {
	c := newClient(t, remux.Config{})
	var wg sync.WaitGroup
	xs := make([]remux.Session, len(basicSizes))
	c.Warm()
	p := newBasicPeer(t, c.accept())
	go func() {
		for x := range p.new {
			go func() {
				x.Write(readMessage(t, x))
				x.Close()
			}()
		}
	}()
	t.Cleanup(func() { close(p.new) })
	for i, size := range basicSizes {
		xs[i] = c.open()
		wg.Go(func() { converse(t, xs[i], int64(i), size) })
	}
	p.wantAll(t, &wg)
	for _, x := range xs {
		x.Close()
		within(t, "Done", func() { <-x.Done() })
	}
}
