package datagram

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"tunnels/internal/splice"
)

// Exit holds the functions a Relay calls. Resolve, AllowName and AllowAddr must not be
// nil. All must be safe for concurrent use.
type Exit struct {
	// Resolve returns the addresses of a name, in order of preference.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	// AllowName returns an error if policy denies a target given as a name. It is called
	// before the name is resolved.
	AllowName func(host string, port uint16) error
	// AllowAddr returns an error if policy denies the address that a datagram is about to
	// be sent to; via is the name that resolved to it, or empty.
	AllowAddr func(a netip.AddrPort, via string) error
	// Timeout limits each name lookup; 0 means 10 s.
	Timeout time.Duration
	// Refused, if not nil, is called with the reason that datagrams to a target are not
	// sent: policy forbids it, its name does not resolve, or sending failed. It is
	// called once per target, for at most 256 targets.
	Refused func(target Target, err error)
	// Crowded, if not nil, is called once, the first time a target that may still
	// answer is evicted to make room.
	Crowded func()
	// Room is shared by all associations of an exit. If nil, this Relay has its own.
	Room *Room
}

// Relay is the exit's end of an association. It uses one socket for each address
// family, so that all targets, and any peers they pass it on to, see the same port for
// the life of the association. Datagrams are accepted only from addresses that
// datagrams were sent to. Run may be called once, Counts at any time.
type Relay struct {
	// Immutable after creation.
	exit    Exit
	link    link
	ctx     context.Context // context for DNS lookups
	cancel  context.CancelFunc
	lookups chan struct{} // one slot for each name being resolved

	wg sync.WaitGroup // socket readers and name lookups

	mu       sync.Mutex
	sockets  map[string]*net.UDPConn // guarded by mu; by network; nil once ended
	table    table                   // guarded by mu
	reported map[Target]struct{}     // guarded by mu; targets reported to Refused

	dropped, refused, ignored atomic.Uint64
	up, down                  atomic.Uint64
}

const (
	reportedMax = 256
	lookupsMax  = 64
)

// NewRelay returns a Relay, which uses no system resources before Run.
func NewRelay(exit Exit) *Relay {
	if exit.Timeout <= 0 {
		exit.Timeout = 10 * time.Second
	}
	if exit.Room == nil {
		exit.Room = new(Room)
	}
	r := &Relay{
		exit:     exit,
		link:     link{queue: newQueue()},
		lookups:  make(chan struct{}, lookupsMax),
		sockets:  map[string]*net.UDPConn{},
		table:    newTable(exit.Room),
		reported: map[Target]struct{}{},
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

// Run relays datagrams until the session ends. It returns nil after a clean end, and an
// error with code.Protocol if the client sent a malformed record. Run uses the
// session's deadlines; the caller must still close or abort the session.
func (r *Relay) Run(session splice.Stream) error {
	err := r.link.run(session, r.fromSession)
	r.cancel()
	r.mu.Lock()
	sockets := r.sockets
	r.sockets = nil
	r.mu.Unlock()
	for _, s := range sockets {
		_ = s.Close()
	}
	r.wg.Wait()
	r.mu.Lock()
	r.table.clear()
	r.mu.Unlock()
	return err
}

// Counts returns the counts so far.
func (r *Relay) Counts() Counts {
	r.mu.Lock()
	waited, forgotten := r.table.dropped, r.table.forgotten
	r.mu.Unlock()
	return Counts{
		Dropped: r.dropped.Load() + r.link.queue.drops() + waited,
		Refused: r.refused.Load(),
		Ignored: r.ignored.Load(),

		Forgotten: forgotten,

		Up: r.up.Load(), Down: r.down.Load(),
	}
}

// fromSession forwards one datagram, or queues it until its target's name is resolved.
// It returns an error for a malformed record.
func (r *Relay) fromSession(record []byte) error {
	d, err := parseRecord(record)
	if err != nil {
		return err
	}
	if d.fragment != 0 {
		r.ignored.Add(1)
		return nil
	}
	t := d.target
	// Check this before a refused target can evict another.
	if err := r.allowed(t); err != nil {
		r.refuse(t, err)
		return nil
	}
	now := time.Now()
	r.mu.Lock()
	before := r.table.forgotten
	e, fresh := r.table.use(t, now)
	crowded := before == 0 && r.table.forgotten > 0
	if fresh && t.Name == "" {
		r.table.locate(e, netip.AddrPortFrom(t.IP.Unmap(), t.Port), now)
		e.ready = true
	}
	if !e.ready {
		r.table.wait(e, d.data)
		if fresh {
			r.lookUpLocked(e)
		}
	}
	ready, addr := e.ready, e.addr
	r.mu.Unlock()
	if crowded && r.exit.Crowded != nil {
		r.exit.Crowded()
	}
	if ready {
		r.send(t, addr, d.data)
	}
	return nil
}

// allowed applies policy to the name or address in a datagram.
func (r *Relay) allowed(t Target) error {
	if t.Name == "" {
		return r.exit.AllowAddr(netip.AddrPortFrom(t.IP, t.Port), "")
	}
	return r.exit.AllowName(t.Name, t.Port)
}

// send sends a datagram to the address of its target.
func (r *Relay) send(t Target, addr netip.AddrPort, data []byte) {
	if t.Name != "" {
		if err := r.exit.AllowAddr(addr, t.Name); err != nil {
			r.refuse(t, err)
			return
		}
	}
	s, err := r.socket(addr.Addr())
	if err == nil {
		_, err = s.WriteToUDPAddrPort(data, addr)
	}
	if err != nil {
		r.drop(t, err)
		return
	}
	r.up.Add(uint64(len(data)))
}

// socket returns the socket for the family of a, opening it if necessary.
func (r *Relay) socket(a netip.Addr) (*net.UDPConn, error) {
	family := network(a)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sockets == nil {
		return nil, net.ErrClosed
	}
	if s := r.sockets[family]; s != nil {
		return s, nil
	}
	all := netip.IPv4Unspecified()
	if a.Is6() {
		all = netip.IPv6Unspecified()
	}
	s, err := openSocket(netip.AddrPortFrom(all, 0))
	if err != nil {
		return nil, err
	}
	r.sockets[family] = s
	r.wg.Go(func() { receive(s, idleAfter, r.fromTarget) })
	return s, nil
}

// fromTarget queues an answer. Its source is the sender's address, even if the
// application addressed the target by name: RFC 1928 requires it, other implementations
// do the same, and applications can compare addresses.
func (r *Relay) fromTarget(from netip.AddrPort, data []byte) {
	r.mu.Lock()
	accepted := r.table.accept(from.Addr(), time.Now())
	r.mu.Unlock()
	if !accepted {
		r.ignored.Add(1)
		return
	}
	r.down.Add(uint64(len(data)))
	r.link.queue.put(targetOf(from), data)
}

// refuse counts a datagram forbidden by policy.
func (r *Relay) refuse(t Target, err error) {
	r.refused.Add(1)
	r.report(t, err)
}

// drop counts a datagram that could not be sent.
func (r *Relay) drop(t Target, err error) {
	r.dropped.Add(1)
	r.report(t, err)
}

// report calls Refused, unless it was already called for that target.
func (r *Relay) report(t Target, err error) {
	if r.exit.Refused == nil || r.ctx.Err() != nil {
		return
	}
	r.mu.Lock()
	_, known := r.reported[t]
	known = known || len(r.reported) >= reportedMax
	if !known {
		r.reported[t] = struct{}{}
	}
	r.mu.Unlock()
	if !known {
		r.exit.Refused(t, err)
	}
}
