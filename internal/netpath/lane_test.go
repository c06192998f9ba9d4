package netpath

import (
	"slices"
	"testing"
	"time"
)

// putAt puts a packet of n bytes and returns when it is due, or -1 if it was not taken.
func putAt(l *lane, n int, epoch time.Time, at time.Duration) time.Duration {
	taken, _, due := l.put(make([]byte, n, MTU), epoch.Add(at))
	if !taken {
		return -1
	}
	return due.Sub(epoch)
}

// TestLaneTimes: packets are sent one after another at the rate, then delayed, and a full
// queue drops them.
func TestLaneTimes(t *testing.T) {
	const ms = time.Millisecond
	epoch := time.Now()
	l := newLane(Link{Delay: 50 * ms, Rate: 100_000, Queue: 3000}, 1, 1) // 10 ms per packet of 1000 bytes
	for i, step := range []struct {
		n        int
		at, want time.Duration
	}{
		{1000, 0, 60 * ms},
		{1000, 0, 70 * ms},
		{1000, 0, 80 * ms},
		{1000, 0, -1},
		{1000, 10 * ms, 90 * ms}, // one has been sent
		{500, 200 * ms, 255 * ms},
	} {
		if got := putAt(l, step.n, epoch, step.at); got != step.want {
			t.Errorf("packet %d is due after %s, want %s", i, got, step.want)
		}
	}
	if got := l.counters(); got.Dropped != 1 || got.Lost != 0 {
		t.Errorf("counters = %+v, want one dropped", got)
	}
}

// TestLaneOrder: a delay that becomes shorter does not reorder packets, and take returns
// only those that are due.
func TestLaneOrder(t *testing.T) {
	const ms = time.Millisecond
	epoch := time.Now()
	l := newLane(Link{Delay: 100 * ms}, 1, 1)
	putAt(l, 1, epoch, 0)
	l.set(Link{Delay: 10 * ms})
	if got := putAt(l, 2, epoch, 5*ms); got != 100*ms {
		t.Errorf("the second packet is due after %s, want 100ms", got)
	}
	if got := putAt(l, 3, epoch, 95*ms); got != 105*ms {
		t.Errorf("the third packet is due after %s, want 105ms", got)
	}
	if got := l.take(nil, epoch.Add(99*ms)); len(got) != 0 {
		t.Errorf("%d packets are due after 99 ms, want none", len(got))
	}
	got := l.take(nil, epoch.Add(100*ms))
	if len(got) != 2 || len(got[0].data) != 1 || len(got[1].data) != 2 {
		t.Errorf("%d packets are due after 100 ms, want the first two", len(got))
	}
	if wait, more := l.rest(got, epoch.Add(100*ms)); !more || wait != 5*ms {
		t.Errorf("rest = %s, %v, want 5ms and more", wait, more)
	}
}

// TestLaneLoss: the share lost is as configured, and a seed always loses the same packets.
func TestLaneLoss(t *testing.T) {
	lost := func(seed uint64) (which []int) {
		l := newLane(Link{Loss: 0.1}, seed, 1)
		epoch := time.Now()
		for i := range 10_000 {
			if putAt(l, 1, epoch, 0) < 0 {
				which = append(which, i)
			}
		}
		return which
	}
	a, again, b := lost(1), lost(1), lost(2)
	if len(a) < 800 || len(a) > 1200 {
		t.Errorf("%d of 10000 packets lost, want about 1000", len(a))
	}
	if !slices.Equal(a, again) || slices.Equal(a, b) {
		t.Error("the packets lost do not depend on the seed alone")
	}
}

func TestDefaultQueue(t *testing.T) {
	for _, tt := range []struct {
		link Link
		want int
	}{
		{Link{}, 64 << 10},
		{Link{Delay: 25 * time.Millisecond, Rate: 12_500_000}, 625_000},
		{Link{Delay: time.Millisecond, Rate: 1000}, 64 << 10},
		{Link{Rate: 1000, Queue: 5}, 5},
	} {
		if got := tt.link.queue(); got != tt.want {
			t.Errorf("queue of %+v = %d, want %d", tt.link, got, tt.want)
		}
	}
}
