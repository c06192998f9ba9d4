//go:build unix

package splice

import (
	"bytes"
	"errors"
	"io"
	"net"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"

	"tunnels/internal/code"
)

// These tests need non-blocking reads and writes of sockets.

func TestIdleHoldsNoBuffer(t *testing.T) {
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC() // sync.Pool survives the first run
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	const n = 200
	before := heap()
	all := make([]joined, n)
	for i := range all {
		all[i] = joinPairs(t, "tcp")
		io.WriteString(all[i].app, "x")
		io.WriteString(all[i].target, "y")
	}
	for _, j := range all {
		io.ReadFull(j.app, make([]byte, 1))
		io.ReadFull(j.target, make([]byte, 1))
	}
	per := (heap() - before) / n
	if per > int64(bufferSizes[0]/2) {
		t.Errorf("an idle join holds %d bytes, want far less than a buffer (%d)", per, bufferSizes[0])
	}
	for _, j := range all {
		j.app.Close()
		j.target.Close()
		<-j.result
	}
}

// deliverer is a SinkSetter that hands take to the test, which calls it directly.
type deliverer struct {
	*net.TCPConn
	ready chan func([][]byte) int
}

func (d *deliverer) SetSink(take func([][]byte) int) error {
	d.ready <- take
	return nil
}

// TestSetSink checks that delivered data is counted and stays in order with data that
// is read, and that take refuses data that does not fit.
func TestSetSink(t *testing.T) {
	peer, a := tcpPair(t)
	app, b := tcpPair(t)
	defer app.Close()
	d := &deliverer{TCPConn: a, ready: make(chan func([][]byte) int, 1)}
	done := make(chan Result, 1)
	go func() { done <- Both(d, b, code.General, code.General) }()
	take := <-d.ready
	if n := take([][]byte{[]byte("deli"), []byte("vered ")}); n != 10 {
		t.Errorf("take accepted %d bytes of 10", n)
	}
	// Nothing is reading app, so take eventually accepts only part, without blocking.
	full := make([]byte, 64<<10)
	taken := 10
	for {
		n := take([][]byte{full[:1000], full[1000:]})
		taken += n
		if n < len(full) {
			break
		}
	}
	peer.Write([]byte("read"))
	peer.CloseWrite()
	app.CloseWrite()
	got, err := io.ReadAll(app)
	if err != nil || len(got) != taken+4 || string(got[:10]) != "delivered " || string(got[len(got)-4:]) != "read" {
		t.Errorf("application got %d bytes, %v, want %d, from \"delivered \" to \"read\"", len(got), err, taken+4)
	}
	if r := <-done; r.Err != nil || r.FromA != int64(taken+4) {
		t.Errorf("Both = %+v, want %d bytes from a and no error", r, taken+4)
	}
	peer.Close()
}

// TestDeliverToReset checks that an application's reset is not mistaken for a clean
// end, even if the kernel reported it to a delivery.
func TestDeliverToReset(t *testing.T) {
	for range 100 {
		peer, a := tcpPair(t)
		app, b := tcpPair(t)
		d := &deliverer{TCPConn: a, ready: make(chan func([][]byte) int, 1)}
		done := make(chan Result, 1)
		go func() { done <- Both(d, b, code.General, code.Cancelled) }()
		take := <-d.ready
		stop := make(chan struct{})
		go func() {
			defer close(stop)
			for take([][]byte{[]byte("more and "), []byte("more ")}) > 0 {
			}
		}()
		app.SetLinger(0)
		app.Close()
		<-stop
		r := <-done
		if r.Err == nil || r.Failed != B {
			t.Errorf("Both = %+v, want b failed, because it was reset", r)
		}
		peer.Close()
	}
}

// TestAnswerBeforeFailedDeliveryArrives checks that data a target sent before it reset
// the connection arrives even if a delivery to it failed and more is written
// afterwards.
func TestAnswerBeforeFailedDeliveryArrives(t *testing.T) {
	answer := bytes.Repeat([]byte("too large "), 5000)
	for range 50 {
		app, a := pair(t, "tcp")
		target, b := pair(t, "tcp")
		if _, err := b.Write([]byte("never read")); err != nil {
			t.Fatal(err)
		}
		if _, err := target.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		if _, err := target.Write(answer); err != nil {
			t.Fatal(err)
		}
		target.Close() // sends RST, because bytes are unread
		d := &deliverer{TCPConn: a.(*net.TCPConn), ready: make(chan func([][]byte) int, 1)}
		result := both(d, &gatedSocket{gated: gated{Stream: b, open: make(chan struct{})}})
		take := <-d.ready
		take([][]byte{[]byte("delivered")})
		app.Write([]byte("written"))
		got := make([]byte, len(answer))
		if n, err := io.ReadFull(app, got); err != nil || !bytes.Equal(got, answer) {
			t.Fatalf("application read %d bytes of the answer, %v; want %d", n, err, len(answer))
		}
		if r := <-result; r.Failed != B || r.Err == nil {
			t.Errorf("Both = %+v, want b failed", r)
		}
		app.Close()
	}
}

// gatedSocket is a gated stream that receives deliveries directly on its socket.
type gatedSocket struct {
	gated
	asked atomic.Bool
}

func (g *gatedSocket) SyscallConn() (syscall.RawConn, error) {
	if g.asked.Swap(true) { // the first call sets up delivery; the reader must use WaitReadable
		return nil, errors.ErrUnsupported
	}
	return g.Stream.(syscall.Conn).SyscallConn()
}
