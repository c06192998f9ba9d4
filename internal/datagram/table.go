package datagram

import (
	"bytes"
	"container/list"
	"context"
	"net/netip"
	"sync/atomic"
	"time"
)

const (
	silenceMax = 60 * time.Second // after which a target is forgotten
	namesMax   = 256              // names of one association being resolved
	waitingMax = 32               // datagrams waiting for one name
	waitBytes  = 256 << 10        // and the total for all names of one association
)

// Limits on the number of targets, which cost about 500 bytes each. Beyond them, the
// least recently used target is evicted.
const (
	targetsMax   = 8192    // of one association
	allTargets   = 1 << 18 // of all associations of an exit
	targetsFloor = 256     // guaranteed to each association
)

// Room counts the targets of all associations of an exit. The zero value is empty.
type Room struct{ taken atomic.Int64 }

// table holds the targets of one association: their addresses, and which sources may
// answer. Its owner locks it.
type table struct {
	targets map[Target]*entry
	order   list.List // of *entry; least recently sent to first
	asked   list.List // of *entry whose name is being resolved; oldest first
	sources map[netip.Addr]*source
	room    *Room

	bytes     int    // of waiting datagrams
	dropped   uint64 // datagrams dropped while waiting
	forgotten uint64 // targets evicted for others
}

// entry is one target.
type entry struct {
	target Target
	elem   *list.Element // in order; nil once removed from the table
	asked  *list.Element // in asked; nil if its name is not being resolved
	source *source       // of addr; nil while unknown
	addr   netip.AddrPort
	ready  bool // datagrams need not wait

	waiting [][]byte           // datagrams, until ready
	cancel  context.CancelFunc // cancels the lookup; nil for an address
}

// source is an address that was sent to and may answer, from any port: some protocols
// answer from another port.
type source struct {
	entries int       // number of entries with this address
	last    time.Time // last datagram sent to it or received from it
}

func newTable(room *Room) table {
	return table{targets: map[Target]*entry{}, sources: map[netip.Addr]*source{}, room: room}
}

// use returns the entry of a target that a datagram is being sent to; fresh reports
// whether it is a new entry.
func (t *table) use(target Target, now time.Time) (e *entry, fresh bool) {
	e = t.targets[target]
	if e != nil && e.expired(now) {
		t.remove(e)
		e = nil
	}
	if e != nil {
		t.order.MoveToBack(e.elem)
		if e.source != nil {
			e.source.last = now
		}
		return e, false
	}
	for first := t.order.Front(); first != nil; first = t.order.Front() {
		oldest := first.Value.(*entry)
		if !oldest.expired(now) {
			if !t.full() {
				break
			}
			t.forgotten++
		}
		t.remove(oldest)
	}
	e = &entry{target: target}
	e.elem = t.order.PushBack(e)
	t.targets[target] = e
	t.room.taken.Add(1)
	if target.Name != "" {
		if t.asked.Len() >= namesMax {
			t.remove(t.asked.Front().Value.(*entry))
		}
		e.asked = t.asked.PushBack(e)
	}
	return e, true
}

// full reports whether another target must be evicted to add one.
func (t *table) full() bool {
	n := len(t.targets)
	return n >= targetsMax || n >= targetsFloor && t.room.taken.Load() >= allTargets
}

// clear removes all targets.
func (t *table) clear() {
	for _, e := range t.targets {
		t.remove(e)
	}
}

func (e *entry) expired(now time.Time) bool {
	return e.source != nil && now.Sub(e.source.last) >= silenceMax
}

// locate sets the address of an entry's target, which may answer from then on.
func (t *table) locate(e *entry, addr netip.AddrPort, now time.Time) {
	s := t.sources[addr.Addr()]
	if s == nil {
		s = &source{}
		t.sources[addr.Addr()] = s
	}
	s.entries++
	s.last = now
	e.addr, e.source = addr, s
	t.answered(e)
}

// answered records that the lookup of an entry's name has ended.
func (t *table) answered(e *entry) {
	if e.asked != nil {
		t.asked.Remove(e.asked)
		e.asked = nil
	}
}

// heard reports whether an answer from ip is accepted.
func (t *table) heard(ip netip.Addr, now time.Time) bool {
	s := t.sources[ip]
	if s == nil || now.Sub(s.last) >= silenceMax {
		return false
	}
	s.last = now
	return true
}

// remove removes an entry and drops its waiting datagrams.
func (t *table) remove(e *entry) {
	if e.elem == nil {
		return
	}
	t.order.Remove(e.elem)
	e.elem = nil
	t.answered(e)
	delete(t.targets, e.target)
	t.room.taken.Add(-1)
	if s := e.source; s != nil {
		if s.entries--; s.entries == 0 {
			delete(t.sources, e.addr.Addr())
		}
	}
	if e.cancel != nil {
		e.cancel()
	}
	t.dropped += uint64(len(t.unwait(e)))
}

// wait queues a datagram until its target's name is resolved, dropping older ones if
// there is no room.
func (t *table) wait(e *entry, data []byte) {
	for len(e.waiting) > 0 && (len(e.waiting) >= waitingMax || t.bytes+len(data) > waitBytes) {
		t.bytes -= len(e.waiting[0])
		e.waiting = e.waiting[1:]
		t.dropped++
	}
	if t.bytes+len(data) > waitBytes {
		t.dropped++
		return
	}
	t.bytes += len(data)
	e.waiting = append(e.waiting, bytes.Clone(data))
}

// unwait returns and removes the datagrams waiting for an entry.
func (t *table) unwait(e *entry) [][]byte {
	w := e.waiting
	for _, b := range w {
		t.bytes -= len(b)
	}
	e.waiting = nil
	return w
}
