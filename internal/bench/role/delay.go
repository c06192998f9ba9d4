package role

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"tunnels/internal/bench/load"
)

const (
	// queueMax limits how long data waits in the queue in front of a rate-limited line.
	// The value is typical of routers on slow lines. A faster sender is slowed down;
	// nothing is lost.
	queueMax = 100 * time.Millisecond
	// inFlightMax limits the bytes in flight in one direction of a connection: 64 MiB,
	// which allows 2.5 GiB/s at a round trip of 50 ms.
	inFlightMax   = 64 << 20
	packetsMax    = 8192 // maximum number of chunks in flight
	slowChunkSize = 16 << 10
)

// Link describes the network emulated by a relay.
type Link struct {
	RTT  time.Duration // 0 means that no relay is used
	Rate int64         // bytes per second in each direction, for all connections together; 0 means no limit
}

// RelaySpec configures a relay, which listens for TCP and UDP on the same address.
type RelaySpec struct {
	Link   Link
	Listen string
	Target string
}

// lane is one direction of the line, shared by all connections.
type lane struct {
	rate int64
	mu   sync.Mutex
	free time.Time // guarded by mu; when the line will be free again
}

// take sends n bytes over the line. leaves is when the last of them is sent; the sender
// must wait until goOn, when the queue has room again.
func (l *lane) take(n int, now time.Time) (leaves, goOn time.Time) {
	if l.rate == 0 {
		return now, now
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.free.Before(now) {
		l.free = now
	}
	l.free = l.free.Add(time.Duration(float64(n) / float64(l.rate) * float64(time.Second)))
	return l.free, l.free.Add(-queueMax)
}

// offer is like take, but for packets that may be lost: it returns false if the queue is
// full.
func (l *lane) offer(n int, now time.Time) (leaves time.Time, ok bool) {
	l.mu.Lock()
	full := l.rate != 0 && l.free.Sub(now) > queueMax
	l.mu.Unlock()
	if full {
		return time.Time{}, false
	}
	leaves, _ = l.take(n, now)
	return leaves, true
}

// relay delays TCP connections and UDP packets to its target.
type relay struct {
	spec     RelaySpec
	up, down lane
	tcp      *Acceptor
	udp      *udpRelay
	buffers  buffers
	done     chan struct{} // closed by Close; interrupts all sleeps
}

func startRelay(spec RelaySpec) (*relay, error) {
	r := &relay{spec: spec, up: lane{rate: spec.Link.Rate}, down: lane{rate: spec.Link.Rate}, done: make(chan struct{})}
	r.buffers.init()
	var err error
	if r.tcp, err = Serve(spec.Listen, r.carry); err != nil {
		return nil, fmt.Errorf("relay: %w", err)
	}
	if r.udp, err = startUDPRelay(r, r.tcp.Addr()); err != nil {
		r.tcp.Close()
		return nil, fmt.Errorf("relay: %w", err)
	}
	return r, nil
}

func (r *relay) where() any { return r.tcp.Addr() }

// Close closes everything and waits for the goroutines.
func (r *relay) Close() error {
	close(r.done)
	r.udp.Close()
	return r.tcp.Close()
}

// carry relays one connection. It also emulates the handshake: the far end sees the
// connection after half a round trip, and data sent immediately by the near end leaves
// after a full one, as if it had waited for the SYN-ACK.
func (r *relay) carry(a *Acceptor, near *net.TCPConn) {
	began := time.Now()
	if !sleepUntil(began.Add(r.spec.Link.RTT/2), r.done) {
		return
	}
	c, err := net.DialTimeout("tcp", r.spec.Target, 10*time.Second)
	if err != nil {
		near.SetLinger(0)
		return
	}
	far := c.(*net.TCPConn)
	if !a.hold(far) {
		return
	}
	defer a.drop(far)
	if rate := r.spec.Link.Rate; rate > 0 {
		// Data buffered in the kernel adds to the queue beyond queueMax; 5 ms of it is
		// enough to keep the line busy.
		size := int(min(max(rate/200, 64<<10), 1<<20))
		near.SetReadBuffer(size)
		far.SetReadBuffer(size)
	}
	var wg sync.WaitGroup
	wg.Go(func() { r.oneWay(near, far, &r.down) })
	if sleepUntil(began.Add(r.spec.Link.RTT), r.done) {
		r.oneWay(far, near, &r.up)
	}
	wg.Wait()
}

// packet is the data from one read or, if empty, the end.
type packet struct {
	data []byte
	due  time.Time // time of arrival
	err  error     // io.EOF if the direction ended; otherwise the connection was reset
}

// oneWay relays one direction until its end.
func (r *relay) oneWay(dst, src *net.TCPConn, l *lane) {
	packets := make(chan packet, packetsMax)
	room := make(chan struct{}, 1) // signaled when inFlight has decreased
	var inFlight atomic.Int64
	var wg sync.WaitGroup
	wg.Go(func() { r.deliver(dst, src, packets, room, &inFlight) })
	defer wg.Wait()
	defer close(packets)
	size := load.ChunkSize
	if l.rate != 0 {
		size = slowChunkSize // so that a small packet need not wait for large ones from other connections
	}
	for {
		for inFlight.Load() >= inFlightMax {
			<-room
		}
		data, err := r.buffers.read(src, size)
		now := time.Now()
		leaves, goOn := l.take(len(data), now)
		due := leaves.Add(r.spec.Link.RTT / 2)
		if len(data) > 0 {
			inFlight.Add(int64(len(data)))
			packets <- packet{data: data, due: due}
		}
		if err != nil {
			packets <- packet{due: due, err: err}
			return
		}
		if goOn.After(now) && !sleepUntil(goOn, r.done) {
			return
		}
	}
}

// deliver writes packets when they are due. After a failure it keeps draining them, so
// that the sender can finish.
func (r *relay) deliver(dst, src *net.TCPConn, packets <-chan packet, room chan<- struct{}, inFlight *atomic.Int64) {
	failed := false
	for p := range packets {
		if !failed && !sleepUntil(p.due, r.done) {
			failed = true
		}
		switch {
		case failed:
		case p.err == nil:
			if _, err := dst.Write(p.data); err != nil {
				failed = true
				load.Reset(src)
			}
		case errors.Is(p.err, io.EOF):
			dst.CloseWrite()
		default:
			load.Reset(dst)
		}
		inFlight.Add(-int64(len(p.data)))
		r.buffers.put(p.data)
		select {
		case room <- struct{}{}:
		default:
		}
	}
}

// buffers holds pools of buffers by size, so that many small chunks use little memory.
type buffers struct{ free [len(bufferSizes)]chan []byte }

var bufferSizes = [...]int{2 << 10, 16 << 10, 64 << 10, load.ChunkSize}

func (b *buffers) init() {
	for i, size := range bufferSizes {
		b.free[i] = make(chan []byte, min(inFlightMax/size, packetsMax))
	}
}

// get returns a buffer that holds n bytes.
func (b *buffers) get(n int) []byte {
	for i, size := range bufferSizes {
		if n > size {
			continue
		}
		select {
		case buf := <-b.free[i]:
			return buf[:n]
		default:
			return make([]byte, n, size)
		}
	}
	return make([]byte, n)
}

func (b *buffers) put(data []byte) {
	for i, size := range bufferSizes {
		if cap(data) == size {
			select {
			case b.free[i] <- data:
			default:
			}
		}
	}
}

// read reads up to size bytes into a buffer about as large as the data.
func (b *buffers) read(src io.Reader, size int) ([]byte, error) {
	buf := b.get(size)
	n, err := src.Read(buf)
	if n > cap(buf)/4 {
		return buf[:n], err
	}
	defer b.put(buf)
	return append(b.get(n)[:0], buf[:n]...), err
}
