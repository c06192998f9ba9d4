package datagram

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

// sendTo updates the table as a relay does for a datagram to an address.
func sendTo(t *testing.T, tab *table, target string, now time.Time) (fresh bool) {
	t.Helper()
	to := mustTarget(t, target)
	e, fresh := tab.use(to, now)
	if fresh {
		tab.locate(e, netip.AddrPortFrom(to.IP, to.Port), now)
	}
	return fresh
}

func TestTargetsAreBounded(t *testing.T) {
	tab, now := newTable(new(Room)), time.Now()
	const all = targetsMax + 44
	target := func(i int) string { return fmt.Sprintf("192.0.%d.%d:53", i/256, i%256) }
	for i := range all {
		sendTo(t, &tab, target(i), now)
		sendTo(t, &tab, target(0), now) // keep it recently used
	}
	if len(tab.targets) != targetsMax || len(tab.sources) != targetsMax || tab.order.Len() != targetsMax {
		t.Errorf("%d targets, %d sources, %d in order; want %d each", len(tab.targets), len(tab.sources), tab.order.Len(), targetsMax)
	}
	for i := range all {
		want := i == 0 || i > all-targetsMax
		if got := tab.accept(mustTarget(t, target(i)).IP, now); got != want {
			t.Errorf("answers from target %d of %d are accepted: %v, want %v", i, all, got, want)
		}
	}
	if want := uint64(all - targetsMax); tab.forgotten != want {
		t.Errorf("%d targets were forgotten, want %d", tab.forgotten, want)
	}
	sendTo(t, &tab, "198.51.100.1:53", now.Add(silenceMax))
	if len(tab.targets) != 1 || tab.forgotten != all-targetsMax {
		t.Errorf("after a minute of silence there are %d targets, %d forgotten; want only the new one, and no more forgotten", len(tab.targets), tab.forgotten)
	}
}

// TestTargetsShareRoom: when all associations together have too many targets, one with
// few may still add some, while one with many must evict its own.
func TestTargetsShareRoom(t *testing.T) {
	room, now := new(Room), time.Now()
	many, few := newTable(room), newTable(room)
	for i := range targetsFloor + 1 {
		sendTo(t, &many, fmt.Sprintf("192.0.%d.%d:53", i/256, i%256), now)
	}
	room.taken.Store(allTargets)
	sendTo(t, &many, "198.51.100.1:53", now)
	for i := range targetsFloor + 1 {
		sendTo(t, &few, fmt.Sprintf("192.0.%d.%d:53", i/256, i%256), now)
	}
	for _, tt := range []struct {
		name string
		tab  *table
		want int
	}{{"many", &many, targetsFloor + 1}, {"few", &few, targetsFloor}} {
		if len(tt.tab.targets) != tt.want || tt.tab.forgotten != 1 {
			t.Errorf("the association with %s has %d targets, %d forgotten; want %d, and 1", tt.name, len(tt.tab.targets), tt.tab.forgotten, tt.want)
		}
	}
	taken := room.taken.Load()
	many.clear()
	few.clear()
	if freed := taken - room.taken.Load(); freed != 2*targetsFloor+1 {
		t.Errorf("%d places were freed by clearing both, want %d", freed, 2*targetsFloor+1)
	}
}

// TestNamesAreBounded: the limit on concurrent lookups is lower than that on targets.
func TestNamesAreBounded(t *testing.T) {
	tab, now := newTable(new(Room)), time.Now()
	for i := range namesMax + 10 {
		tab.use(mustTarget(t, fmt.Sprintf("host%d.test:53", i)), now)
	}
	if len(tab.targets) != namesMax || tab.asked.Len() != namesMax || tab.order.Len() != namesMax {
		t.Errorf("%d names, %d being resolved, %d in order; want %d each", len(tab.targets), tab.asked.Len(), tab.order.Len(), namesMax)
	}
	for _, e := range tab.targets {
		tab.locate(e, netip.MustParseAddrPort("192.0.2.1:53"), now)
	}
	tab.use(mustTarget(t, "more.test:53"), now)
	if len(tab.targets) != namesMax+1 || tab.asked.Len() != 1 {
		t.Errorf("%d names, %d being resolved; want all the resolved ones and the new one", len(tab.targets), tab.asked.Len())
	}
}

func TestTargetsExpire(t *testing.T) {
	tab, now := newTable(new(Room)), time.Now()
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	sendTo(t, &tab, "192.0.2.1:53", now)
	sendTo(t, &tab, "192.0.2.2:53", now)
	now = now.Add(silenceMax - 1)
	if !tab.accept(a, now) {
		t.Error("an answer after just under 60 s of silence is rejected")
	}
	now = now.Add(1)
	if tab.accept(b, now) {
		t.Error("an answer after 60 s of silence is accepted")
	}
	if !tab.accept(a, now.Add(silenceMax-2)) {
		t.Error("an answer does not keep a target alive")
	}
	if fresh := sendTo(t, &tab, "192.0.2.2:53", now); !fresh {
		t.Error("a target was not forgotten after 60 s of silence")
	}
	if fresh := sendTo(t, &tab, "192.0.2.2:53", now.Add(silenceMax-1)); fresh {
		t.Error("a target was forgotten within 60 s")
	}
	sendTo(t, &tab, "192.0.2.3:53", now.Add(10*silenceMax))
	if len(tab.targets) != 1 || len(tab.sources) != 1 {
		t.Errorf("%d targets and %d sources are held, want only the new one", len(tab.targets), len(tab.sources))
	}
}

// TestSourcesAreShared: of two targets with one address, removing one does not block
// answers to the other.
func TestSourcesAreShared(t *testing.T) {
	tab, now := newTable(new(Room)), time.Now()
	sendTo(t, &tab, "192.0.2.1:53", now)
	sendTo(t, &tab, "192.0.2.1:54", now)
	tab.remove(tab.targets[mustTarget(t, "192.0.2.1:53")])
	if !tab.accept(netip.MustParseAddr("192.0.2.1"), now) {
		t.Error("removing one target blocks answers to the other")
	}
	tab.remove(tab.targets[mustTarget(t, "192.0.2.1:54")])
	if tab.accept(netip.MustParseAddr("192.0.2.1"), now) {
		t.Error("accepted after its last target was removed")
	}
}

func TestWaitingIsBounded(t *testing.T) {
	tab, now := newTable(new(Room)), time.Now()
	var held int
	for i := range 20 {
		e, _ := tab.use(mustTarget(t, fmt.Sprintf("host%d.test:53", i)), now)
		for j := range 100 {
			tab.wait(e, make([]byte, 1000+j))
		}
		if len(e.waiting) > waitingMax {
			t.Errorf("%d datagrams are waiting for one name, want at most %d", len(e.waiting), waitingMax)
		}
		for _, b := range e.waiting {
			held += len(b)
		}
	}
	if held != tab.bytes || held > waitBytes {
		t.Errorf("%d bytes are waiting and %d are counted, want at most %d", held, tab.bytes, waitBytes)
	}
	first := tab.targets[mustTarget(t, "host0.test:53")]
	if n := len(first.waiting[0]); len(first.waiting) != waitingMax || n != 1000+100-waitingMax {
		t.Errorf("%d are waiting for the first name, the oldest of %d bytes; want the newest %d", len(first.waiting), n, waitingMax)
	}
	for _, e := range tab.targets {
		tab.remove(e)
	}
	if tab.bytes != 0 || tab.dropped != 20*100 {
		t.Errorf("%d bytes still counted, %d datagrams dropped; want 0 and all", tab.bytes, tab.dropped)
	}
}
