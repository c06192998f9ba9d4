package datagram

import (
	"bytes"
	"container/list"
	"context"
	"net/netip"
	"time"
)

const (
	targetsMax = 256              // targets of one association; one more ends the oldest
	silenceMax = 60 * time.Second // then a target is forgotten
	waitingMax = 32               // datagrams that wait for one name
	waitBytes  = 256 << 10        // and those for all names of one association
)

// table is the targets of one association: where they are, and whose answers are
// taken. Its owner locks.
type table struct {
	targets map[Target]*entry
	order   list.List // of *entry; the one that was sent to longest ago is first
	sources map[netip.Addr]*source
	bytes   int    // of the datagrams that wait
	dropped uint64 // datagrams that waited in vain
}

// entry is one target.
type entry struct {
	target Target
	elem   *list.Element // nil: not in the table any more
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

func newTable() table {
	return table{targets: map[Target]*entry{}, sources: map[netip.Addr]*source{}}
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
		if len(t.targets) < targetsMax && !oldest.expired(now) {
			break
		}
		t.remove(oldest)
	}
	e = &entry{target: target}
	e.elem = t.order.PushBack(e)
	t.targets[target] = e
	return e, true
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
	delete(t.targets, e.target)
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
