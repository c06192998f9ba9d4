package eagersocks

import (
	"net"
	"runtime"
	"sync/atomic"
	"testing"
)

// counted is a listener that counts the reads from its connections.
type counted struct {
	net.Listener
	reads  atomic.Int32
	wanted int32
	seen   chan struct{} // closed after that many reads
}

func (l *counted) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &countedConn{c.(*net.TCPConn), l}, nil
}

type countedConn struct {
	*net.TCPConn
	l *counted
}

func (c *countedConn) Read(p []byte) (int, error) {
	if c.l.reads.Add(1) == c.l.wanted {
		close(c.l.seen)
	}
	return c.TCPConn.Read(p)
}

// held returns the memory used by the heap and stacks after a collection.
func held() (heap, stacks uint64) {
	runtime.GC()
	runtime.GC() // for objects with finalizers
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc, m.StackInuse
}

// TestPendingGreetingIsSmall checks that a connection that has sent one byte uses
// little memory; both of its ends are in this process.
func TestPendingGreetingIsSmall(t *testing.T) {
	const n, limit = 4096, 8 << 10
	lower, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &counted{Listener: lower, wanted: 2 * n, seen: make(chan struct{})}
	ln := new(Config).NewSocksListener(l)
	defer ln.Close()
	heap, stacks := held()
	apps := make([]net.Conn, n)
	for i := range apps {
		apps[i] = dialTo(t, ln)
		if _, err := apps[i].Write([]byte{5}); err != nil {
			t.Fatal(err)
		}
	}
	<-l.seen // each connection has read its byte and is waiting for more
	heapNow, stacksNow := held()
	each := (int64(heapNow-heap) + int64(stacksNow-stacks)) / n
	t.Logf("each uses %d bytes of heap and %d of stack", int64(heapNow-heap)/n, int64(stacksNow-stacks)/n)
	if each > limit {
		t.Errorf("each of %d pending greetings uses %d bytes, want at most %d", n, each, limit)
	}
}
