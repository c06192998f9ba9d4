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

// Counts says what did and did not get through one end of an association.
type Counts struct {
	// Dropped: a queue was full, the datagram was too large for a record or a
	// socket, could not be sent, or its target's name could not be resolved.
	Dropped uint64
	// Refused: the exit's policy forbids the target.
	Refused uint64
	// Ignored: datagrams from an address that is not listened to, fragments, and
	// what is no SOCKS5 datagram.
	Ignored uint64
	// Forgotten: targets, not datagrams, that had to make room for others within
	// the time in which they may answer.
	Forgotten uint64

	// Up and Down are the bytes, without headers, of the datagrams that were taken
	// from the application and from its targets. They may yet be dropped on the way.
	Up, Down uint64
}

// Association is the client's end: a UDP socket for one application (RFC 1928
// section 7). Only datagrams from the application's address are heard, and from
// the first port there that sends a proper one. Its methods may be called from
// any goroutine, Run once.
type Association struct {
	// Static after construction.
	socket *net.UDPConn
	peer   netip.Addr
	link   link

	port             atomic.Uint32 // the application's; 0: not known; set by who hears the socket
	dropped, ignored atomic.Uint64
	up, down         atomic.Uint64
}

// Listen opens the socket of an association: at the local address of its control
// connection, for the remote one. Both must be IP addresses, or those of a UNIX
// socket, which stand for 127.0.0.1. hint is what the application asked for: if it
// names a port, of its own address or of the unspecified one, then only datagrams
// from that port are accepted.
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

// ipOf returns the IP address in a control connection's address.
func ipOf(a net.Addr) (netip.Addr, error) {
	if u, ok := a.(*net.UnixAddr); ok && u != nil {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1}), nil
	}
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}, fmt.Errorf("datagrams need a control connection over TCP or a UNIX socket: %v has no IP address", a)
	}
	ip := tcp.AddrPort().Addr().Unmap()
	if !ip.IsValid() {
		return ip, fmt.Errorf("address %v of the control connection has no IP address", a)
	}
	return ip, nil
}

// Addr is where the application has to send its datagrams.
func (a *Association) Addr() netip.AddrPort {
	return a.socket.LocalAddr().(*net.UDPAddr).AddrPort()
}

// Run carries datagrams until ctx ends or the session does, and closes the socket.
// It returns nil if that was a clean end. The session, whose read and write
// deadlines are Run's, is then still to be closed or aborted.
func (a *Association) Run(ctx context.Context, session splice.Stream) error {
	var hearing sync.WaitGroup
	hearing.Go(func() { hear(a.socket, idleAfter, a.fromApplication) })
	stop := context.AfterFunc(ctx, a.finish)
	err := a.link.run(session, a.fromSession)
	stop()
	_ = a.Close() // perhaps a second time
	hearing.Wait()
	return err
}

// finish: the application has gone.
func (a *Association) finish() {
	_ = a.Close()
	a.link.finish()
}

// Close closes the socket.
func (a *Association) Close() error { return a.socket.Close() }

// Counts is what did not get through so far.
func (a *Association) Counts() Counts {
	return Counts{Dropped: a.dropped.Load() + a.link.queue.drops(), Ignored: a.ignored.Load(), Up: a.up.Load(), Down: a.down.Load()}
}

// fromApplication queues a datagram that came to the socket.
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

// fromSession sends the application a datagram, which has in a record the form
// that it has in SOCKS5.
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
		a.dropped.Add(1) // too large, or the machine is short of something
		return nil
	}
	a.down.Add(uint64(len(d.data)))
	return nil
}
