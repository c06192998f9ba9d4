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

// Exit is what a Relay asks and tells. Its functions, but Refused, must not be
// nil, and may be called by many goroutines at a time.
type Exit struct {
	// Resolve is the addresses of a name, in the order of preference.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	// AllowName judges the target of a datagram that is a name, before it is
	// resolved.
	AllowName func(host string, port uint16) error
	// AllowAddr judges the address that a datagram is about to be sent to;
	// via is the name that was resolved to it, if one was.
	AllowAddr func(a netip.AddrPort, via string) error
	// Timeout bounds the resolving of a name; 0: 10 s.
	Timeout time.Duration
	// Refused is told why datagrams for a target are not sent: they may not
	// be, its name cannot be resolved, or sending fails. It is told once for a
	// target, and of 256 targets at most. Nil: nobody is.
	Refused func(target Target, err error)
	// Crowded is called once, when a target has to make room for another one
	// although it may still answer. May be nil.
	Crowded func()
	// Room is shared by all associations of an exit. If nil, this one has its own.
	Room *Room
}

// Relay is the exit's end of an association. It has one socket for each family
// of addresses, so that a target, and whoever it tells, sees one port of ours for
// as long as the association lasts. Only addresses that were sent to are heard.
// Run is called once; Counts may be called at any time.
type Relay struct {
	// Static after construction.
	exit    Exit
	link    link
	ctx     context.Context // of resolving
	cancel  context.CancelFunc
	lookups chan struct{} // a place for each name that is being resolved

	wg sync.WaitGroup // who hears the sockets and who resolves names

	mu      sync.Mutex
	sockets map[string]*net.UDPConn // guarded by mu; by network; nil: it is over
	table   table                   // guarded by mu
	told    map[Target]struct{}     // guarded by mu; those Refused was told of

	dropped, refused, ignored atomic.Uint64
	up, down                  atomic.Uint64
}

const (
	toldMax    = 256
	lookupsMax = 64
)

// NewRelay makes a Relay that takes nothing of the system's before Run.
func NewRelay(exit Exit) *Relay {
	if exit.Timeout <= 0 {
		exit.Timeout = 10 * time.Second
	}
	if exit.Room == nil {
		exit.Room = new(Room)
	}
	r := &Relay{
		exit:    exit,
		link:    link{queue: newQueue()},
		lookups: make(chan struct{}, lookupsMax),
		sockets: map[string]*net.UDPConn{},
		table:   newTable(exit.Room),
		told:    map[Target]struct{}{},
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

// Run carries datagrams until the session ends. It returns nil if that was a
// clean end, and an error with code.Protocol if the client sent what is no record.
// The session, whose deadlines are Run's, is then still to be closed or aborted.
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

// Counts is what did not get through so far.
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

// fromSession sends one datagram on, or lets it wait for its target's name. An
// error says that it is none.
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
	// Before it can push another target out.
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

// allowed judges a target as it was given.
func (r *Relay) allowed(t Target) error {
	if t.Name == "" {
		return r.exit.AllowAddr(netip.AddrPortFrom(t.IP, t.Port), "")
	}
	return r.exit.AllowName(t.Name, t.Port)
}

// send sends a datagram to where its target is.
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

// socket is the one for that family, opened when it is needed first.
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
	r.wg.Go(func() { hear(s, idleAfter, r.fromTarget) })
	return s, nil
}

// fromTarget queues an answer. Its source is the address that it came from, also
// where the application had named a target: that is what RFC 1928 says, what others
// do, and what applications can compare.
func (r *Relay) fromTarget(from netip.AddrPort, data []byte) {
	r.mu.Lock()
	heard := r.table.heard(from.Addr(), time.Now())
	r.mu.Unlock()
	if !heard {
		r.ignored.Add(1)
		return
	}
	r.down.Add(uint64(len(data)))
	r.link.queue.put(targetOf(from), data)
}

// refuse counts a datagram that policy forbids.
func (r *Relay) refuse(t Target, err error) {
	r.refused.Add(1)
	r.tell(t, err)
}

// drop counts a datagram that could not be sent.
func (r *Relay) drop(t Target, err error) {
	r.dropped.Add(1)
	r.tell(t, err)
}

// tell tells Refused why, if it is to know.
func (r *Relay) tell(t Target, err error) {
	if r.exit.Refused == nil || r.ctx.Err() != nil {
		return
	}
	r.mu.Lock()
	_, known := r.told[t]
	known = known || len(r.told) >= toldMax
	if !known {
		r.told[t] = struct{}{}
	}
	r.mu.Unlock()
	if !known {
		r.exit.Refused(t, err)
	}
}
