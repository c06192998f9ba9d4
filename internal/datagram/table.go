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
	silenceMax = 60 * time.Second // then a target is forgotten
	namesMax   = 256              // names of one association that are being resolved
	waitingMax = 32               // datagrams that wait for one name
	waitBytes  = 256 << 10        // and those for all names of one association
)

// The bounds of the targets: one costs about 500 bytes. One more ends the one that was
// sent to longest ago.
const (
	targetsMax   = 8192    // of one association
	allTargets   = 1 << 18 // of all associations of an exit
	targetsFloor = 256     // that an association may have even then
)

// Room counts the targets of all associations of an exit. The zero Room is empty.
type Room struct{ taken atomic.Int64 }

// table is the targets of one association: where they are, and whose answers are
// taken. Its owner locks.
type table struct {
	targets map[Target]*entry
	order   list.List // of *entry; the one that was sent to longest ago is first
	asked   list.List // of *entry whose name is being resolved; the oldest first
	sources map[netip.Addr]*source
	room    *Room

	bytes     int    // of the datagrams that wait
	dropped   uint64 // datagrams that waited in vain
	forgotten uint64 // targets that had to make room
}

// entry is one target.
type entry struct {
	target Target
	elem   *list.Element // in order; nil if it is not in the table any more
	asked  *list.Element // in asked; nil if its name is not being resolved
	source *source       // of addr; nil: that is not known
	addr   netip.AddrPort
	ready  bool // datagrams need not wait

	waiting [][]byte           // datagrams, while not ready
	cancel  context.CancelFunc // ends that; nil for an address
}

// source is an address that has been sent to and may answer, from any port: some
// protocols answer from another one than was asked.
type source struct {
	entries int       // that have it
	last    time.Time // something was sent to it or came from it
}

func newTable(room *Room) table {
	return table{targets: map[Target]*entry{}, sources: map[netip.Addr]*source{}, room: room}
}

// use is the entry of a target that is sent to now; fresh: there was none, or it
// was forgotten.
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

// full reports whether one more target must take the place of another one.
func (t *table) full() bool {
	n := len(t.targets)
	return n >= targetsMax || n >= targetsFloor && t.room.taken.Load() >= allTargets
}

// clear forgets all targets.
func (t *table) clear() {
	for _, e := range t.targets {
		t.remove(e)
	}
}

func (e *entry) expired(now time.Time) bool {
	return e.source != nil && now.Sub(e.source.last) >= silenceMax
}

// locate says where an entry's target is. From now on that may answer.
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

// answered notes that the name of an entry is not being resolved any more.
func (t *table) answered(e *entry) {
	if e.asked != nil {
		t.asked.Remove(e.asked)
		e.asked = nil
	}
}

// heard says whether an answer from ip is taken.
func (t *table) heard(ip netip.Addr, now time.Time) bool {
	s := t.sources[ip]
	if s == nil || now.Sub(s.last) >= silenceMax {
		return false
	}
	s.last = now
	return true
}

// remove forgets an entry, with the datagrams that wait for it.
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

// wait lets a datagram wait for the name of its target, at the cost of older ones
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

// unwait is what waits for an entry, which then waits no more.
func (t *table) unwait(e *entry) [][]byte {
	w := e.waiting
	for _, b := range w {
		t.bytes -= len(b)
	}
	e.waiting = nil
	return w
}
