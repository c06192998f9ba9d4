package role

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	flowsMax    = 1024            // concurrent UDP flows; packets of any more are dropped
	flowIdleMax = 2 * time.Minute // a flow ends after this long without packets from the far end
)

// udpRelay is the line for UDP packets, which are dropped when the queue is full.
type udpRelay struct {
	relay *relay
	near  *net.UDPConn
	wg    sync.WaitGroup

	mu     sync.Mutex
	flows  map[netip.AddrPort]*flow // guarded by mu; by the near end's address
	closed bool                     // guarded by mu
}

// flow is the socket that sends one near end's packets to the target.
type flow struct {
	far *net.UDPConn
	up  chan packet // packets for the target
}

func startUDPRelay(r *relay, addr string) (*udpRelay, error) {
	at, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		return nil, err
	}
	near, err := net.ListenUDP("udp", at)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	u := &udpRelay{relay: r, near: near, flows: make(map[netip.AddrPort]*flow)}
	u.wg.Go(u.receive)
	return u, nil
}

// Close closes all flows and waits for the goroutines; relay.done must already be closed.
func (u *udpRelay) Close() {
	u.near.Close()
	u.mu.Lock()
	u.closed = true
	for _, f := range u.flows {
		f.far.Close()
	}
	u.mu.Unlock()
	u.wg.Wait()
}

// receive reads packets from the near ends.
func (u *udpRelay) receive() {
	buf := make([]byte, 64<<10)
	for {
		n, from, err := u.near.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		if f := u.flow(from); f != nil {
			u.queue(f.up, buf[:n], &u.relay.up)
		}
	}
}

// flow returns the flow for a near end, or nil if there are too many.
func (u *udpRelay) flow(from netip.AddrPort) *flow {
	u.mu.Lock()
	defer u.mu.Unlock()
	f := u.flows[from]
	if f != nil || u.closed || len(u.flows) >= flowsMax {
		return f
	}
	c, err := net.Dial("udp", u.relay.spec.Target)
	if err != nil {
		return nil
	}
	f = &flow{far: c.(*net.UDPConn), up: make(chan packet, packetsMax)}
	u.flows[from] = f
	down := make(chan packet, packetsMax)
	gone := make(chan struct{})
	u.wg.Go(func() { u.deliver(f.up, gone, func(b []byte) { f.far.Write(b) }) })
	u.wg.Go(func() { u.deliver(down, gone, func(b []byte) { u.near.WriteToUDPAddrPort(b, from) }) })
	u.wg.Go(func() {
		defer close(gone)
		u.answers(f, from, down)
	})
	return f
}

// answers reads packets from the target until the flow ends.
func (u *udpRelay) answers(f *flow, from netip.AddrPort, down chan<- packet) {
	defer func() {
		u.mu.Lock()
		delete(u.flows, from)
		u.mu.Unlock()
		f.far.Close()
	}()
	buf := make([]byte, 64<<10)
	for {
		f.far.SetReadDeadline(time.Now().Add(flowIdleMax))
		n, err := f.far.Read(buf)
		if err != nil {
			return
		}
		u.queue(down, buf[:n], &u.relay.down)
	}
}

// queue queues a copy of b if there is room.
func (u *udpRelay) queue(packets chan<- packet, b []byte, l *lane) {
	now := time.Now()
	leaves, ok := l.offer(len(b), now)
	if !ok {
		return
	}
	data := append(u.relay.buffers.get(len(b))[:0], b...)
	select {
	case packets <- packet{data: data, due: leaves.Add(u.relay.spec.Link.RTT / 2)}:
	default:
		u.relay.buffers.put(data)
	}
}

// deliver sends packets when they are due until the flow ends.
func (u *udpRelay) deliver(packets <-chan packet, gone <-chan struct{}, send func([]byte)) {
	for {
		select {
		case p := <-packets:
			if !sleepUntil(p.due, u.relay.done) {
				return
			}
			send(p.data)
			u.relay.buffers.put(p.data)
		case <-gone:
			return
		}
	}
}
