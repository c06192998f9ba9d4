package datagram

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"tunnels/internal/splice"
)

// Counts holds the datagram and byte counts for one end of an association.
type Counts struct {
	// Dropped counts datagrams lost because a queue was full, they were too large for a
	// record or a socket, sending failed, or the target's name did not resolve.
	Dropped uint64
	// Refused counts datagrams whose target the exit's policy forbids.
	Refused uint64
	// Ignored counts datagrams from other addresses, fragments and malformed datagrams.
	Ignored uint64
	// Forgotten counts targets (not datagrams) evicted to make room while they could
	// still have answered.
	Forgotten uint64

	// Up and Down count payload bytes received from the application and from its
	// targets, including those dropped later.
	Up, Down uint64
}

// Association is the client's end: a UDP socket for one application (RFC 1928 section
// 7). It accepts datagrams only from the application's address, and only from the first
// port that sends a valid one. Its methods may be called from any goroutine, but Run
// only once.
type Association struct {
	// Immutable after creation.
	socket *net.UDPConn
	peer   netip.Addr
	link   link

	port             atomic.Uint32 // application's port, or 0 if unknown; written by the socket reader
	dropped, ignored atomic.Uint64
	up, down         atomic.Uint64
}

// Listen opens an association's socket on its control connection's local address, for
// the application at the remote address. Both must be IP addresses or UNIX
// socket addresses, which stand for 127.0.0.1. hint is the address in the application's
// request: if it names a port, on the application's own or the unspecified address,
// only datagrams from that port are accepted.
func Listen(local, remote net.Addr, hint netip.AddrPort) (*Association, error) {
	at, err := ipOf(local)
	if err != nil {
		return nil, err
	}
	peer, err := ipOf(remote)
	if err != nil {
		return nil, err
	}
	socket, err := openSocket(netip.AddrPortFrom(at, 0))
	if err != nil {
		return nil, err
	}
	a := &Association{socket: socket, peer: peer, link: link{queue: newQueue()}}
	if ip := hint.Addr().Unmap(); ip.IsUnspecified() || ip == peer.WithZone("") {
		a.port.Store(uint32(hint.Port()))
	}
	return a, nil
}

// ipOf returns the IP address from a control connection's address.
func ipOf(a net.Addr) (netip.Addr, error) {
	if u, ok := a.(*net.UnixAddr); ok && u != nil {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1}), nil
	}
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}, fmt.Errorf("UDP needs a control connection over TCP or a UNIX socket; its address is %v", a)
	}
	ip := tcp.AddrPort().Addr().Unmap()
	if !ip.IsValid() {
		return ip, fmt.Errorf("the control connection's address %v is not an IP address", a)
	}
	return ip, nil
}

// Addr returns the address the application must send its datagrams to.
func (a *Association) Addr() netip.AddrPort {
	return a.socket.LocalAddr().(*net.UDPAddr).AddrPort()
}

// Run relays datagrams until ctx or the session ends, and closes the socket. It returns
// nil after a clean end. Run uses the session's read and write deadlines; the caller
// must still close or abort the session.
func (a *Association) Run(ctx context.Context, session splice.Stream) error {
	var receiver sync.WaitGroup
	receiver.Go(func() { receive(a.socket, idleAfter, a.fromApplication) })
	stop := context.AfterFunc(ctx, a.finish)
	err := a.link.run(session, a.fromSession)
	stop()
	_ = a.Close() // may already be closed
	receiver.Wait()
	return err
}

// finish ends the association once the application is gone.
func (a *Association) finish() {
	_ = a.Close()
	a.link.finish()
}

// Close closes the socket.
func (a *Association) Close() error { return a.socket.Close() }

// Counts returns the counts so far.
func (a *Association) Counts() Counts {
	return Counts{Dropped: a.dropped.Load() + a.link.queue.drops(), Ignored: a.ignored.Load(), Up: a.up.Load(), Down: a.down.Load()}
}

// fromApplication queues a datagram received by the socket.
func (a *Association) fromApplication(from netip.AddrPort, b []byte) {
	port := uint32(from.Port())
	known := a.port.Load()
	if from.Addr() != a.peer || known != 0 && port != known {
		a.ignored.Add(1)
		return
	}
	d, err := parse(b)
	if err != nil || d.fragment != 0 {
		a.ignored.Add(1)
		return
	}
	if known == 0 {
		a.port.Store(port)
	}
	a.up.Add(uint64(len(d.data)))
	a.link.queue.put(d.target, d.data)
}

// fromSession sends a datagram to the application. A record has the same form as a
// SOCKS5 datagram.
func (a *Association) fromSession(record []byte) error {
	d, err := parseRecord(record)
	switch {
	case err != nil:
		return err
	case d.target.Name != "":
		return malformed("datagram from the name %q, want an address", d.target.Name)
	}
	port := a.port.Load()
	if port == 0 || d.fragment != 0 {
		a.dropped.Add(1)
		return nil
	}
	if _, err := a.socket.WriteToUDPAddrPort(record, netip.AddrPortFrom(a.peer, uint16(port))); err != nil {
		a.dropped.Add(1) // too large, or the system lacks resources
		return nil
	}
	a.down.Add(uint64(len(d.data)))
	return nil
}
