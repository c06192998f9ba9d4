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
	silenceMax = 60 * time.Second // a target is forgotten after this long without traffic
	namesMax   = 256              // concurrent name lookups per association
	waitingMax = 32               // datagrams queued for one name
	waitBytes  = 256 << 10        // bytes queued for all names of one association
)

// Limits on the number of targets, which cost about 500 bytes each. When one is
// reached, the least recently used target is evicted.
const (
	targetsMax   = 8192    // per association
	allTargets   = 1 << 18 // across all associations of an exit
	targetsFloor = 256     // guaranteed to each association
)

// Room counts targets across all associations of an exit. The zero value is ready to use.
type Room struct{ taken atomic.Int64 }

// table holds the targets of one association, their addresses, and the sources that may
// answer. Its owner's lock guards it.
type table struct {
	targets map[Target]*entry
	order   list.List // elements are *entry, ordered by last send, oldest first
	asked   list.List // elements are *entry with a lookup in progress, oldest first
	sources map[netip.Addr]*source
	room    *Room

	bytes     int    // total size of the waiting datagrams
	dropped   uint64 // datagrams dropped while waiting
	forgotten uint64 // targets evicted to make room
}

// entry is one target.
type entry struct {
	target Target
	elem   *list.Element // its element in table.order; nil once removed from the table
	asked  *list.Element // its element in table.asked; nil without a lookup in progress
	source *source       // the source for addr; nil while addr is unknown
	addr   netip.AddrPort
	ready  bool // datagrams can be sent without waiting

	waiting [][]byte           // datagrams queued until ready
	cancel  context.CancelFunc // cancels the lookup; nil if the target is an address
}

// source is an address that datagrams were sent to. It may answer from any port,
// because some protocols answer from a different one.
type source struct {
	entries int       // number of entries that have this address
	last    time.Time // when a datagram was last sent to or received from it
}

func newTable(room *Room) table {
	return table{targets: map[Target]*entry{}, sources: map[netip.Addr]*source{}, room: room}
}

// use returns the entry for a target about to be sent a datagram; fresh reports whether
// the entry is new.
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

// full reports whether adding a target requires evicting another.
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

// locate sets the address of an entry's target and accepts answers from it from then
// on.
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

// answered records that the lookup of an entry's name has finished.
func (t *table) answered(e *entry) {
	if e.asked != nil {
		t.asked.Remove(e.asked)
		e.asked = nil
	}
}

// accept reports whether to accept an answer from ip.
func (t *table) accept(ip netip.Addr, now time.Time) bool {
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

// wait queues a datagram until its target's name is resolved, dropping the oldest ones
// if there is no room.
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

// unwait removes and returns the datagrams waiting for an entry.
func (t *table) unwait(e *entry) [][]byte {
	w := e.waiting
	for _, b := range w {
		t.bytes -= len(b)
	}
	e.waiting = nil
	return w
}
